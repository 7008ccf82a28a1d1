"""The deployable roles and where they listen: one table for code, compose, infra and documents."""

from dataclasses import dataclass


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

QUEUE = "celery_see"
"""The queue that tasks go to unless they say otherwise."""
