"""Names inside the VPC, so that a host which is replaced keeps its name."""

import pulumi
from pulumi_aws import route53

from tags import tags

DOMAIN = "celeriac.internal"
SHORT_TTL_S = 30


def full_name(host: str) -> str:
    """Give the name by which a host is found from the others."""
    return f"{host}.{DOMAIN}"


class Names(pulumi.ComponentResource):
    """A private zone, seen from within the VPC alone."""

    def __init__(self, name: str, vpc_id: pulumi.Input[str]) -> None:
        super().__init__("celeriac:infra:Names", name)
        self._zone = route53.Zone(
            "zone",
            name=DOMAIN,
            vpcs=[{"vpc_id": vpc_id}],
            comment="Celeriac's hosts, for each other",
            tags=tags(DOMAIN),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"zone_id": self._zone.zone_id})

    def point(self, host: str, *addresses: pulumi.Input[str]) -> None:
        """Let a name lead to a host's private address, or to those of several."""
        route53.Record(
            f"{host}-name",
            zone_id=self._zone.zone_id,
            name=full_name(host),
            type="A",
            ttl=SHORT_TTL_S,
            records=list(addresses),
            opts=pulumi.ResourceOptions(parent=self),
        )
