"""The instances, what they may, what they are told, and what is put out."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from celeriac.topology import ROLES
from infra_stack import KEY, UNKNOWN, Resource, Stack, deployed, secrets, texts

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
PARAMETER = "aws:ssm/parameter:Parameter"
VOLUME = "aws:ebs/volume:Volume"
UNTAGGED = ("Association", "Attachment", "Policy", "Record", "PublicAccessBlock", "RandomPassword")


@pytest.fixture(params=[False, True], ids=["up", "preview"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Give the stack as it comes up, and as it is previewed."""
    return deployed(preview=request.param)


def test_each_role_has_its_hosts(stack: Stack) -> None:
    roles = {name: host.inputs["tags"]["Role"] for name, host in stack.instances().items()}

    assert roles == {host: role.name for role in ROLES for host in role.hosts}


def test_no_input_has_an_output_in_it_that_nobody_waited_for(stack: Stack) -> None:
    for resource in stack.resources:
        assert not [each for each in texts(resource.inputs) if "Calling __str__" in each]


def test_metadata_is_for_the_host_alone(stack: Stack) -> None:
    for host in stack.instances().values():
        assert host.inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }


def test_every_disk_is_encrypted(stack: Stack) -> None:
    roots = [host.inputs["rootBlockDevice"] for host in stack.instances().values()]

    assert all(each["encrypted"] and each["volumeType"] == "gp3" for each in roots)
    assert all(each.inputs["encrypted"] for each in stack.of(VOLUME))


def test_what_must_last_is_on_volumes_that_outlive_their_host() -> None:
    stack = deployed()
    attached = {
        each.inputs["instanceId"]: each.inputs
        for each in stack.of("aws:ec2/volumeAttachment:VolumeAttachment")
    }

    assert attached.keys() == {"instance-rabbitmq-ec2", "instance-redis-ec2", "instance-flask-ec2"}
    for volume in stack.of(VOLUME):
        host = stack.instances()[volume.name.removesuffix("-data")]
        assert volume.protect
        assert host.urn not in stack.needs(volume), "it would be replaced with its host"
        assert host.delete_before_replace
        assert attached[f"instance-{host.name}"]["stopInstanceBeforeDetaching"] is True


def test_neither_newer_image_of_the_system_nor_another_key_replaces_a_host(stack: Stack) -> None:
    ignored = [host.ignore_changes for host in stack.instances().values()]

    assert all(each == ["keyName", "ami"] for each in ignored)


def test_changed_start_up_script_replaces_its_host(stack: Stack) -> None:
    assert all(host.inputs["userDataReplaceOnChange"] for host in stack.instances().values())


def test_key_is_the_one_of_the_configuration(stack: Stack) -> None:
    key = stack.one("aws:ec2/keyPair:KeyPair")

    assert key.inputs["publicKey"] == KEY.read_text().strip()
    assert all(key.urn in stack.needs(host) for host in stack.instances().values())


def _taggable(resource: Resource) -> bool:
    return resource.custom and not resource.type.endswith(UNTAGGED)


def test_everything_is_found_by_its_tags(stack: Stack) -> None:
    for resource in filter(_taggable, stack.resources):
        tags = resource.inputs["tags"]
        assert (tags["Project"], tags["Stack"]) == ("celeriac", "dev"), resource.name


def test_host_may_read_what_is_its_own_and_nothing_else() -> None:
    stack = deployed()
    parameters = "arn:aws:ssm:us-east-1:123456789012:parameter/celeriac/dev"
    for role in ROLES:
        policy = stack.one("aws:iam/rolePolicy:RolePolicy", f"celeriac-{role.name}")
        read, session, bundle = json.loads(policy.inputs["policy"])["Statement"]

        assert read["Resource"] == [
            f"{parameters}/{role.name}",
            f"{parameters}/{role.name}/*",
            f"{parameters}/release",
        ]
        assert all(action.startswith("ssm:Get") for action in read["Action"])
        assert not [each for each in session["Action"] if "Get" in each or "*" in each]
        assert bundle["Action"] == "s3:GetObject"
        assert bundle["Resource"].startswith("arn:aws:s3:::bucket-bundles/")
        assert "*" not in bundle["Resource"]


def test_host_starts_after_what_it_reads() -> None:
    stack = deployed()
    for host in stack.instances().values():
        needed = stack.needs(host)
        role = host.inputs["tags"]["Role"]
        assert stack.one("aws:iam/rolePolicy:RolePolicy", f"celeriac-{role}").urn in needed
        for parameter in stack.of(PARAMETER):
            own = parameter.inputs["name"].startswith(
                (f"/celeriac/dev/{role}/", "/celeriac/dev/rel")
            )
            assert own is (parameter.urn in needed), parameter.name


def _told(stack: Stack, role: str) -> dict[str, str]:
    folder = f"/celeriac/dev/{role}/"
    return {
        each.inputs["name"].removeprefix(folder): each.inputs["value"]["secret"]
        for each in stack.of(PARAMETER)
        if each.inputs["name"].startswith(folder)
    }


def test_role_is_told_where_the_others_are_and_its_own_secrets_alone() -> None:
    stack = deployed()

    assert _told(stack, "celery") == {
        "RABBITMQ_HOST": "rabbitmq-ec2.celeriac.internal",
        "REDIS_HOST": "redis-ec2.celeriac.internal",
        "REDIS_SCHEME": "redis",
        "RABBITMQ_CELERY_PASSWORD": "SECRETrabbitmq-celery",
        "REDIS_CELERY_PASSWORD": "SECRETredis-celery",
        "CELERIAC_MESSAGE_KEYS": "stack:SECRETmessage-key",
    }
    assert _told(stack, "flask").keys() == {
        "LISTEN_ON",
        "RABBITMQ_HOST",
        "REDIS_HOST",
        "REDIS_SCHEME",
        "RABBITMQ_FLASK_PASSWORD",
        "REDIS_FLASK_PASSWORD",
        "CELERIAC_MESSAGE_KEYS",
        "CELERIAC_SECRET_KEY",
        "CELERIAC_PUBLIC_URL",
        "CELERIAC_FLOWER_URL",
        "FLOWER_PASSWORD",
    }
    assert _told(stack, "flask")["CELERIAC_PUBLIC_URL"] == "http://203.0.113.200:5000"
    assert (
        _told(stack, "flask")["CELERIAC_FLOWER_URL"] == "http://flower-ec2.celeriac.internal:5555"
    )
    assert "CELERIAC_MESSAGE_KEYS" not in _told(stack, "flower")


@pytest.mark.parametrize("role", [role.name for role in ROLES])
def test_compose_knows_what_a_role_is_told_and_is_told_every_password(role: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    own = json.dumps([each for each in services.values() if role in each["profiles"]])
    told = _told(deployed(), role).keys()

    assert {name for name in told if not re.search(rf"\b{name}\b", own)} == set()
    assert set(re.findall(r"\b(?:RABBITMQ|REDIS|FLOWER)[A-Z_]*_PASSWORD\b", own)) <= told


def test_every_parameter_is_encrypted(stack: Stack) -> None:
    for parameter in stack.of(PARAMETER):
        assert parameter.inputs["type"] == "SecureString"
        assert parameter.inputs["value"].keys() == {"secret"}


def test_no_secret_is_anywhere_else(stack: Stack) -> None:
    for resource in stack.resources:
        if resource.type != PARAMETER:
            assert not list(secrets(resource.inputs)), resource.name
            assert not [
                each for each in texts(resource.inputs) if "SECRET" in each and "\n" not in each
            ]
    assert not list(secrets(stack.outputs))
    assert "SECRET" not in json.dumps(stack.outputs)


def test_no_secret_is_in_any_user_data(stack: Stack) -> None:
    passwords = stack.of("random:index/randomPassword:RandomPassword")
    assert len(passwords) == 11
    for host in stack.instances().values():
        assert isinstance(host.inputs["userData"], str), "it would be marked as secret"
        for password in passwords:
            assert f"SECRET{password.name}" not in host.inputs["userData"]


def test_bundle_is_one_commit_behind_a_closed_door() -> None:
    stack = deployed()
    told = json.loads(stack.one(PARAMETER, "release").inputs["value"]["secret"])
    item = stack.one("aws:s3/bucketObjectv2:BucketObjectv2")
    closed = stack.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    file = Path(item.inputs["source"]["path"])

    assert told["key"] == f"{told['commit']}.tar.gz"
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sum(value is True for value in closed.inputs.values()) == 4
    assert closed.urn in item.dependencies


def test_outputs_lead_to_every_host() -> None:
    outputs = deployed().outputs
    hosts = deployed().instances()

    assert {f"{host}_public_ip" for host in hosts} <= outputs.keys()
    assert outputs["flask_url"] == "http://203.0.113.200:5000"
    assert outputs["flower_url"] == f"http://{outputs['flower-ec2_public_ip']}:5555"
    assert outputs["rabbitmq_url"] == f"http://{outputs['rabbitmq-ec2_public_ip']}:15672"
    assert outputs["ssh"]["redis-ec2"] == (
        f"ssh -i {KEY.with_suffix('')} ubuntu@{outputs['redis-ec2_public_ip']}"
    )
    assert outputs["ssm"].keys() == hosts.keys()
    assert outputs["ssm"]["redis-ec2"] == (
        "aws ssm start-session --region us-east-1 --target instance-redis-ec2"
    )


def test_preview_knows_no_address_yet() -> None:
    assert deployed(preview=True).outputs["flask_url"] == UNKNOWN
