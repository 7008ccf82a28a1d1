"""Celeriac on AWS, each role on a host of its own: an inventory. See docs/deploy-aws.md."""

import pulumi
from pulumi_aws import ec2, get_caller_identity_output, get_region_output

import costs
import parameters
from celeriac.topology import FLASK, FLOWER, RABBITMQ, ROLES
from credentials import create_credentials
from firewall import Firewall, FirewallArgs
from front import HTTP_PORT, HTTPS_PORT, Front, FrontArgs
from hosts import Host, HostArgs
from identity import Identity, IdentityArgs
from machine_image import machine_image
from managed import create_services
from names import Names
from network import Network, NetworkArgs
from parameters import Parameters
from plan import planned_hosts
from release import Release
from stack_config import read_stack_config
from tags import tags
from zones import find_zones, wanted_types

config = read_stack_config()
planned = planned_hosts(config)
roles = tuple(role for role in ROLES if role in planned.values())
region = get_region_output().region
account = get_caller_identity_output().account_id

network = Network("celeriac", NetworkArgs(find_zones(wanted_types(config))))
firewall = Firewall(
    "celeriac",
    FirewallArgs(
        network.vpc_id, config.admin_cidr, config.public_cidrs, roles, bool(config.domain)
    ),
)
names = Names("celeriac", network.vpc_id)
key = ec2.KeyPair("celeriac", public_key=config.public_key, tags=tags("celeriac"))
release = Release("celeriac", config)

# The web's address stays when its host is replaced: it is in links, and in people's bookmarks.
web_address = ec2.Eip("web", domain="vpc", tags=tags("web"))
flask_url = (
    pulumi.Output.from_input(f"https://{config.domain}")
    if config.domain
    else pulumi.Output.concat("http://", web_address.public_ip, f":{FLASK.ports['web']}")
)

credentials = create_credentials(config.broker)
services = create_services(config, credentials, network, firewall)
told = Parameters(
    "celeriac",
    parameters.environments(credentials, flask_url, services, config.domain),
    release.told,
)
identities = {
    role.name: Identity(
        f"celeriac-{role.name}",
        IdentityArgs(
            role=role.name,
            region=region,
            account=account,
            folder=parameters.folder(role.name),
            release_name=parameters.release_name(),
            bundle_arn=release.bundle_arn,
        ),
    )
    for role in roles
}
image = machine_image(config)
machines = {
    name: Host(
        name,
        HostArgs(
            role=role,
            config=config,
            region=region,
            ami=image,
            key_name=key.key_name,
            network=network,
            names=names,
            security_group=firewall.groups[role.name],
            identity=identities[role.name],
            depends_on=told.of(role.name),
        ),
    )
    for name, role in planned.items()
}
if config.broker == "cluster3":
    # Clients know one name, and try its addresses one after another.
    names.point(
        RABBITMQ.name, *(machines[name].private_ip for name in planned if planned[name] is RABBITMQ)
    )
ec2.EipAssociation(
    "web",
    allocation_id=web_address.id,
    instance_id=machines[FLASK.hosts[0]].instance_id,
)
if config.domain:
    Front(
        "celeriac",
        FrontArgs(
            domain=config.domain,
            zone=config.domain_zone,
            network=network,
            security_group=firewall.put_before(
                FLASK, "web", {HTTPS_PORT: "https", HTTP_PORT: "http"}
            ),
            instance_ids={
                name: machines[name].instance_id for name, role in planned.items() if role is FLASK
            },
        ),
    )

addresses = {name: machine.public_ip for name, machine in machines.items()}
addresses[FLASK.hosts[0]] = web_address.public_ip
for name, address in addresses.items():
    pulumi.export(f"{name}_public_ip", address)
pulumi.export("flask_url", flask_url)
pulumi.export(
    "flower_url",
    pulumi.Output.concat("http://", addresses[FLOWER.hosts[0]], f":{FLOWER.ports['flower']}"),
)
if RABBITMQ.hosts[0] in addresses:
    pulumi.export(
        "rabbitmq_url",
        pulumi.Output.concat(
            "http://", addresses[RABBITMQ.hosts[0]], f":{RABBITMQ.ports['management']}"
        ),
    )
pulumi.export(
    "ssh",
    {
        name: pulumi.Output.concat("ssh ", config.ssh_options, "ubuntu@", address)
        for name, address in addresses.items()
    },
)
pulumi.export(
    "ssm",
    {
        name: pulumi.Output.concat(
            "aws ssm start-session --region ", region, " --target ", machine.instance_id
        )
        for name, machine in machines.items()
    },
)
pulumi.export("region", region)
pulumi.export("version", release.told["commit"])
pulumi.export("monthly_cost", costs.told(config, planned))
