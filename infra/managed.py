"""Services of AWS that a stack may use in place of what its hosts would run."""

import database
from broker import create_broker
from cache import Cache, CacheArgs
from celeriac.topology import DOORS, FLASK, REDIS
from credentials import Credentials
from database import Database, DatabaseArgs
from firewall import Firewall
from network import Network
from parameters import Services
from stack_config import StackConfig


def create_services(
    config: StackConfig, credentials: Credentials, network: Network, firewall: Firewall
) -> Services:
    """Make those that the configuration asks for, where no host of theirs is."""
    broker = create_broker(config, credentials, network, firewall)
    if config.history == "sqlite" and config.results == "ec2":
        return Services(broker)
    subnets = network.create_inner_subnets()
    history_url = redis_host = None
    if config.history == "postgres":
        guard = firewall.guard("history", database.PORT, [FLASK])
        history_url = Database("celeriac", DatabaseArgs(config, subnets, guard)).url
    if config.results == "elasticache":
        clients = [role for door in DOORS if door.role is REDIS for role in door.roles]
        guard = firewall.guard("results", REDIS.ports["redis"], clients)
        redis_host = Cache("celeriac", CacheArgs(config, credentials.redis, subnets, guard)).host
    return Services(broker, history_url, redis_host)
