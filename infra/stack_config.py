"""What differs between stacks: Pulumi's configuration, read and checked before anything is made."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, TypeVar

import pulumi

from celeriac import topology

Architecture = Literal["x86", "arm"]
Broker = Literal["ec2", "cluster3", "amazonmq"]
History = Literal["sqlite", "postgres"]
Results = Literal["ec2", "elasticache"]

Choice = TypeVar("Choice", bound=str)

BROKERS: tuple[Broker, ...] = ("ec2", "cluster3", "amazonmq")
HISTORIES: tuple[History, ...] = ("sqlite", "postgres")
RESULTS: tuple[Results, ...] = ("ec2", "elasticache")

SMALL: dict[Architecture, str] = {"x86": "t3.small", "arm": "t4g.small"}
"""The type of every host unless `instanceTypes` says otherwise: 2 GB, enough to build the image."""

DEFAULT_KEY = "~/.ssh/id_rsa.pub"
"""SSH finds its private half by itself."""

TYPE = r"[a-z][a-z0-9-]*\d[a-z0-9-]*\.[a-z0-9-]+"
"""An instance type such as c7i.large; services put a word of their own before it."""
ARM = re.compile(r"(a1|[a-z]+\d+g[a-z]*)\.")
NOT_NITRO = re.compile(
    r"(t[12]|m[1-4]|c[1-4]|cc2|cr1|r[34]|[hi][12]|hs1|i3|d2|f1|g[23]s?|p[23]|x1e?)\."
)
"""Families whose volumes have no name by which a host finds them.

Source: Amazon EC2 instance types guide, "Instances built on the AWS Nitro System".
"""
DOMAIN = r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]"

MAX_WORKERS = 50
MAX_WEBS = 10
SHORTEST_ADMIN_PREFIX = 8

SET_ADMIN_CIDR = (
    "pulumi -C infra config set adminCidr "
    '"$(curl -fsS https://checkip.amazonaws.com)/32"  # your own address'
)


class StackConfigError(pulumi.RunError):
    """A value of the stack's configuration is missing or wrong; nothing has been made."""


@dataclass(frozen=True)
class StackConfig:
    """The configuration of one stack. Sizes are in GB, networks in CIDR notation.

    `image` is pulled where it is set; the hosts build one from the source otherwise. The source is
    this checkout unless `git_url` and `git_commit` name another. `ssh_options` choose the key.
    """

    admin_cidr: str
    public_cidrs: tuple[str, ...]
    public_key: str
    ssh_options: str
    worker_count: int
    architecture: Architecture
    instance_types: Mapping[str, str]
    root_volume_gb: int
    data_volume_gb: int
    protect_data: bool
    ami: str | None
    image: str | None
    git_url: str | None
    git_commit: str | None
    broker: Broker
    broker_type: str
    history: History
    database_class: str
    results: Results
    cache_type: str
    spot_workers: bool
    domain: str | None
    domain_zone: str
    web_count: int


def read_stack_config() -> StackConfig:
    """Read the configuration of the selected stack.

    Raises:
        StackConfigError: a value is missing or wrong; the message has the command that mends it.
    """
    config = pulumi.Config("celeriac")
    admin_cidr = _admin_cidr(config.get("adminCidr"))
    architecture = _architecture(config.get("architecture") or "x86")
    git_url, git_commit = _git(config.get("gitUrl"), config.get("gitCommit"))
    domain, domain_zone = _domain(config.get("domain"), config.get("domainZone"))
    key_path = config.get("publicKeyPath") or DEFAULT_KEY
    return StackConfig(
        admin_cidr=admin_cidr,
        public_cidrs=_public_cidrs(config.get_object("publicCidrs"), admin_cidr),
        public_key=_public_key(key_path),
        ssh_options=_ssh_options(key_path),
        worker_count=_number(config, "workerCount", 2, most=MAX_WORKERS),
        architecture=architecture,
        instance_types=_instance_types(config.get_object("instanceTypes"), architecture),
        root_volume_gb=_number(config, "rootVolumeGb", 20, least=16),
        data_volume_gb=_number(config, "dataVolumeGb", 20, least=4),
        protect_data=bool(config.get_bool("protectData", True)),
        ami=config.get("ami"),
        image=config.get("image"),
        git_url=git_url,
        git_commit=git_commit,
        broker=_one_of("broker", config.get("broker"), BROKERS),
        broker_type=_type(config, "brokerType", "mq.m7g.medium", r"mq\.m7g\.[a-z0-9]+"),
        history=_one_of("history", config.get("history"), HISTORIES),
        database_class=_type(config, "databaseClass", "db.t4g.micro", rf"db\.{TYPE}"),
        results=_one_of("results", config.get("results"), RESULTS),
        cache_type=_type(config, "cacheType", "cache.t4g.small", rf"cache\.{TYPE}"),
        spot_workers=bool(config.get_bool("spotWorkers", False)),
        domain=domain,
        domain_zone=domain_zone,
        web_count=_web_count(config),
    )


def _admin_cidr(value: str | None) -> str:
    if not value:
        raise StackConfigError(
            "adminCidr is not set: the network from which SSH, Flower and RabbitMQ's pages may be "
            f"reached. Run: {SET_ADMIN_CIDR}"
        )
    network = _network("adminCidr", value)
    if int(network.partition("/")[2]) < SHORTEST_ADMIN_PREFIX:
        raise StackConfigError(
            f"adminCidr is {value}, which is (nearly) the whole world. Run: {SET_ADMIN_CIDR}"
        )
    return network


def _public_cidrs(value: object, admin_cidr: str) -> tuple[str, ...]:
    if value is None:
        return (admin_cidr,)
    if not isinstance(value, list) or not value:
        raise StackConfigError('publicCidrs is a list such as ["203.0.113.0/24"]')
    # What is there twice would be made twice.
    return tuple(dict.fromkeys(_network("publicCidrs", str(each)) for each in value))


def _network(key: str, value: str) -> str:
    try:
        network = ip_network(value)
    except ValueError as error:
        raise StackConfigError(f"{key}: {error}") from None
    if network.version != 4:
        raise StackConfigError(f"{key}: {value} is none of IPv4, which alone the VPC speaks")
    return str(network)


def _public_key(path: str) -> str:
    file = Path(path).expanduser()
    if not file.is_file():
        raise StackConfigError(
            f"There is no public key {path}. Make one with `ssh-keygen -t rsa -b 4096`, or name "
            "another: pulumi -C infra config set publicKeyPath PATH"
        )
    key = file.read_text(encoding="utf-8", errors="replace").strip()
    if not key.startswith(("ssh-rsa ", "ssh-ed25519 ")):
        raise StackConfigError(f"{path} is no public key that EC2 takes (ssh-rsa or ssh-ed25519)")
    return key


def _ssh_options(key_path: str) -> str:
    """Name the private half to SSH, which expands ~ by itself; with a space behind."""
    if key_path == DEFAULT_KEY:
        return ""
    private = key_path.removesuffix(".pub")
    return f"-i {shlex.quote(private if private[0] == '~' else str(Path(private).absolute()))} "


def _architecture(value: str) -> Architecture:
    if value not in SMALL:
        raise StackConfigError(f"architecture is {value}; it is one of: {', '.join(SMALL)}")
    return value


def _web_count(config: pulumi.Config) -> int:
    count = _number(config, "webCount", 1, most=MAX_WEBS)
    if count > 1 and not (config.get("domain") and config.get("history") == "postgres"):
        raise StackConfigError(
            "webCount above 1 needs a domain, whose load balancer stands before all of them, and "
            "history = postgres, which they share"
        )
    return count


def _one_of(key: str, value: str | None, choices: tuple[Choice, ...]) -> Choice:
    """Find the choice; the first is the default."""
    for choice in choices:
        if choice == (value or choices[0]):
            return choice
    raise StackConfigError(f"{key} is {value}; it is one of: {', '.join(choices)}")


def is_arm(instance_type: str) -> bool:
    """Tell whether a type of machine has processors of ARM, by the letter g of its family."""
    return bool(ARM.match(instance_type))


def _instance_types(value: object, architecture: Architecture) -> Mapping[str, str]:
    """Map each role to its instance type."""
    types = {role.name: SMALL[architecture] for role in topology.ROLES}
    wanted = value if isinstance(value, dict) else {}
    if value is not None and (not wanted or wanted.keys() - types.keys()):
        raise StackConfigError(f"instanceTypes maps roles ({', '.join(types)}) to instance types")
    for role, each in wanted.items():
        if not isinstance(each, str) or not re.fullmatch(TYPE, each):
            raise StackConfigError(f"instanceTypes: {role} has {each}, which is no instance type")
        if NOT_NITRO.match(each):
            raise StackConfigError(
                f"instanceTypes: {role} has {each}, which is too old: it is none of AWS's Nitro "
                "system, as t3, c5, m5 and all that came after them are"
            )
        if is_arm(each) != (architecture == "arm"):
            raise StackConfigError(
                f"instanceTypes: {role} has {each}, which is not of the architecture {architecture}"
            )
    return types | wanted


def _type(config: pulumi.Config, key: str, default: str, pattern: str) -> str:
    value = config.get(key) or default
    if not re.fullmatch(pattern, value):
        raise StackConfigError(f"{key} is {value}; it is one such as {default}")
    return value


def _domain(domain: str | None, zone: str | None) -> tuple[str | None, str]:
    if not domain:
        return None, ""
    if not re.fullmatch(DOMAIN, domain):
        raise StackConfigError(f"domain is {domain}; it is a name such as celeriac.example.org")
    zone = zone or domain.partition(".")[2]
    if domain != zone and not domain.endswith(f".{zone}"):
        raise StackConfigError(f"domainZone is {zone}, in which {domain} is not")
    return domain, zone


def _number(
    config: pulumi.Config, key: str, default: int, least: int = 1, most: int = 16384
) -> int:
    try:
        value = config.get_int(key, default)
    except pulumi.ConfigTypeError:
        value = None
    if value is None or not least <= value <= most:
        raise StackConfigError(f"{key} is a number from {least} to {most}")
    return value


def _git(url: str | None, commit: str | None) -> tuple[str | None, str | None]:
    if bool(url) != bool(commit):
        raise StackConfigError("gitUrl and gitCommit go together")
    if commit and not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise StackConfigError("gitCommit is a whole commit: 40 hexadecimal digits")
    return url, commit
