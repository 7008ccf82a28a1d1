"""What each role is told: SSM parameters that are the environment of its compose profile.

Their names are those at the head of docker-compose.yml. A host reads the folder of its own role at
each boot, and may read no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ssm

from celeriac.topology import CELERY, FLASK, FLOWER, RABBITMQ, REDIS, ROLES
from credentials import CLIENTS, Credentials
from names import full_name
from tags import tags

Environment = dict[str, pulumi.Input[str]]


@dataclass(frozen=True)
class BrokerEnvironments:
    """What clients are told of RabbitMQ, and its hosts of each other; None: it is on no host."""

    clients: Environment
    hosts: Environment | None


@dataclass(frozen=True)
class Services:
    """Where RabbitMQ is, and services of AWS that stand for Redis or the file of the history."""

    broker: BrokerEnvironments
    history_url: pulumi.Input[str] | None = None
    redis_host: pulumi.Input[str] | None = None


def folder(role: str) -> str:
    """Give the folder of a role's parameters."""
    return f"/celeriac/{pulumi.get_stack()}/{role}"


def release_name() -> str:
    """Give the name of the parameter that tells which version the hosts run."""
    return f"/celeriac/{pulumi.get_stack()}/release"


def environments(
    credentials: Credentials,
    public_url: pulumi.Input[str],
    services: Services,
    domain: str | None,
) -> dict[str, Environment]:
    """Map each role to its environment; none has a secret that it does not need."""
    found = {role: _client(role, credentials, services) for role in CLIENTS}
    message_keys = pulumi.Output.concat("stack:", credentials.message_key)
    found[FLASK.name] |= {
        "CELERIAC_PUBLIC_URL": public_url,
        "CELERIAC_FLOWER_URL": f"http://{full_name(FLOWER.hosts[0])}:{FLOWER.ports['flower']}",
        "FLOWER_PASSWORD": credentials.flower,
        "CELERIAC_SECRET_KEY": credentials.secret_key,
        "CELERIAC_MESSAGE_KEYS": message_keys,
    }
    if services.history_url is not None:
        found[FLASK.name]["CELERIAC_HISTORY_URL"] = services.history_url
    if domain:
        # Whoever reaches the load balancer can claim any X-Forwarded-Host.
        found[FLASK.name] |= {"CELERIAC_TRUSTED_PROXIES": "1", "CELERIAC_TRUSTED_HOSTS": domain}
    found[CELERY.name] |= {"CELERIAC_MESSAGE_KEYS": message_keys}
    found[FLOWER.name] |= {"FLOWER_PASSWORD": credentials.flower}
    hosts = services.broker.hosts
    found[RABBITMQ.name] = (
        {} if hosts is None else hosts | _passwords("RABBITMQ", credentials.rabbitmq)
    )
    found[REDIS.name] = {} if services.redis_host else _passwords("REDIS", credentials.redis)
    for role in ROLES:
        if role.ports and found[role.name]:
            # The security groups stand before every port.
            found[role.name]["LISTEN_ON"] = "0.0.0.0"  # noqa: S104
    return found


def _client(role: str, credentials: Credentials, services: Services) -> Environment:
    return services.broker.clients | {
        "REDIS_HOST": services.redis_host or full_name(REDIS.hosts[0]),
        "REDIS_SCHEME": "rediss" if services.redis_host else "redis",
        f"RABBITMQ_{role.upper()}_PASSWORD": credentials.rabbitmq[role],
        f"REDIS_{role.upper()}_PASSWORD": credentials.redis[role],
    }


def _passwords(server: str, passwords: Mapping[str, pulumi.Output[str]]) -> Environment:
    return {f"{server}_{user.upper()}_PASSWORD": each for user, each in passwords.items()}


class Parameters(pulumi.ComponentResource):
    """Every role's environment and the release, as SecureStrings."""

    def __init__(
        self,
        name: str,
        environments: Mapping[str, Environment],
        release: Mapping[str, pulumi.Input[str]],
    ) -> None:
        super().__init__("celeriac:infra:Parameters", name)
        self._child = pulumi.ResourceOptions(parent=self)
        self._by_role = {
            role: [self._create(f"{folder(role)}/{key}", value) for key, value in each.items()]
            for role, each in environments.items()
        }
        self._release = self._create(release_name(), pulumi.Output.json_dumps(dict(release)))
        self.register_outputs({})

    def of(self, role: str) -> list[pulumi.Resource]:
        """Give the parameters that must be there before a host of the role starts."""
        return [*self._by_role[role], self._release]

    def _create(self, name: str, value: pulumi.Input[str]) -> pulumi.Resource:
        resource = name.removeprefix("/celeriac/").partition("/")[2].replace("/", "-")
        return ssm.Parameter(  # type: ignore[no-any-return]
            resource,
            name=name,
            type="SecureString",
            value=pulumi.Output.secret(value),
            tags=tags(resource),
            opts=self._child,
        )
