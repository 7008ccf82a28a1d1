"""Which hosts a stack has, and which of them keep data."""

from celeriac.topology import CELERY, FLASK, RABBITMQ, REDIS, ROLES, Role
from stack_config import StackConfig

KEEPS_DATA = (RABBITMQ, REDIS, FLASK)
"""They have a volume that outlives the instance: messages, results and marks, the history."""

FURTHER_BROKERS = ("rabbitmq2-ec2", "rabbitmq3-ec2")
"""With the first they are the three hosts of `broker = cluster3`: one may be lost."""


def role_of(host: str) -> Role:
    """Give the role of a host by its name; what is no other's is a worker's."""
    kind = host.removesuffix("-ec2").rstrip("0123456789")
    return next((role for role in ROLES if f"{kind}-ec2" in role.hosts), CELERY)


def is_further_web(host: str, role: Role) -> bool:
    """Tell whether a host is a web beside the first, which has the recorder."""
    return role is FLASK and host not in FLASK.hosts


def keeps_data(host: str, role: Role) -> bool:
    """Tell whether a host has a volume of its own; the history of further webs is on none."""
    return role in KEEPS_DATA and not is_further_web(host, role)


def planned_hosts(config: StackConfig) -> dict[str, Role]:
    """Map the name of each host to its role; workers are numbered from 1, more webs from 2."""
    workers = {f"worker{number}-ec2": CELERY for number in range(1, config.worker_count + 1)}
    others = {host: role for role in ROLES if role is not CELERY for host in role.hosts}
    webs = {f"flask{number}-ec2": FLASK for number in range(2, config.web_count + 1)}
    brokers = dict.fromkeys(FURTHER_BROKERS, RABBITMQ) if config.broker == "cluster3" else {}
    if config.broker == "amazonmq":
        del others[RABBITMQ.hosts[0]]
    if config.results == "elasticache":
        del others[REDIS.hosts[0]]
    return others | brokers | webs | workers


def holders_of_data(broker: str, results: str, history: str) -> set[str]:
    """Give the names of volumes and services that keep data, by options; empty: the default."""
    brokers = (*RABBITMQ.hosts, *(FURTHER_BROKERS if broker == "cluster3" else ()))
    found = {f"{host}-data" for host in FLASK.hosts}
    found |= {"rabbitmq"} if broker == "amazonmq" else {f"{host}-data" for host in brokers}
    found |= {"redis"} if results == "elasticache" else {f"{host}-data" for host in REDIS.hosts}
    return found | ({"history"} if history == "postgres" else set())
