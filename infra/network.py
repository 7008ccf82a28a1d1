"""The network: one VPC with one public subnet and its way to the internet."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from tags import tags


@dataclass(frozen=True)
class NetworkArgs:
    """The addresses of the VPC and of the subnet in it; zones, of which the first is the hosts'."""

    zones: pulumi.Output[list[str]]
    vpc_cidr: str = "10.0.0.0/16"
    subnet_cidr: str = "10.0.1.0/24"
    second_cidr: str = "10.0.2.0/24"
    inner_cidrs: tuple[str, ...] = ("10.0.10.0/24", "10.0.11.0/24")


class Network(pulumi.ComponentResource):
    """What hosts are put into. `ready` is the last resource: with it they reach the internet."""

    vpc_id: pulumi.Output[str]
    subnet_id: pulumi.Output[str]
    zone_name: pulumi.Output[str]
    ready: pulumi.Resource

    def __init__(self, name: str, args: NetworkArgs) -> None:
        super().__init__("celeriac:infra:Network", name)
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        # Where a subnet is once, it stays, whatever zones AWS offers later: its volumes are there.
        self._subnet = pulumi.ResourceOptions(parent=self, ignore_changes=["availability_zone"])
        self._create_vpc(args)
        self._create_way_out()
        self.register_outputs({"vpc_id": self.vpc_id, "subnet_id": self.subnet_id})

    def _create_vpc(self, args: NetworkArgs) -> None:
        vpc = ec2.Vpc(
            "vpc",
            cidr_block=args.vpc_cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=tags("celeriac"),
            opts=self._child,
        )
        # Without rules it lets nothing through: whoever is put into it by mistake is alone.
        ec2.DefaultSecurityGroup(
            "nobody", vpc_id=vpc.id, ingress=[], egress=[], tags=tags("nobody"), opts=self._child
        )
        subnet = ec2.Subnet(
            "public",
            vpc_id=vpc.id,
            cidr_block=args.subnet_cidr,
            availability_zone=args.zones[0],
            map_public_ip_on_launch=True,
            tags=tags("celeriac-public"),
            opts=self._subnet,
        )
        self.vpc_id, self.subnet_id = vpc.id, subnet.id
        self.zone_name = subnet.availability_zone

    def _create_way_out(self) -> None:
        gateway = ec2.InternetGateway(
            "gateway", vpc_id=self.vpc_id, tags=tags("celeriac"), opts=self._child
        )
        table = ec2.RouteTable(
            "routes",
            vpc_id=self.vpc_id,
            routes=[{"cidr_block": "0.0.0.0/0", "gateway_id": gateway.id}],
            tags=tags("celeriac"),
            opts=self._child,
        )
        self._table_id = table.id
        self.ready = ec2.RouteTableAssociation(
            "public-routes",
            subnet_id=self.subnet_id,
            route_table_id=table.id,
            opts=self._child,
        )

    def create_second_subnet(self) -> pulumi.Output[str]:
        """Make another public subnet in another zone, for a load balancer, which asks for two."""
        subnet = ec2.Subnet(
            "public-2",
            vpc_id=self.vpc_id,
            cidr_block=self._args.second_cidr,
            availability_zone=pulumi.Output.all(self._args.zones, self.zone_name).apply(
                lambda known: next(name for name in known[0] if name != known[1])
            ),
            map_public_ip_on_launch=False,
            tags=tags("celeriac-public-2"),
            opts=self._subnet,
        )
        ec2.RouteTableAssociation(
            "public-2-routes",
            subnet_id=subnet.id,
            route_table_id=self._table_id,
            opts=self._child,
        )
        return pulumi.Output.from_input(subnet.id)

    def create_inner_subnets(self) -> list[pulumi.Output[str]]:
        """Make subnets without a way to the internet, in a zone each: services of AWS need two."""
        return [
            ec2.Subnet(
                f"inner-{number}",
                vpc_id=self.vpc_id,
                cidr_block=cidr,
                availability_zone=self._args.zones[number],
                map_public_ip_on_launch=False,
                tags=tags(f"celeriac-inner-{number}"),
                opts=self._subnet,
            ).id
            for number, cidr in enumerate(self._args.inner_cidrs)
        ]
