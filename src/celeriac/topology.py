"""The deployable roles and where they listen: one table for code, compose, infra and documents."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Role:
    """One role a host: its name is its compose profile and its CLI verb too.

    `ports` maps what answers there to the TCP port number.
    """

    name: str
    hosts: tuple[str, ...]
    ports: dict[str, int]


FLASK = Role("flask", ("flask-ec2",), {"web": 5000})
RABBITMQ = Role("rabbitmq", ("rabbitmq-ec2",), {"amqp": 5672, "management": 15672})
REDIS = Role("redis", ("redis-ec2",), {"redis": 6379})
CELERY = Role("celery", ("worker1-ec2", "worker2-ec2"), {})
FLOWER = Role("flower", ("flower-ec2",), {"flower": 5555})

ROLES = (FLASK, RABBITMQ, REDIS, CELERY, FLOWER)


@dataclass(frozen=True)
class Door:
    """A port of a role, and who may reach it: the hosts of `roles`, and people.

    `admins` come from the one network of those who run the system, `public` from wherever users do.
    """

    role: Role
    port: str
    roles: tuple[Role, ...] = ()
    people: Literal["nobody", "admins", "public"] = "nobody"


DOORS = (
    Door(FLASK, "web", people="public"),
    Door(RABBITMQ, "amqp", roles=(FLASK, CELERY, FLOWER)),
    Door(RABBITMQ, "management", people="admins"),
    Door(REDIS, "redis", roles=(FLASK, CELERY, FLOWER)),
    # The web shows Flower's pages to those who have signed in.
    Door(FLOWER, "flower", roles=(FLASK,), people="admins"),
)

CLUSTER_PORTS = {"epmd": 4369, "erlang": 25672}
"""What hosts of RabbitMQ that are one broker open to each other, and to nobody else."""

QUEUE = "celery_see"
"""The queue that tasks go to unless they say otherwise."""
