"""Wrong configuration stops the program before anything is made, with what to do about it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest

from infra_stack import KEY, VALID, execute
from stack_config import SET_ADMIN_CIDR, StackConfigError, read_stack_config

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _no_configuration_is_left() -> Iterator[None]:
    yield
    pulumi.runtime.set_all_config({})


def _configure(**values: str) -> None:
    found = VALID | values
    pulumi.runtime.set_all_config({f"celeriac:{key}": each for key, each in found.items() if each})


def test_program_without_admin_cidr_makes_nothing_and_says_how_to_set_it() -> None:
    assert execute({"publicKeyPath": str(KEY)}) == {
        "error": (
            "adminCidr is not set: the network from which SSH, Flower and RabbitMQ's pages may be "
            f"reached. Run: {SET_ADMIN_CIDR}"
        )
    }
    assert SET_ADMIN_CIDR.startswith("pulumi -C infra config set adminCidr ")


def test_public_is_who_runs_it_unless_the_configuration_says_otherwise() -> None:
    _configure()

    assert read_stack_config().public_cidrs == ("198.51.100.7/32",)


def test_missing_key_is_told_with_the_command_that_makes_one() -> None:
    _configure(publicKeyPath="/nowhere/id_rsa.pub")

    with pytest.raises(StackConfigError, match=r"no public key /nowhere/id_rsa.pub.*ssh-keygen"):
        read_stack_config()


def test_instance_types_are_by_role() -> None:
    _configure(instanceTypes=json.dumps({"celery": "c7i.large"}))
    types = read_stack_config().instance_types

    assert (types["celery"], types["flask"]) == ("c7i.large", "t3.small")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("adminCidr", "0.0.0.0/0", "the whole world"),
        ("adminCidr", "0.0.0.0/1", "the whole world"),
        ("adminCidr", "198.51.100.7/24", "host bits"),
        ("adminCidr", "::/0", "IPv4"),
        ("adminCidr", "me", "adminCidr: 'me'"),
        ("publicCidrs", "[]", "is a list"),
        ("publicCidrs", '["everybody"]', "publicCidrs: 'everybody'"),
        ("workerCount", "0", "workerCount is a number from 1"),
        ("workerCount", "many", "workerCount is a number from 1"),
        ("rootVolumeGb", "8", "rootVolumeGb is a number from 16"),
        ("architecture", "mips", "one of: x86, arm"),
        ("instanceTypes", '{"web": "t3.small"}', "maps roles"),
        ("instanceTypes", '{"celery": 3}', "celery has 3, which is no instance type"),
        ("instanceTypes", '{"redis": "t2.small"}', "redis has t2.small, which is too old"),
        ("instanceTypes", '{"celery": "t4g.small"}', "not of the architecture x86"),
        ("brokerType", "mq.m5.large", "brokerType is mq.m5.large; it is one such as mq.m7g.medium"),
        ("databaseClass", "t4g.micro", "such as db.t4g.micro"),
        ("cacheType", "t4g.small", "such as cache.t4g.small"),
        ("domain", "https://celeriac.example.org/", "a name such as"),
        ("domain", "localhost", "a name such as"),
        ("webCount", "2", "needs a domain"),
        ("results", "memcached", "one of: ec2, elasticache"),
        ("broker", "kafka", "one of: ec2, cluster3, amazonmq"),
        ("history", "mysql", "one of: sqlite, postgres"),
        ("gitUrl", "https://git.example.org/celeriac.git", "go together"),
        ("publicKeyPath", __file__, "no public key that EC2 takes"),
    ],
)
def test_wrong_value_is_told(key: str, value: str, message: str) -> None:
    _configure(**{key: value})

    with pytest.raises(StackConfigError, match=message):
        read_stack_config()


def test_zone_must_be_one_of_the_domain() -> None:
    _configure(domain="celeriac.example.org", domainZone="example.com")

    with pytest.raises(StackConfigError, match=r"domainZone is example\.com"):
        read_stack_config()


def test_hosts_of_arm_have_types_of_arm() -> None:
    _configure(architecture="arm", instanceTypes=json.dumps({"celery": "c7i.large"}))

    with pytest.raises(StackConfigError, match="not of the architecture arm"):
        read_stack_config()


def test_network_that_is_named_twice_is_there_once() -> None:
    _configure(publicCidrs='["203.0.113.0/24", "203.0.113.0/24"]')

    assert read_stack_config().public_cidrs == ("203.0.113.0/24",)


def test_ssh_is_told_the_key_unless_it_looks_for_it_by_itself(tmp_path: Path) -> None:
    key = tmp_path / "my key.pub"
    key.write_text(KEY.read_text())
    _configure(publicKeyPath=str(key))

    assert read_stack_config().ssh_options == f"-i '{tmp_path}/my key' "


def test_short_commit_is_refused() -> None:
    _configure(gitUrl="https://git.example.org/celeriac.git", gitCommit="abc123")

    with pytest.raises(StackConfigError, match="40 hexadecimal digits"):
        read_stack_config()
