"""What AWS serves beside hosts, made in moto."""

from typing import Any

from infra_making import Inputs, Made, makes


@makes("aws:rds/subnetGroup:SubnetGroup")
def _subnet_group(aws: Any, name: str, inputs: Inputs) -> Made:
    aws.rds.create_db_subnet_group(
        DBSubnetGroupName=name,
        DBSubnetGroupDescription="Managed by Pulumi",
        SubnetIds=inputs["subnetIds"],
    )
    return Made(
        name, {"name": name}, lambda: aws.rds.delete_db_subnet_group(DBSubnetGroupName=name)
    )


@makes("aws:rds/instance:Instance")
def _database(aws: Any, name: str, inputs: Inputs) -> Made:
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


@makes("aws:mq/broker:Broker")
def _broker(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.mq.create_broker(
        BrokerName=name,
        EngineType=inputs["engineType"],
        EngineVersion=inputs["engineVersion"],
        AutoMinorVersionUpgrade=inputs["autoMinorVersionUpgrade"],
        HostInstanceType=inputs["hostInstanceType"],
        DeploymentMode=inputs["deploymentMode"],
        PubliclyAccessible=inputs["publiclyAccessible"],
        SubnetIds=inputs["subnetIds"],
        SecurityGroups=inputs["securityGroups"],
        Users=[
            {"Username": each["username"], "Password": each["password"]} for each in inputs["users"]
        ],
        Tags=inputs["tags"],
    )["BrokerId"]
    found = aws.mq.describe_broker(BrokerId=made)["BrokerInstances"]
    instances = [{"endpoints": each["Endpoints"]} for each in found]
    return Made(made, {"instances": instances}, lambda: aws.mq.delete_broker(BrokerId=made))


@makes("aws:acm/certificate:Certificate")
def _certificate(aws: Any, name: str, inputs: Inputs) -> Made:
    arn = aws.acm.request_certificate(
        DomainName=inputs["domainName"], ValidationMethod=inputs["validationMethod"]
    )["CertificateArn"]
    wanted = aws.acm.describe_certificate(CertificateArn=arn)["Certificate"]
    options = [
        {
            "resourceRecordName": each["ResourceRecord"]["Name"],
            "resourceRecordType": each["ResourceRecord"]["Type"],
            "resourceRecordValue": each["ResourceRecord"]["Value"],
        }
        for each in wanted["DomainValidationOptions"]
    ]
    added = {"arn": arn, "domainValidationOptions": options}
    return Made(arn, added, lambda: aws.acm.delete_certificate(CertificateArn=arn))


@makes("aws:acm/certificateValidation:CertificateValidation")
def _validation(aws: Any, name: str, inputs: Inputs) -> Made:
    assert inputs["validationRecordFqdns"]
    return Made(name, {}, lambda: None)


@makes("aws:lb/loadBalancer:LoadBalancer")
def _balancer(aws: Any, name: str, inputs: Inputs) -> Made:
    made = aws.elbv2.create_load_balancer(
        Name=name,
        Type=inputs["loadBalancerType"],
        Subnets=inputs["subnets"],
        SecurityGroups=inputs["securityGroups"],
    )["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    added = {"arn": arn, "dnsName": made["DNSName"], "zoneId": made["CanonicalHostedZoneId"]}
    return Made(arn, added, lambda: aws.elbv2.delete_load_balancer(LoadBalancerArn=arn))


@makes("aws:lb/targetGroup:TargetGroup")
def _targets(aws: Any, name: str, inputs: Inputs) -> Made:
    arn = aws.elbv2.create_target_group(
        Name=name,
        Protocol=inputs["protocol"],
        Port=int(inputs["port"]),
        VpcId=inputs["vpcId"],
        HealthCheckPath=inputs["healthCheck"]["path"],
        HealthCheckIntervalSeconds=int(inputs["healthCheck"]["interval"]),
        Matcher={"HttpCode": inputs["healthCheck"]["matcher"]},
    )["TargetGroups"][0]["TargetGroupArn"]
    return Made(arn, {"arn": arn}, lambda: aws.elbv2.delete_target_group(TargetGroupArn=arn))


@makes("aws:lb/targetGroupAttachment:TargetGroupAttachment")
def _target(aws: Any, name: str, inputs: Inputs) -> Made:
    group = inputs["targetGroupArn"]
    targets = [{"Id": inputs["targetId"], "Port": int(inputs["port"])}]
    aws.elbv2.register_targets(TargetGroupArn=group, Targets=targets)
    return Made(
        f"{group}-{name}",
        {},
        lambda: aws.elbv2.deregister_targets(TargetGroupArn=group, Targets=targets),
    )


@makes("aws:lb/listener:Listener")
def _listener(aws: Any, name: str, inputs: Inputs) -> Made:
    (action,) = inputs["defaultActions"]
    if action["type"] == "forward":
        told = {"Type": "forward", "TargetGroupArn": action["targetGroupArn"]}
    else:
        way = action["redirect"]
        way = {"Protocol": way["protocol"], "Port": way["port"], "StatusCode": way["statusCode"]}
        told = {"Type": "redirect", "RedirectConfig": way}
    secured = {}
    if "certificateArn" in inputs:
        secured = {
            "Certificates": [{"CertificateArn": inputs["certificateArn"]}],
            "SslPolicy": inputs["sslPolicy"],
        }
    arn = aws.elbv2.create_listener(
        LoadBalancerArn=inputs["loadBalancerArn"],
        Port=int(inputs["port"]),
        Protocol=inputs["protocol"],
        DefaultActions=[told],
        **secured,
    )["Listeners"][0]["ListenerArn"]
    return Made(arn, {"arn": arn}, lambda: aws.elbv2.delete_listener(ListenerArn=arn))


def _recorded_alone(aws: Any, name: str, inputs: Inputs) -> Made:
    """Make what moto does not know, or cannot remove, in name only."""
    return Made(name, {"name": name}, lambda: None)


for kind in ("parameterGroup:ParameterGroup", "subnetGroup:SubnetGroup", "userGroup:UserGroup"):
    makes(f"aws:elasticache/{kind}")(_recorded_alone)


@makes("aws:elasticache/user:User")
def _user(aws: Any, name: str, inputs: Inputs) -> Made:
    aws.elasticache.create_user(
        UserId=inputs["userId"],
        UserName=inputs["userName"],
        Engine=inputs["engine"],
        AccessString=inputs["accessString"],
        Passwords=inputs["passwords"],
    )
    return Made(inputs["userId"], {}, lambda: aws.elasticache.delete_user(UserId=inputs["userId"]))


@makes("aws:elasticache/replicationGroup:ReplicationGroup")
def _cache(aws: Any, name: str, inputs: Inputs) -> Made:
    aws.elasticache.create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription=inputs["description"],
        Engine=inputs["engine"],
        EngineVersion=inputs["engineVersion"],
        CacheNodeType=inputs["nodeType"],
        NumCacheClusters=int(inputs["numCacheClusters"]),
        AutomaticFailoverEnabled=inputs["automaticFailoverEnabled"],
        MultiAZEnabled=inputs["multiAzEnabled"],
        AtRestEncryptionEnabled=inputs["atRestEncryptionEnabled"],
        TransitEncryptionEnabled=inputs["transitEncryptionEnabled"],
        SecurityGroupIds=inputs["securityGroupIds"],
        UserGroupIds=inputs["userGroupIds"],
        Port=int(inputs["port"]),
    )
    return Made(
        name,
        {"primaryEndpointAddress": f"{name}.example.internal"},
        lambda: aws.elasticache.delete_replication_group(ReplicationGroupId=name),
    )
