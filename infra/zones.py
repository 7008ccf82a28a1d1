"""Which zones of the region a stack is in: not every zone has every type of machine."""

from collections.abc import Iterable, Sequence

import pulumi
from pulumi_aws import ec2, get_availability_zones_output

from plan import planned_hosts
from stack_config import StackConfig, StackConfigError


def wanted_types(config: StackConfig) -> set[str]:
    """Give the types of machines that the first zone must have; a service runs on such as well."""
    types = {config.instance_types[role.name] for role in planned_hosts(config).values()}
    if config.broker == "amazonmq":
        types.add(config.broker_type.removeprefix("mq."))
    return types


def find_zones(types: Iterable[str]) -> pulumi.Output[list[str]]:
    """Give the region's zones, those first that have all types; Local Zones are none of them.

    Raises:
        StackConfigError: no zone has them all. It comes from within the output.
    """
    wanted = sorted(types)
    zones = get_availability_zones_output(
        state="available",
        filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],
    )
    offered = ec2.get_instance_type_offerings_output(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": wanted}],
    )
    return pulumi.Output.all(zones.names, offered.locations, offered.instance_types).apply(
        lambda found: _sorted(wanted, *found)
    )


def _sorted(
    wanted: Sequence[str], zones: Sequence[str], places: Sequence[str], types: Sequence[str]
) -> list[str]:
    offered = set(zip(places, types, strict=True))
    having = [zone for zone in zones if all((zone, each) in offered for each in wanted)]
    if not having:
        raise StackConfigError(
            f"No zone of this region has all of {', '.join(wanted)}: choose other types "
            "(instanceTypes, brokerType) or another region (aws:region)"
        )
    return having + [zone for zone in zones if zone not in having]
