"""What AWS does when the program's resources are made and destroyed, as moto does it.

moto refuses what hangs in the air: identifiers that nothing has, addresses outside of their
network, unknown instance types, names that are taken, and the removal of what is in use. A process
of its own, like infra_program.py, prints what was there after `up`, what was removed, and what was
left.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pulumi.runtime import mocks

from infra_cloud import Cloud, plain_inputs
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

Inputs = dict[str, Any]
UBUNTU = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101"


@dataclass(frozen=True)
class Made:
    """A resource that exists: its identifier, what AWS added to it, and how it is removed."""

    id: str
    added: Inputs
    remove: Callable[[], object]


Maker = Callable[["Aws", str, Inputs], Made]
MAKERS: dict[str, Maker] = {}


def makes(kind: str) -> Callable[[Maker], Maker]:
    """Name the type of resource that a function makes."""

    def keep(maker: Maker) -> Maker:
        MAKERS[kind] = maker
        return maker

    return keep


class Aws(Cloud):
    """Makes every resource in moto; `remove` takes one away again."""

    def __init__(self) -> None:
        super().__init__(preview=False)
        mock_aws().start()
        for service in ("ec2", "iam", "rds", "route53", "ssm", "s3"):
            setattr(self, service, boto3.client(service))
        self.made: dict[tuple[str, str], Made] = {}
        self.ec2.register_image(Name=UBUNTU)

    def __getattr__(self, service: str) -> Any:
        """Let the clients have no type: boto3 makes them as it goes."""
        raise AttributeError(service)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]]]:
        """Answer a look-up; images are looked for by their names alone."""
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
            "databases": self.rds.describe_db_instances()["DBInstances"],
            "zones": self.route53.list_hosted_zones()["HostedZones"],
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


def _tagged(kind: str, inputs: Inputs) -> list[Inputs]:
    tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
    return [{"ResourceType": kind, "Tags": tags}]


@makes("aws:ec2/vpc:Vpc")
def _vpc(aws: Aws, name: str, inputs: Inputs) -> Made:
    vpc = aws.ec2.create_vpc(
        CidrBlock=inputs["cidrBlock"], TagSpecifications=_tagged("vpc", inputs)
    )["Vpc"]["VpcId"]
    for key in ("EnableDnsSupport", "EnableDnsHostnames"):
        value = {"Value": inputs[key[0].lower() + key[1:]]}
        aws.ec2.modify_vpc_attribute(VpcId=vpc, **{key: value})
    return Made(vpc, {}, lambda: aws.ec2.delete_vpc(VpcId=vpc))


@makes("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
def _default_group(aws: Aws, name: str, inputs: Inputs) -> Made:
    wanted = [
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    group = aws.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"][0]
    for way in ("ingress", "egress"):
        permissions = group["IpPermissions" if way == "ingress" else "IpPermissionsEgress"]
        assert inputs[way] == []
        revoke = getattr(aws.ec2, f"revoke_security_group_{way}")
        revoke(GroupId=group["GroupId"], IpPermissions=permissions)
    # It goes with its VPC and cannot be removed.
    return Made(group["GroupId"], {}, lambda: None)


@makes("aws:ec2/subnet:Subnet")
def _subnet(aws: Aws, name: str, inputs: Inputs) -> Made:
    zone = inputs.get("availabilityZone", "us-east-1a")
    subnet = aws.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=zone,
        TagSpecifications=_tagged("subnet", inputs),
    )["Subnet"]["SubnetId"]
    public = {"Value": inputs["mapPublicIpOnLaunch"]}
    aws.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch=public)
    added = {"availabilityZone": zone}
    return Made(subnet, added, lambda: aws.ec2.delete_subnet(SubnetId=subnet))


@makes("aws:ec2/internetGateway:InternetGateway")
def _gateway(aws: Aws, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.create_internet_gateway(TagSpecifications=_tagged("internet-gateway", inputs))
    gateway = {"InternetGatewayId": made["InternetGateway"]["InternetGatewayId"]}
    aws.ec2.attach_internet_gateway(**gateway, VpcId=inputs["vpcId"])

    def remove() -> None:
        aws.ec2.detach_internet_gateway(**gateway, VpcId=inputs["vpcId"])
        aws.ec2.delete_internet_gateway(**gateway)

    return Made(gateway["InternetGatewayId"], {}, remove)


@makes("aws:ec2/routeTable:RouteTable")
def _route_table(aws: Aws, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.create_route_table(
        VpcId=inputs["vpcId"], TagSpecifications=_tagged("route-table", inputs)
    )
    table = made["RouteTable"]["RouteTableId"]
    for route in inputs["routes"]:
        aws.ec2.create_route(
            RouteTableId=table,
            DestinationCidrBlock=route["cidrBlock"],
            GatewayId=route["gatewayId"],
        )
    return Made(table, {}, lambda: aws.ec2.delete_route_table(RouteTableId=table))


@makes("aws:ec2/routeTableAssociation:RouteTableAssociation")
def _route_table_association(aws: Aws, name: str, inputs: Inputs) -> Made:
    association = aws.ec2.associate_route_table(
        SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"]
    )["AssociationId"]
    return Made(
        association, {}, lambda: aws.ec2.disassociate_route_table(AssociationId=association)
    )


@makes("aws:ec2/securityGroup:SecurityGroup")
def _group(aws: Aws, name: str, inputs: Inputs) -> Made:
    group = aws.ec2.create_security_group(
        GroupName=name,
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
        TagSpecifications=_tagged("security-group", inputs),
    )["GroupId"]
    # The provider takes away what AWS allows a new group.
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    aws.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    return Made(group, {}, lambda: aws.ec2.delete_security_group(GroupId=group))


def _rule(way: str) -> Maker:
    def make(aws: Aws, name: str, inputs: Inputs) -> Made:
        group, described = inputs["securityGroupId"], {"Description": inputs["description"]}
        permission: Inputs = {"IpProtocol": inputs["ipProtocol"]}
        if "fromPort" in inputs:
            permission |= {"FromPort": int(inputs["fromPort"]), "ToPort": int(inputs["toPort"])}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
        else:
            source = {"GroupId": inputs["referencedSecurityGroupId"], **described}
            permission["UserIdGroupPairs"] = [source]
        authorize = getattr(aws.ec2, f"authorize_security_group_{way}")
        made = authorize(GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
        rule = made[0]["SecurityGroupRuleId"]
        revoke = getattr(aws.ec2, f"revoke_security_group_{way}")
        return Made(rule, {}, lambda: revoke(GroupId=group, SecurityGroupRuleIds=[rule]))

    return make


makes("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")(_rule("ingress"))
makes("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")(_rule("egress"))


@makes("aws:ec2/keyPair:KeyPair")
def _key(aws: Aws, name: str, inputs: Inputs) -> Made:
    aws.ec2.import_key_pair(KeyName=name, PublicKeyMaterial=inputs["publicKey"].encode())
    return Made(name, {"keyName": name}, lambda: aws.ec2.delete_key_pair(KeyName=name))


@makes("aws:ec2/eip:Eip")
def _address(aws: Aws, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.allocate_address(
        Domain=inputs["domain"], TagSpecifications=_tagged("elastic-ip", inputs)
    )
    allocation = made["AllocationId"]
    return Made(
        allocation,
        {"publicIp": made["PublicIp"]},
        lambda: aws.ec2.release_address(AllocationId=allocation),
    )


@makes("aws:ec2/eipAssociation:EipAssociation")
def _address_association(aws: Aws, name: str, inputs: Inputs) -> Made:
    association = aws.ec2.associate_address(
        AllocationId=inputs["allocationId"], InstanceId=inputs["instanceId"]
    )["AssociationId"]
    return Made(association, {}, lambda: aws.ec2.disassociate_address(AssociationId=association))


@makes("aws:ec2/instance:Instance")
def _instance(aws: Aws, name: str, inputs: Inputs) -> Made:
    root, metadata = inputs["rootBlockDevice"], inputs["metadataOptions"]
    disk = {
        "VolumeType": root["volumeType"],
        "VolumeSize": int(root["volumeSize"]),
        "Encrypted": root["encrypted"],
        "DeleteOnTermination": root.get("deleteOnTermination", True),
    }
    spot = {"MarketType": "spot"} if "instanceMarketOptions" in inputs else None
    found = aws.ec2.run_instances(
        MinCount=1,
        MaxCount=1,
        ImageId=inputs["ami"],
        InstanceType=inputs["instanceType"],
        SubnetId=inputs["subnetId"],
        SecurityGroupIds=inputs["vpcSecurityGroupIds"],
        KeyName=inputs["keyName"],
        IamInstanceProfile={"Name": inputs["iamInstanceProfile"]},
        MetadataOptions={
            "HttpEndpoint": metadata["httpEndpoint"],
            "HttpTokens": metadata["httpTokens"],
            "HttpPutResponseHopLimit": int(metadata["httpPutResponseHopLimit"]),
        },
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": disk}],
        UserData=inputs["userData"],
        TagSpecifications=_tagged("instance", inputs),
        **({"InstanceMarketOptions": spot} if spot else {}),
    )["Instances"][0]
    wanted = {"InstanceIds": [found["InstanceId"]]}
    found = aws.ec2.describe_instances(**wanted)["Reservations"][0]["Instances"][0]
    added = {"privateIp": found["PrivateIpAddress"], "publicIp": found["PublicIpAddress"]}
    return Made(found["InstanceId"], added, lambda: aws.ec2.terminate_instances(**wanted))


@makes("aws:ebs/volume:Volume")
def _volume(aws: Aws, name: str, inputs: Inputs) -> Made:
    volume = aws.ec2.create_volume(
        AvailabilityZone=inputs["availabilityZone"],
        Size=int(inputs["size"]),
        VolumeType=inputs["type"],
        Encrypted=inputs["encrypted"],
        TagSpecifications=_tagged("volume", inputs),
    )["VolumeId"]
    return Made(volume, {}, lambda: aws.ec2.delete_volume(VolumeId=volume))


@makes("aws:ec2/volumeAttachment:VolumeAttachment")
def _volume_attachment(aws: Aws, name: str, inputs: Inputs) -> Made:
    both = {"VolumeId": inputs["volumeId"], "InstanceId": inputs["instanceId"]}
    aws.ec2.attach_volume(**both, Device=inputs["deviceName"])
    return Made(f"{name}-attached", {}, lambda: aws.ec2.detach_volume(**both))


@makes("aws:iam/role:Role")
def _role(aws: Aws, name: str, inputs: Inputs) -> Made:
    made = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=inputs["assumeRolePolicy"])
    added = {"name": name, "arn": made["Role"]["Arn"]}
    return Made(name, added, lambda: aws.iam.delete_role(RoleName=name))


@makes("aws:iam/rolePolicy:RolePolicy")
def _role_policy(aws: Aws, name: str, inputs: Inputs) -> Made:
    both = {"RoleName": inputs["role"], "PolicyName": name}
    aws.iam.put_role_policy(**both, PolicyDocument=inputs["policy"])
    return Made(f"{inputs['role']}:{name}", {}, lambda: aws.iam.delete_role_policy(**both))


@makes("aws:iam/instanceProfile:InstanceProfile")
def _profile(aws: Aws, name: str, inputs: Inputs) -> Made:
    both = {"InstanceProfileName": name, "RoleName": inputs["role"]}
    aws.iam.create_instance_profile(InstanceProfileName=name)
    aws.iam.add_role_to_instance_profile(**both)

    def remove() -> None:
        aws.iam.remove_role_from_instance_profile(**both)
        aws.iam.delete_instance_profile(InstanceProfileName=name)

    return Made(name, {"name": name}, remove)


@makes("aws:rds/subnetGroup:SubnetGroup")
def _subnet_group(aws: Aws, name: str, inputs: Inputs) -> Made:
    aws.rds.create_db_subnet_group(
        DBSubnetGroupName=name,
        DBSubnetGroupDescription="Managed by Pulumi",
        SubnetIds=inputs["subnetIds"],
    )
    return Made(
        name, {"name": name}, lambda: aws.rds.delete_db_subnet_group(DBSubnetGroupName=name)
    )


@makes("aws:rds/instance:Instance")
def _database(aws: Aws, name: str, inputs: Inputs) -> Made:
    made = aws.rds.create_db_instance(
        DBInstanceIdentifier=name,
        Engine=inputs["engine"],
        EngineVersion=inputs["engineVersion"],
        DBInstanceClass=inputs["instanceClass"],
        AllocatedStorage=int(inputs["allocatedStorage"]),
        StorageType=inputs["storageType"],
        StorageEncrypted=inputs["storageEncrypted"],
        DBName=inputs["dbName"],
        MasterUsername=inputs["username"],
        MasterUserPassword=inputs["password"],
        DBSubnetGroupName=inputs["dbSubnetGroupName"],
        VpcSecurityGroupIds=inputs["vpcSecurityGroupIds"],
        PubliclyAccessible=inputs["publiclyAccessible"],
        BackupRetentionPeriod=int(inputs["backupRetentionPeriod"]),
    )["DBInstance"]
    return Made(
        name,
        {"address": made["Endpoint"]["Address"]},
        lambda: aws.rds.delete_db_instance(
            DBInstanceIdentifier=name, SkipFinalSnapshot=inputs["skipFinalSnapshot"]
        ),
    )


@makes("aws:ssm/parameter:Parameter")
def _parameter(aws: Aws, name: str, inputs: Inputs) -> Made:
    parameter = inputs["name"]
    aws.ssm.put_parameter(Name=parameter, Value=inputs["value"], Type=inputs["type"])
    return Made(parameter, {}, lambda: aws.ssm.delete_parameter(Name=parameter))


@makes("aws:route53/zone:Zone")
def _zone(aws: Aws, name: str, inputs: Inputs) -> Made:
    zone = aws.route53.create_hosted_zone(
        Name=inputs["name"],
        CallerReference=name,
        VPC={"VPCRegion": "us-east-1", "VPCId": inputs["vpcs"][0]["vpcId"]},
        HostedZoneConfig={"PrivateZone": True, "Comment": inputs["comment"]},
    )["HostedZone"]["Id"].rpartition("/")[2]
    return Made(zone, {"zoneId": zone}, lambda: aws.route53.delete_hosted_zone(Id=zone))


@makes("aws:route53/record:Record")
def _record(aws: Aws, name: str, inputs: Inputs) -> Made:
    record = {
        "Name": inputs["name"],
        "Type": inputs["type"],
        "TTL": int(inputs["ttl"]),
        "ResourceRecords": [{"Value": each} for each in inputs["records"]],
    }

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        aws.route53.change_resource_record_sets(HostedZoneId=inputs["zoneId"], ChangeBatch=batch)

    change("CREATE")
    return Made(name, {}, lambda: change("DELETE"))


@makes("aws:s3/bucket:Bucket")
def _bucket(aws: Aws, name: str, inputs: Inputs) -> Made:
    aws.s3.create_bucket(Bucket=name)
    return Made(name, {}, lambda: aws.s3.delete_bucket(Bucket=name))


@makes("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
def _closed_bucket(aws: Aws, name: str, inputs: Inputs) -> Made:
    bucket = inputs["bucket"]
    closed = {key[0].upper() + key[1:]: value for key, value in inputs.items() if key != "bucket"}
    aws.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    return Made(bucket, {}, lambda: aws.s3.delete_public_access_block(Bucket=bucket))


@makes("aws:s3/bucketObjectv2:BucketObjectv2")
def _bucket_object(aws: Aws, name: str, inputs: Inputs) -> Made:
    both = {"Bucket": inputs["bucket"], "Key": inputs["key"]}
    encryption = inputs["serverSideEncryption"]
    aws.s3.put_object(**both, Body=b"bundle", ServerSideEncryption=encryption)
    return Made(inputs["key"], {}, lambda: aws.s3.delete_object(**both))


def live(wanted: dict[str, Any]) -> dict[str, Any]:
    """Make the stack of a configuration, and remove it."""
    aws = Aws()
    made = run(wanted["config"], aws, preview=False, stack=wanted["stack"])
    there = aws.inventory()
    destroyed = aws.destroy([Resource(**each) for each in made["resources"]])
    return {"stack": made, "made": there, "destroyed": destroyed, "left": aws.inventory()}


if __name__ == "__main__":
    serve(live)
