"""A host: an instance that starts one role, its name, and its data where it keeps any."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ebs, ec2

import parameters
import startup
from celeriac.topology import CELERY, Role
from identity import Identity
from names import Names, full_name
from network import Network
from plan import is_further_web, keeps_data
from stack_config import StackConfig
from tags import tags

DEVICE = "/dev/sdf"

SPOT = {
    "market_type": "spot",
    "spot_options": {
        "spot_instance_type": "one-time",
        "instance_interruption_behavior": "terminate",
    },
}
"""A machine that AWS may take away two minutes after it has said so."""


@dataclass(frozen=True)
class HostArgs:
    """What all hosts share, and the role of this one.

    `depends_on` has what the host needs when it starts.
    """

    role: Role
    config: StackConfig
    region: pulumi.Input[str]
    ami: pulumi.Input[str]
    key_name: pulumi.Input[str]
    network: Network
    names: Names
    security_group: pulumi.Input[str]
    identity: Identity
    depends_on: Sequence[pulumi.Resource]


class Host(pulumi.ComponentResource):
    """One machine; `public_ip` is its address at launch, `private_ip` the one among hosts."""

    instance_id: pulumi.Output[str]
    public_ip: pulumi.Output[str]
    private_ip: pulumi.Output[str]

    def __init__(self, name: str, args: HostArgs) -> None:
        super().__init__("celeriac:infra:Host", name)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        volume = self._create_volume(args) if keeps_data(name, args.role) else None
        instance = self._create_instance(args, volume)
        if volume is not None:
            self._attach(volume, instance)
        self.instance_id = instance.id
        self.public_ip, self.private_ip = instance.public_ip, instance.private_ip
        args.names.point(name, self.private_ip)
        self.register_outputs({"instance_id": self.instance_id, "public_ip": self.public_ip})

    def _create_volume(self, args: HostArgs) -> ebs.Volume:
        return ebs.Volume(
            f"{self._name}-data",
            availability_zone=args.network.zone_name,
            size=args.config.data_volume_gb,
            type="gp3",
            encrypted=True,
            tags=tags(f"{self._name}-data"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.config.protect_data),
        )

    def _create_instance(self, args: HostArgs, volume: ebs.Volume | None) -> ec2.Instance:
        return ec2.Instance(
            self._name,
            ami=args.ami,
            instance_type=args.config.instance_types[args.role.name],
            subnet_id=args.network.subnet_id,
            vpc_security_group_ids=[args.security_group],
            key_name=args.key_name,
            iam_instance_profile=args.identity.profile,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # No container gets at the host's rights.
                "http_put_response_hop_limit": 1,
            },
            root_block_device={
                "volume_type": "gp3",
                "volume_size": args.config.root_volume_gb,
                "encrypted": True,
                "tags": tags(f"{self._name}-root"),
            },
            instance_market_options=SPOT if self._is_spot(args) else None,
            user_data=self._start_up(args, volume),
            # It runs once in the life of an instance: a change would never be seen otherwise.
            user_data_replace_on_change=True,
            tags=tags(self._name, Role=args.role.name),
            opts=self._instance_options(args),
        )

    @staticmethod
    def _is_spot(args: HostArgs) -> bool:
        return args.role is CELERY and args.config.spot_workers

    def _instance_options(self, args: HostArgs) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=[args.network.ready, args.identity.policy, *args.depends_on],
            # Neither a newer image of the system nor somebody's other key replaces hosts.
            ignore_changes=["key_name", *([] if args.config.ami else ["ami"])],
            # AWS cannot stop a spot machine to give it another type.
            replace_on_changes=["instance_type"] if self._is_spot(args) else [],
            # Its data cannot be on two machines at once.
            delete_before_replace=keeps_data(self._name, args.role),
        )

    def _start_up(self, args: HostArgs, volume: ebs.Volume | None) -> pulumi.Output[str]:
        settings = {
            "ROLE": args.role.name,
            "HOST": self._name,
            "FULL_NAME": full_name(self._name),
            "REGION": args.region,
            "PARAMETERS": parameters.folder(args.role.name),
            "RELEASE_NAME": parameters.release_name(),
            # One recorder is enough for all webs.
            "LEFT_OUT": "recorder" if is_further_web(self._name, args.role) else "",
            "VOLUME": volume.id if volume is not None else "",
        }
        return pulumi.Output.all(**settings).apply(startup.render)

    def _attach(self, volume: ebs.Volume, instance: ec2.Instance) -> None:
        ec2.VolumeAttachment(
            f"{self._name}-data",
            device_name=DEVICE,
            instance_id=instance.id,
            volume_id=volume.id,
            # A volume is only taken from a machine that has written everything.
            stop_instance_before_detaching=True,
            opts=self._child,
        )
