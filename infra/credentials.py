"""The secrets of a stack: generated once, kept in Pulumi's encrypted state, known to nobody."""

from dataclasses import dataclass

import pulumi
from pulumi_random import RandomPassword

from celeriac.topology import CELERY, FLASK, FLOWER
from stack_config import Broker

SECRET_LENGTH = 40

CLIENTS = (FLASK.name, CELERY.name, FLOWER.name)
"""The roles that are users of RabbitMQ and of Redis, each with a password of its own."""


@dataclass(frozen=True)
class Credentials:
    """Passwords of the users of each server, by the user's name, and the keys of the web.

    With the `cookie` hosts of RabbitMQ know each other, where there are several.
    """

    rabbitmq: dict[str, pulumi.Output[str]]
    redis: dict[str, pulumi.Output[str]]
    flower: pulumi.Output[str]
    cookie: pulumi.Output[str] | None
    secret_key: pulumi.Output[str]
    message_key: pulumi.Output[str]


def create_credentials(broker: Broker) -> Credentials:
    """Generate all secrets; they stay the same until a resource of theirs is replaced."""
    return Credentials(
        rabbitmq=_rabbitmq_passwords(broker),
        redis={user: _generate(f"redis-{user}") for user in (*CLIENTS, "admin")},
        flower=_generate("flower"),
        cookie=_generate("rabbitmq-cookie") if broker == "cluster3" else None,
        secret_key=_generate("secret-key"),
        message_key=_generate("message-key"),
    )


def _rabbitmq_passwords(broker: Broker) -> dict[str, pulumi.Output[str]]:
    users = (*CLIENTS, "admin")
    if broker == "amazonmq":
        # It is made with one user, which all roles are then.
        return dict.fromkeys(users, _generate("rabbitmq-everybody"))
    return {user: _generate(f"rabbitmq-{user}") for user in users}


def _generate(name: str) -> pulumi.Output[str]:
    # Letters and digits alone: they stand in URLs and in files of settings.
    return RandomPassword(name, length=SECRET_LENGTH, special=False).result
