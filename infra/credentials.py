"""The secrets of a stack: generated once, kept in Pulumi's encrypted state, known to nobody."""

from dataclasses import dataclass

import pulumi
from pulumi_random import RandomPassword

from celeriac.topology import CELERY, FLASK, FLOWER

SECRET_LENGTH = 40

CLIENTS = (FLASK.name, CELERY.name, FLOWER.name)
"""The roles that are users of RabbitMQ and of Redis, each with a password of its own."""


@dataclass(frozen=True)
class Credentials:
    """Passwords of the users of each server, by the user's name, and the keys of the web."""

    rabbitmq: dict[str, pulumi.Output[str]]
    redis: dict[str, pulumi.Output[str]]
    flower: pulumi.Output[str]
    secret_key: pulumi.Output[str]
    message_key: pulumi.Output[str]


def create_credentials() -> Credentials:
    """Generate all secrets; they stay the same until a resource of theirs is replaced."""
    return Credentials(
        rabbitmq={user: _generate(f"rabbitmq-{user}") for user in (*CLIENTS, "admin")},
        redis={user: _generate(f"redis-{user}") for user in (*CLIENTS, "admin")},
        flower=_generate("flower"),
        secret_key=_generate("secret-key"),
        message_key=_generate("message-key"),
    )


def _generate(name: str) -> pulumi.Output[str]:
    # Letters and digits alone: they stand in URLs and in files of settings.
    return RandomPassword(name, length=SECRET_LENGTH, special=False).result
