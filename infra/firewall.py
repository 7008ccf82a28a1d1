"""Who may reach what: one security group a role, its rules made from `celeriac.topology`."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, vpc

from celeriac import topology
from celeriac.topology import Door, Role
from tags import tags

SSH_PORT = 22


@dataclass(frozen=True)
class FirewallArgs:
    """The networks of people; hosts are known by their security groups."""

    vpc_id: pulumi.Input[str]
    admin_cidr: str
    public_cidrs: tuple[str, ...]


class Firewall(pulumi.ComponentResource):
    """`groups` maps each role's name to the identifier of its security group."""

    groups: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: FirewallArgs) -> None:
        super().__init__("celeriac:infra:Firewall", name)
        self._child = pulumi.ResourceOptions(parent=self)
        self._people = {
            "nobody": (),
            "admins": (args.admin_cidr,),
            "public": args.public_cidrs,
        }
        self.groups = {role.name: self._create_group(role, args.vpc_id) for role in topology.ROLES}
        for role in topology.ROLES:
            self._create_common_rules(role, args.admin_cidr)
        for door in topology.DOORS:
            self._create_door(door)
        self.register_outputs({"groups": self.groups})

    def _create_group(self, role: Role, vpc_id: pulumi.Input[str]) -> pulumi.Output[str]:
        group = ec2.SecurityGroup(
            role.name,
            vpc_id=vpc_id,
            description=f"Hosts of the role {role.name}",
            tags=tags(f"celeriac-{role.name}"),
            opts=self._child,
        )
        return pulumi.Output.from_input(group.id)

    def _create_common_rules(self, role: Role, admin_cidr: str) -> None:
        self._open(role, SSH_PORT, "ssh", cidr=admin_cidr)
        vpc.SecurityGroupEgressRule(
            f"{role.name}-out",
            security_group_id=self.groups[role.name],
            ip_protocol="-1",
            cidr_ipv4="0.0.0.0/0",
            description="Packages, images, names, and the other roles",
            tags=tags(f"{role.name}-out"),
            opts=self._child,
        )

    def _create_door(self, door: Door) -> None:
        port = door.role.ports[door.port]
        for role in door.roles:
            self._open(door.role, port, door.port, source=role)
        for cidr in self._people[door.people]:
            self._open(door.role, port, door.port, cidr=cidr)

    def _open(
        self,
        role: Role,
        port: int,
        what: str,
        *,
        source: Role | None = None,
        cidr: str | None = None,
    ) -> None:
        """Open a port of a role to the hosts of another, or to a network."""
        who = source.name if source else str(cidr)
        name = f"{role.name}-{what}-from-{who.replace('/', '-')}"
        vpc.SecurityGroupIngressRule(
            name,
            security_group_id=self.groups[role.name],
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=self.groups[source.name] if source else None,
            cidr_ipv4=cidr,
            description=f"{what} from {who}",
            tags=tags(name),
            opts=self._child,
        )
