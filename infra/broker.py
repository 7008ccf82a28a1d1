"""Where RabbitMQ is: on one host, on three that are one broker, or Amazon MQ in a host's place."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
from pulumi_aws import mq

from celeriac.topology import CLUSTER_PORTS, FLASK, RABBITMQ
from credentials import CLIENTS, Credentials
from firewall import Firewall
from names import full_name
from network import Network
from parameters import BrokerEnvironments
from plan import FURTHER_BROKERS
from stack_config import StackConfig
from tags import tags

VERSION = "4.2"
USER = "celeriac"
AMQPS_PORT, HTTPS_PORT = 5671, 443

RELEASE = "/opt/celeriac/current"
COMPOSE_FILE = f"{RELEASE}/docker-compose.yml:{RELEASE}/deploy/rabbitmq/cluster.yml"
"""Compose takes paths in it from where it is called, not from the folder of the project."""


@dataclass(frozen=True)
class AmazonMqArgs:
    """The password of its one user, the subnet it is in, and the group that guards it."""

    config: StackConfig
    password: pulumi.Output[str]
    subnet_id: pulumi.Input[str]
    security_group: pulumi.Input[str]


class AmazonMq(pulumi.ComponentResource):
    """RabbitMQ as a service. `host` is its name, by which it speaks TLS alone."""

    host: pulumi.Output[str]

    def __init__(self, name: str, args: AmazonMqArgs) -> None:
        super().__init__("celeriac:infra:AmazonMq", name)
        # Pulumi does not know by itself that this one is secret.
        password: pulumi.Output[str] = pulumi.Output.secret(args.password)
        broker = mq.Broker(
            "rabbitmq",
            engine_type="RabbitMQ",
            engine_version=VERSION,
            # AWS makes no broker of this version without.
            auto_minor_version_upgrade=True,
            host_instance_type=args.config.broker_type,
            deployment_mode="SINGLE_INSTANCE",
            publicly_accessible=False,
            subnet_ids=[args.subnet_id],
            security_groups=[args.security_group],
            users=[{"username": USER, "password": password}],
            tags=tags("rabbitmq"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.config.protect_data),
        )
        self.host = broker.instances[0].endpoints[0].apply(_host_of)
        self.register_outputs({"host": self.host})


def _host_of(endpoint: str) -> str:
    """Give the name in amqps://NAME:5671."""
    return str(urlsplit(endpoint).hostname)


def create_broker(
    config: StackConfig, credentials: Credentials, network: Network, firewall: Firewall
) -> BrokerEnvironments:
    """Make what the configuration asks for, beside hosts, and tell how it is found."""
    if config.broker == "amazonmq":
        return _amazon_mq(config, credentials, network, firewall)
    if credentials.cookie is None:
        return BrokerEnvironments({"RABBITMQ_HOST": full_name(RABBITMQ.hosts[0])}, {})
    for what, port in CLUSTER_PORTS.items():
        firewall.open_port(RABBITMQ.name, port, what, source=RABBITMQ.name)
    return BrokerEnvironments(
        {"RABBITMQ_HOST": full_name(RABBITMQ.name)},
        {
            "COMPOSE_FILE": COMPOSE_FILE,
            "RABBITMQ_CLUSTER": " ".join(map(full_name, (*RABBITMQ.hosts, *FURTHER_BROKERS))),
            "RABBITMQ_COOKIE": credentials.cookie,
        },
    )


def _amazon_mq(
    config: StackConfig, credentials: Credentials, network: Network, firewall: Firewall
) -> BrokerEnvironments:
    guard = firewall.groups[RABBITMQ.name]
    for role in CLIENTS:
        firewall.open_port(RABBITMQ.name, AMQPS_PORT, "amqps", source=role)
    # Who looks into it, or backs it up, does so from there: nobody else reaches its pages.
    firewall.open_port(RABBITMQ.name, HTTPS_PORT, "https", source=FLASK.name)
    password = credentials.rabbitmq["admin"]
    made = AmazonMq("celeriac", AmazonMqArgs(config, password, network.subnet_id, guard))
    return BrokerEnvironments(
        {
            "RABBITMQ_HOST": made.host,
            "RABBITMQ_PORT": str(AMQPS_PORT),
            "RABBITMQ_SCHEME": "amqps",
            "RABBITMQ_USER": USER,
            # The one that it is made with: nobody in a deployment could make another.
            "RABBITMQ_VHOST": "%2F",
        },
        None,
    )
