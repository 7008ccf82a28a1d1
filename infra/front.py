"""The web's front: a load balancer that speaks TLS for a domain, before all hosts of the web."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import acm, lb, route53

from celeriac.topology import FLASK
from network import Network
from tags import tags

HTTPS_PORT, HTTP_PORT = 443, 80
TLS_1_2_AND_NEWER = "ELBSecurityPolicy-TLS13-1-2-2021-06"
IDLE_S = 90
"""Above the longest wait that a client may ask for; streams show life more often."""
DRAIN_S = 60
VALIDATION_TTL_S = 60


@dataclass(frozen=True)
class FrontArgs:
    """The domain and its zone in Route 53, and the network that the load balancer stands in."""

    domain: str
    zone: str
    network: Network
    security_group: pulumi.Input[str]
    instance_ids: Mapping[str, pulumi.Input[str]]


class Front(pulumi.ComponentResource):
    """What people reach by the domain; nothing but it reaches the web's port."""

    def __init__(self, name: str, args: FrontArgs) -> None:
        super().__init__("celeriac:infra:Front", name)
        self._child = pulumi.ResourceOptions(parent=self)
        self._zone_id = route53.get_zone_output(name=args.zone, private_zone=False).zone_id
        certificate = self._create_certificate(args.domain)
        balancer = lb.LoadBalancer(
            "front",
            load_balancer_type="application",
            security_groups=[args.security_group],
            subnets=[args.network.subnet_id, args.network.create_second_subnet()],
            idle_timeout=IDLE_S,
            drop_invalid_header_fields=True,
            tags=tags("front"),
            # AWS refuses one that faces the internet where there is no way to it yet.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.network.ready]),
        )
        self._create_listeners(balancer, certificate, self._create_targets(args))
        route53.Record(
            "front",
            zone_id=self._zone_id,
            name=args.domain,
            type="A",
            aliases=[
                {
                    "name": balancer.dns_name,
                    "zone_id": balancer.zone_id,
                    "evaluate_target_health": False,
                }
            ],
            opts=self._child,
        )
        self.register_outputs({})

    def _create_certificate(self, domain: str) -> pulumi.Output[str]:
        """Have AWS give a certificate, once a record has shown that the domain is ours."""
        certificate = acm.Certificate(
            "front",
            domain_name=domain,
            validation_method="DNS",
            tags=tags("front"),
            opts=self._child,
        )
        shown = certificate.domain_validation_options[0]
        record = route53.Record(
            "front-validation",
            zone_id=self._zone_id,
            name=shown.resource_record_name,
            type=shown.resource_record_type,
            records=[shown.resource_record_value],
            ttl=VALIDATION_TTL_S,
            opts=self._child,
        )
        validated = acm.CertificateValidation(
            "front",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=self._child,
        )
        return pulumi.Output.from_input(validated.certificate_arn)

    def _create_targets(self, args: FrontArgs) -> pulumi.Output[str]:
        port = FLASK.ports["web"]
        group = lb.TargetGroup(
            "front",
            port=port,
            protocol="HTTP",
            vpc_id=args.network.vpc_id,
            deregistration_delay=DRAIN_S,
            # Whether the web works, not what it needs: without Redis all hosts would be taken out.
            health_check={"path": "/healthz", "matcher": "200", "interval": 10},
            tags=tags("front"),
            opts=self._child,
        )
        for host, instance_id in args.instance_ids.items():
            lb.TargetGroupAttachment(
                host,
                target_group_arn=group.arn,
                target_id=instance_id,
                port=port,
                opts=self._child,
            )
        return pulumi.Output.from_input(group.arn)

    def _create_listeners(
        self,
        balancer: lb.LoadBalancer,
        certificate: pulumi.Input[str],
        targets: pulumi.Input[str],
    ) -> None:
        lb.Listener(
            "front-https",
            load_balancer_arn=balancer.arn,
            port=HTTPS_PORT,
            protocol="HTTPS",
            ssl_policy=TLS_1_2_AND_NEWER,
            certificate_arn=certificate,
            default_actions=[{"type": "forward", "target_group_arn": targets}],
            tags=tags("front-https"),
            opts=self._child,
        )
        https = {"protocol": "HTTPS", "port": str(HTTPS_PORT), "status_code": "HTTP_301"}
        lb.Listener(
            "front-http",
            load_balancer_arn=balancer.arn,
            port=HTTP_PORT,
            protocol="HTTP",
            default_actions=[{"type": "redirect", "redirect": https}],
            tags=tags("front-http"),
            opts=self._child,
        )
