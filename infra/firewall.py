"""Who may reach what: one security group a role, its rules made from `celeriac.topology`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, vpc

from celeriac import topology
from celeriac.topology import Door, Role
from tags import tags

SSH_PORT = 22


@dataclass(frozen=True)
class FirewallArgs:
    """The networks of people; hosts are known by their security groups.

    With a front the public reaches no host. Of `roles` there are hosts; what stands for another one
    has no doors but those that it asks for.
    """

    vpc_id: pulumi.Input[str]
    admin_cidr: str
    public_cidrs: tuple[str, ...]
    roles: tuple[Role, ...]
    has_front: bool = False


class Firewall(pulumi.ComponentResource):
    """`groups` maps each role's name to the identifier of its security group."""

    groups: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: FirewallArgs) -> None:
        super().__init__("celeriac:infra:Firewall", name)
        self._child = pulumi.ResourceOptions(parent=self)
        self._people = {
            "nobody": (),
            "admins": (args.admin_cidr,),
            "public": () if args.has_front else args.public_cidrs,
        }
        self._public_cidrs = args.public_cidrs
        self._vpc_id = args.vpc_id
        self.groups = {
            role.name: self._create_group(role.name, f"Hosts of the role {role.name}")
            for role in topology.ROLES
        }
        for role in args.roles:
            self._create_common_rules(role, args.admin_cidr)
        for door in topology.DOORS:
            if door.role in args.roles:
                self._create_door(door)
        self.register_outputs({"groups": self.groups})

    def guard(self, service: str, port: int, roles: Iterable[Role]) -> pulumi.Output[str]:
        """Make a group for a service of AWS, one port of which these roles may reach."""
        self.groups[service] = self._create_group(service, f"The service {service}")
        for role in roles:
            self.open_port(service, port, service, source=role.name)
        return self.groups[service]

    def put_before(self, role: Role, what: str, ports: Mapping[int, str]) -> pulumi.Output[str]:
        """Make a group for a load balancer before a role: the public reaches it instead."""
        name = f"{role.name}-front"
        self.groups[name] = self._create_group(name, f"The load balancer before {role.name}")
        for port, protocol in ports.items():
            for cidr in self._public_cidrs:
                self.open_port(name, port, protocol, cidr=cidr)
        self._let_out(name, "The hosts behind it", role, role.ports[what])
        self.open_port(role.name, role.ports[what], what, source=name)
        return self.groups[name]

    def _create_group(self, name: str, description: str) -> pulumi.Output[str]:
        group = ec2.SecurityGroup(
            name,
            vpc_id=self._vpc_id,
            description=description,
            tags=tags(f"celeriac-{name}"),
            opts=self._child,
        )
        return pulumi.Output.from_input(group.id)

    def _create_common_rules(self, role: Role, admin_cidr: str) -> None:
        self.open_port(role.name, SSH_PORT, "ssh", cidr=admin_cidr)
        self._let_out(role.name, "Packages, images, names, and the other roles")

    def _let_out(
        self, target: str, description: str, to: Role | None = None, port: int | None = None
    ) -> None:
        """Let a group out to everywhere, or to one port of a role."""
        vpc.SecurityGroupEgressRule(
            f"{target}-out",
            security_group_id=self.groups[target],
            ip_protocol="tcp" if to else "-1",
            from_port=port,
            to_port=port,
            referenced_security_group_id=self.groups[to.name] if to else None,
            cidr_ipv4=None if to else "0.0.0.0/0",
            description=description,
            tags=tags(f"{target}-out"),
            opts=self._child,
        )

    def _create_door(self, door: Door) -> None:
        port = door.role.ports[door.port]
        for role in door.roles:
            self.open_port(door.role.name, port, door.port, source=role.name)
        for cidr in self._people[door.people]:
            self.open_port(door.role.name, port, door.port, cidr=cidr)

    def open_port(
        self,
        target: str,
        port: int,
        what: str,
        *,
        source: str | None = None,
        cidr: str | None = None,
    ) -> None:
        """Open a port of a role or a service to those of another, or to a network."""
        who = source or str(cidr)
        name = f"{target}-{what}-from-{who.replace('/', '-')}"
        vpc.SecurityGroupIngressRule(
            name,
            security_group_id=self.groups[target],
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=self.groups[source] if source else None,
            cidr_ipv4=cidr,
            description=f"{what} from {who}",
            tags=tags(name),
            opts=self._child,
        )
