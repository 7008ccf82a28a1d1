"""What AWS does when the program's resources are made and destroyed, as moto does it.

moto refuses what hangs in the air: identifiers that nothing has, addresses outside of their
network, unknown instance types, names that are taken, and the removal of what is in use. A process
of its own, like infra_program.py, prints what was there after `up`, what was removed, and what was
left.
"""

import os
from typing import Any

from pulumi.runtime import mocks

import infra_made_hosts  # noqa: F401 # It fills the table of makers, as the next one does.
import infra_made_services  # noqa: F401
from infra_cloud import Cloud, plain_inputs
from infra_making import MAKERS, Made
from infra_program import run, serve
from infra_stack import Resource

os.environ |= {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_ENABLE_KEYPAIR_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
}

import boto3  # type: ignore[import-untyped] # It makes its clients as it goes.
from moto import mock_aws

SERVICES = ("acm", "ec2", "elasticache", "elbv2", "iam", "mq", "rds", "route53", "ssm", "s3")
UBUNTU = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101"


class Aws(Cloud):
    """Makes every resource in moto; `remove` takes one away again."""

    def __init__(self, *, is_new: bool = True) -> None:
        super().__init__(preview=False)
        for service in SERVICES:
            setattr(self, service, boto3.client(service))
        self.made: dict[tuple[str, str], Made] = {}
        if is_new:
            self.ec2.register_image(Name=UBUNTU)
            # The domain is somebody's already.
            self.route53.create_hosted_zone(Name="example.org", CallerReference="somebody")

    def __getattr__(self, service: str) -> Any:
        """Let the clients have no type: boto3 makes them as it goes."""
        raise AttributeError(service)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]]]:
        """Answer a look-up; images are looked for by their names alone."""
        if args.token == "aws:route53/getZone:getZone":
            zones = self.route53.list_hosted_zones_by_name(DNSName=args.args["name"])["HostedZones"]
            return {"zoneId": zones[0]["Id"].rpartition("/")[2]}, []
        if args.token != "aws:ec2/getAmi:getAmi":
            return super().call(args)
        names = next(each["values"] for each in args.args["filters"] if each["name"] == "name")
        found = self.ec2.describe_images(Filters=[{"Name": "name", "Values": names}])["Images"]
        return {"id": found[0]["ImageId"]}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        """Make a resource in moto; one that has no maker is an error, unless it is none of AWS."""
        if not args.typ.startswith("aws:"):
            return super().new_resource(args)
        inputs = plain_inputs(args.inputs)
        made = MAKERS[args.typ](self, args.name, inputs)
        self.made[args.typ, args.name] = made
        return made.id, {**args.inputs, **made.added}

    def inventory(self) -> dict[str, list[Any]]:
        """Give all that there is of what the program could have made."""
        vpcs = [each for each in self.ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]]
        own = [{"Name": "vpc-id", "Values": [each["VpcId"] for each in vpcs] or ["none"]}]
        reservations = self.ec2.describe_instances()["Reservations"]
        return {
            "vpcs": vpcs,
            "subnets": self.ec2.describe_subnets(Filters=own)["Subnets"],
            "gateways": self.ec2.describe_internet_gateways()["InternetGateways"],
            "tables": self.ec2.describe_route_tables(Filters=own)["RouteTables"],
            "groups": self.ec2.describe_security_groups(Filters=own)["SecurityGroups"],
            "keys": self.ec2.describe_key_pairs()["KeyPairs"],
            "addresses": self.ec2.describe_addresses()["Addresses"],
            "volumes": self.ec2.describe_volumes()["Volumes"],
            "instances": [
                instance
                for each in reservations
                for instance in each["Instances"]
                if instance["State"]["Name"] != "terminated"
            ],
            "roles": self.iam.list_roles()["Roles"],
            "profiles": self.iam.list_instance_profiles()["InstanceProfiles"],
            "buckets": self.s3.list_buckets()["Buckets"],
            "parameters": [
                parameter
                for page in self.ssm.get_paginator("describe_parameters").paginate()
                for parameter in page["Parameters"]
            ],
            "brokers": self.mq.list_brokers()["BrokerSummaries"],
            "databases": self.rds.describe_db_instances()["DBInstances"],
            "zones": [
                each
                for each in self.route53.list_hosted_zones()["HostedZones"]
                if each["Config"]["PrivateZone"]
            ],
            "certificates": self.acm.list_certificates()["CertificateSummaryList"],
            # One that is removed is "deleting" for good.
            "caches": [
                each
                for each in self.elasticache.describe_replication_groups()["ReplicationGroups"]
                if each["Status"] != "deleting"
            ],
            "balancers": self.elbv2.describe_load_balancers()["LoadBalancers"],
            "targets": self.elbv2.describe_target_groups()["TargetGroups"],
        }

    def destroy(self, resources: list[Resource]) -> list[str]:
        """Remove all, each after what depends on it, as the engine does; give the URNs in order."""
        left = [each for each in resources if each.custom]
        order = []
        while left:
            needed = {urn for each in left for urn in each.dependencies}
            free = [each for each in left if each.urn not in needed]
            assert free, "they wait for each other"
            for each in free:
                if made := self.made.get((each.type, each.name)):
                    made.remove()
            order += [each.urn for each in free]
            left = [each for each in left if each not in free]
        return order


def live(wanted: dict[str, Any]) -> dict[str, Any]:
    """Make the stack of a configuration, and remove it."""
    mock_aws().start()
    aws = Aws()
    made = run(wanted["config"], aws, preview=False, stack=wanted["stack"])
    there = aws.inventory()
    destroyed = aws.destroy([Resource(**each) for each in made["resources"]])
    return {"stack": made, "made": there, "destroyed": destroyed, "left": aws.inventory()}


if __name__ == "__main__":
    serve(live)
