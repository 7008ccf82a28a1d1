"""What a stack costs a month, about: list prices of AWS in us-east-1, in US dollars.

Source: AWS's price lists of EC2 (on demand), EBS, VPC (public addresses), Route 53 and the services
below, written down from memory in November 2026: look there before you rely on it. Traffic, taxes
and what an account has for free are not in it.
"""

import math
from collections.abc import Mapping

from cache import COPIES
from celeriac.topology import Role
from database import LEAST_GB
from plan import keeps_data
from stack_config import StackConfig

HOURS = 730

HOUR_USD = {
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "t4g.micro": 0.0084,
    "t4g.small": 0.0168,
    "t4g.medium": 0.0336,
    "t4g.large": 0.0672,
}
BROKER_HOUR_USD = {"mq.m7g.medium": 0.0816, "mq.m7g.large": 0.1632}
"""What it stores comes on top."""
DATABASE_HOUR_USD = {"db.t4g.micro": 0.016, "db.t4g.small": 0.032, "db.t4g.medium": 0.065}
CACHE_HOUR_USD = {"cache.t4g.micro": 0.0128, "cache.t4g.small": 0.0256, "cache.t4g.medium": 0.052}
ADDRESS_HOUR_USD = 0.005
BALANCER_HOUR_USD = 0.0225
"""What it carries comes on top."""
BALANCER_ADDRESSES = 2
"""One in each of its zones."""
DISK_GB_MONTH_USD = 0.08
DATABASE_GB_MONTH_USD = 0.115
ZONE_MONTH_USD = 0.50


def month_usd(config: StackConfig, hosts: Mapping[str, Role]) -> float | None:
    """Give the cost of a month, or nothing where the table lacks an instance type."""
    types = [config.instance_types[role.name] for role in hosts.values()]
    services = _services_month_usd(config)
    if set(types) - HOUR_USD.keys() or services is None:
        return None
    disks_gb = config.root_volume_gb * len(hosts)
    disks_gb += config.data_volume_gb * sum(keeps_data(*host) for host in hosts.items())
    hourly = sum(HOUR_USD[each] + ADDRESS_HOUR_USD for each in types)
    return round(hourly * HOURS + disks_gb * DISK_GB_MONTH_USD + ZONE_MONTH_USD + services, 2)


def _services_month_usd(config: StackConfig) -> float | None:
    hourly = disks = 0.0
    if config.domain:
        hourly += BALANCER_HOUR_USD + BALANCER_ADDRESSES * ADDRESS_HOUR_USD
    if config.broker == "amazonmq":
        hourly += BROKER_HOUR_USD.get(config.broker_type, math.nan)
    if config.history == "postgres":
        hourly += DATABASE_HOUR_USD.get(config.database_class, math.nan)
        disks = max(config.data_volume_gb, LEAST_GB) * DATABASE_GB_MONTH_USD
    if config.results == "elasticache":
        hourly += COPIES * CACHE_HOUR_USD.get(config.cache_type, math.nan)
    return None if math.isnan(hourly) else hourly * HOURS + disks


def _without_price(config: StackConfig, hosts: Mapping[str, Role]) -> list[str]:
    wanted = {config.instance_types[role.name] for role in hosts.values()}
    if config.broker == "amazonmq":
        wanted.add(config.broker_type)
    if config.history == "postgres":
        wanted.add(config.database_class)
    if config.results == "elasticache":
        wanted.add(config.cache_type)
    known = (HOUR_USD, BROKER_HOUR_USD, DATABASE_HOUR_USD, CACHE_HOUR_USD)
    return sorted(wanted - {each for table in known for each in table})


def told(config: StackConfig, hosts: Mapping[str, Role]) -> str:
    """Say the cost of a month in one line."""
    cost = month_usd(config, hosts)
    if cost is None:
        return f"unknown: the price of {' and '.join(_without_price(config, hosts))}"
    less = ", less what spot workers save" if config.spot_workers else ""
    return f"about {cost:.0f} USD a month in us-east-1, without traffic{less}"
