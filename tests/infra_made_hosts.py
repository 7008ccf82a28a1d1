"""The network, the hosts, and what they are given, made in moto."""

from pathlib import Path
from typing import Any

from infra_making import Inputs, Made, Maker, makes, tagged


@makes("aws:ec2/vpc:Vpc")
def _vpc(aws: Any, name: str, inputs: Inputs) -> Made:
    vpc = aws.ec2.create_vpc(
        CidrBlock=inputs["cidrBlock"], TagSpecifications=tagged("vpc", inputs)
    )["Vpc"]["VpcId"]
    for key in ("EnableDnsSupport", "EnableDnsHostnames"):
        value = {"Value": inputs[key[0].lower() + key[1:]]}
        aws.ec2.modify_vpc_attribute(VpcId=vpc, **{key: value})
    return Made(vpc, {}, lambda: aws.ec2.delete_vpc(VpcId=vpc))


@makes("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
def _default_group(aws: Any, name: str, inputs: Inputs) -> Made:
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
def _subnet(aws: Any, name: str, inputs: Inputs) -> Made:
    zone = inputs["availabilityZone"]
    subnet = aws.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=zone,
        TagSpecifications=tagged("subnet", inputs),
    )["Subnet"]["SubnetId"]
    public = {"Value": inputs["mapPublicIpOnLaunch"]}
    aws.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch=public)
    added = {"availabilityZone": zone}
    return Made(subnet, added, lambda: aws.ec2.delete_subnet(SubnetId=subnet))


@makes("aws:ec2/internetGateway:InternetGateway")
def _gateway(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", inputs))
    gateway = {"InternetGatewayId": made["InternetGateway"]["InternetGatewayId"]}
    aws.ec2.attach_internet_gateway(**gateway, VpcId=inputs["vpcId"])

    def remove() -> None:
        aws.ec2.detach_internet_gateway(**gateway, VpcId=inputs["vpcId"])
        aws.ec2.delete_internet_gateway(**gateway)

    return Made(gateway["InternetGatewayId"], {}, remove)


@makes("aws:ec2/routeTable:RouteTable")
def _route_table(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.create_route_table(
        VpcId=inputs["vpcId"], TagSpecifications=tagged("route-table", inputs)
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
def _route_table_association(aws: Any, name: str, inputs: Inputs) -> Made:
    association = aws.ec2.associate_route_table(
        SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"]
    )["AssociationId"]
    return Made(
        association, {}, lambda: aws.ec2.disassociate_route_table(AssociationId=association)
    )


@makes("aws:ec2/securityGroup:SecurityGroup")
def _group(aws: Any, name: str, inputs: Inputs) -> Made:
    group = aws.ec2.create_security_group(
        GroupName=name,
        Description=inputs["description"],
        VpcId=inputs["vpcId"],
        TagSpecifications=tagged("security-group", inputs),
    )["GroupId"]
    # The provider takes away what AWS allows a new group.
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    aws.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    return Made(group, {}, lambda: aws.ec2.delete_security_group(GroupId=group))


def _rule(way: str) -> Maker:
    def make(aws: Any, name: str, inputs: Inputs) -> Made:
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
def _key(aws: Any, name: str, inputs: Inputs) -> Made:
    aws.ec2.import_key_pair(KeyName=name, PublicKeyMaterial=inputs["publicKey"].encode())
    return Made(name, {"keyName": name}, lambda: aws.ec2.delete_key_pair(KeyName=name))


@makes("aws:ec2/eip:Eip")
def _address(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.ec2.allocate_address(
        Domain=inputs["domain"], TagSpecifications=tagged("elastic-ip", inputs)
    )
    allocation = made["AllocationId"]
    return Made(
        allocation,
        {"publicIp": made["PublicIp"]},
        lambda: aws.ec2.release_address(AllocationId=allocation),
    )


@makes("aws:ec2/eipAssociation:EipAssociation")
def _address_association(aws: Any, name: str, inputs: Inputs) -> Made:
    association = aws.ec2.associate_address(
        AllocationId=inputs["allocationId"], InstanceId=inputs["instanceId"]
    )["AssociationId"]
    return Made(association, {}, lambda: aws.ec2.disassociate_address(AssociationId=association))


@makes("aws:ec2/instance:Instance")
def _instance(aws: Any, name: str, inputs: Inputs) -> Made:
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
        TagSpecifications=tagged("instance", inputs),
        **({"InstanceMarketOptions": spot} if spot else {}),
    )["Instances"][0]
    wanted = {"InstanceIds": [found["InstanceId"]]}
    found = aws.ec2.describe_instances(**wanted)["Reservations"][0]["Instances"][0]
    added = {"privateIp": found["PrivateIpAddress"], "publicIp": found["PublicIpAddress"]}
    return Made(found["InstanceId"], added, lambda: aws.ec2.terminate_instances(**wanted))


@makes("aws:ebs/volume:Volume")
def _volume(aws: Any, name: str, inputs: Inputs) -> Made:
    volume = aws.ec2.create_volume(
        AvailabilityZone=inputs["availabilityZone"],
        Size=int(inputs["size"]),
        VolumeType=inputs["type"],
        Encrypted=inputs["encrypted"],
        TagSpecifications=tagged("volume", inputs),
    )["VolumeId"]
    return Made(volume, {}, lambda: aws.ec2.delete_volume(VolumeId=volume))


@makes("aws:ec2/volumeAttachment:VolumeAttachment")
def _volume_attachment(aws: Any, name: str, inputs: Inputs) -> Made:
    both = {"VolumeId": inputs["volumeId"], "InstanceId": inputs["instanceId"]}
    aws.ec2.attach_volume(**both, Device=inputs["deviceName"])
    return Made(f"{name}-attached", {}, lambda: aws.ec2.detach_volume(**both))


@makes("aws:iam/role:Role")
def _role(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=inputs["assumeRolePolicy"])
    added = {"name": name, "arn": made["Role"]["Arn"]}
    return Made(name, added, lambda: aws.iam.delete_role(RoleName=name))


@makes("aws:iam/rolePolicy:RolePolicy")
def _role_policy(aws: Any, name: str, inputs: Inputs) -> Made:
    both = {"RoleName": inputs["role"], "PolicyName": name}
    aws.iam.put_role_policy(**both, PolicyDocument=inputs["policy"])
    return Made(f"{inputs['role']}:{name}", {}, lambda: aws.iam.delete_role_policy(**both))


@makes("aws:iam/instanceProfile:InstanceProfile")
def _profile(aws: Any, name: str, inputs: Inputs) -> Made:
    both = {"InstanceProfileName": name, "RoleName": inputs["role"]}
    aws.iam.create_instance_profile(InstanceProfileName=name)
    aws.iam.add_role_to_instance_profile(**both)

    def remove() -> None:
        aws.iam.remove_role_from_instance_profile(**both)
        aws.iam.delete_instance_profile(InstanceProfileName=name)

    return Made(name, {"name": name}, remove)


@makes("aws:ssm/parameter:Parameter")
def _parameter(aws: Any, name: str, inputs: Inputs) -> Made:
    parameter = inputs["name"]
    aws.ssm.put_parameter(Name=parameter, Value=inputs["value"], Type=inputs["type"])
    return Made(parameter, {}, lambda: aws.ssm.delete_parameter(Name=parameter))


@makes("aws:route53/zone:Zone")
def _zone(aws: Any, name: str, inputs: Inputs) -> Made:
    zone = aws.route53.create_hosted_zone(
        Name=inputs["name"],
        CallerReference=name,
        VPC={"VPCRegion": "us-east-1", "VPCId": inputs["vpcs"][0]["vpcId"]},
        HostedZoneConfig={"PrivateZone": True, "Comment": inputs["comment"]},
    )["HostedZone"]["Id"].rpartition("/")[2]
    return Made(zone, {"zoneId": zone}, lambda: aws.route53.delete_hosted_zone(Id=zone))


@makes("aws:route53/record:Record")
def _record(aws: Any, name: str, inputs: Inputs) -> Made:
    record: Inputs = {"Name": inputs["name"], "Type": inputs["type"]}
    if "aliases" in inputs:
        (alias,) = inputs["aliases"]
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": alias["evaluateTargetHealth"],
        }
    else:
        values = [{"Value": each} for each in inputs["records"]]
        record |= {"TTL": int(inputs["ttl"]), "ResourceRecords": values}

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        aws.route53.change_resource_record_sets(HostedZoneId=inputs["zoneId"], ChangeBatch=batch)

    change("CREATE")
    return Made(name, {"fqdn": inputs["name"]}, lambda: change("DELETE"))


@makes("aws:s3/bucket:Bucket")
def _bucket(aws: Any, name: str, inputs: Inputs) -> Made:
    aws.s3.create_bucket(Bucket=name)
    return Made(name, {}, lambda: aws.s3.delete_bucket(Bucket=name))


@makes("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
def _closed_bucket(aws: Any, name: str, inputs: Inputs) -> Made:
    bucket = inputs["bucket"]
    closed = {key[0].upper() + key[1:]: value for key, value in inputs.items() if key != "bucket"}
    aws.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    return Made(bucket, {}, lambda: aws.s3.delete_public_access_block(Bucket=bucket))


@makes("aws:s3/bucketObjectv2:BucketObjectv2")
def _bucket_object(aws: Any, name: str, inputs: Inputs) -> Made:
    both = {"Bucket": inputs["bucket"], "Key": inputs["key"]}
    body = Path(inputs["source"].path).read_bytes()
    aws.s3.put_object(**both, Body=body, ServerSideEncryption=inputs["serverSideEncryption"])
    return Made(inputs["key"], {}, lambda: aws.s3.delete_object(**both))
