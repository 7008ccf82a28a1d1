"""Answers to Pulumi's program in infra/ as AWS would give them, with identifiers made of names."""

from typing import Any

from pulumi.runtime import mocks, rpc

INVOKES: dict[str, dict[str, object]] = {
    "aws:index/getRegion:getRegion": {"region": "us-east-1", "id": "us-east-1"},
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "123456789012"},
    "aws:route53/getZone:getZone": {"zoneId": "public-zone"},
    "aws:ec2/getAmi:getAmi": {"id": "ami-0123456789abcdef0"},
}

ZONES = ("us-east-1e", "us-east-1a", "us-east-1b")
OLD_ZONE = "us-east-1e"
"""It has none of the types of today."""
LOCAL_ZONE = "us-east-1-bos-1a"
"""The account has opted in."""

COMPUTED = {
    "aws:acm/certificate:Certificate": {"arn": "certificate"},
    "aws:acm/certificateValidation:CertificateValidation": {"certificateArn": "certificate"},
    "aws:elasticache/parameterGroup:ParameterGroup": {"name": "{name}-parameters"},
    "aws:elasticache/replicationGroup:ReplicationGroup": {
        "primaryEndpointAddress": "redis.example.internal"
    },
    "aws:elasticache/subnetGroup:SubnetGroup": {"name": "{name}-subnets"},
    "aws:lb/loadBalancer:LoadBalancer": {"arn": "front", "dnsName": "front.aws", "zoneId": "elb"},
    "aws:lb/targetGroup:TargetGroup": {"arn": "webs"},
    "aws:route53/record:Record": {"fqdn": "{name}"},
    "aws:ec2/instance:Instance": {"privateIp": "10.0.1.10", "publicIp": "203.0.113.{number}"},
    "aws:ec2/eip:Eip": {"publicIp": "203.0.113.200"},
    "aws:ec2/keyPair:KeyPair": {"keyName": "{name}-key"},
    "aws:iam/role:Role": {"name": "{name}-role"},
    "aws:iam/instanceProfile:InstanceProfile": {"name": "{name}-profile"},
    "aws:rds/instance:Instance": {"address": "history.example.internal"},
    "aws:rds/subnetGroup:SubnetGroup": {"name": "{name}-subnets"},
    "aws:route53/zone:Zone": {"zoneId": "zone"},
    "random:index/randomPassword:RandomPassword": {"result": "SECRET{name}"},
}
"""What AWS adds to what it is given. In a preview nobody knows."""


class Cloud(mocks.Mocks):
    """Answers as AWS would, with identifiers made of names."""

    def __init__(self, preview: bool) -> None:
        self._preview = preview
        self._number = 0

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]]]:
        """Answer a look-up without complaints; one that is not in the table is an error."""
        if args.token == "aws:index/getAvailabilityZones:getAvailabilityZones":
            asked = [each["name"] for each in args.args["filters"]]
            local = [] if "opt-in-status" in asked else [LOCAL_ZONE]
            return {"names": [*local, *ZONES]}, []
        if args.token == "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
            return _offerings(args.args["filters"][0]["values"]), []
        return INVOKES[args.token], []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        """Make a resource, with all that AWS adds to it."""
        if self._preview:
            return "", dict(args.inputs)
        self._number += 1
        computed = COMPUTED.get(args.typ, {})
        added: dict[str, object] = {
            key: value.format(name=args.name, number=self._number)
            for key, value in computed.items()
        }
        if args.typ == "aws:acm/certificate:Certificate":
            added["domainValidationOptions"] = [
                {
                    "resourceRecordName": f"_proof.{args.inputs['domainName']}",
                    "resourceRecordType": "CNAME",
                    "resourceRecordValue": "proof.aws",
                }
            ]
        if args.typ == "aws:mq/broker:Broker":
            added["instances"] = [{"endpoints": ["amqps://rabbitmq.example.internal:5671"]}]
        kind = args.typ.rpartition(":")[2].lower()
        return f"{kind}-{args.name}", {**args.inputs, **added}


def _offerings(types: list[str]) -> dict[str, object]:
    """Give the zones and the types there, in two lists as AWS does."""
    there = [zone for zone in ZONES if zone != OLD_ZONE]
    found = [(zone, each) for zone in there for each in types if "nowhere" not in each]
    return {
        "locations": [zone for zone, _ in found],
        "instanceTypes": [each for _, each in found],
    }


def plain_inputs(value: Any) -> Any:
    """Give inputs as AWS gets them: what is secret has no mark any more."""
    if rpc.is_rpc_secret(value):
        return plain_inputs(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain_inputs(each) for key, each in value.items()}
    return [plain_inputs(each) for each in value] if isinstance(value, list) else value
