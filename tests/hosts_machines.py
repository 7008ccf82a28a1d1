"""Six hosts in containers with systemd, as a state of hosts_state.py has them.

They have their disks, names by which they find each other, and packet filters in the place of their
security groups.
"""

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compose_hosts import docker
from eventually import eventually
from hosts_state import INSTANCE, KEY, Kept, State

KNOCK = Path(__file__).with_name("hosts_knock.py")
IMAGE = "celeriac-stand-in/host"
NETWORK = "vpc"
SUBNET = "10.0.1.0/24"
DNS = "names"
"""The container that serves the names."""

READY_WITHIN_S = 240
GONE_WITHIN_S = 30
LOG = "/home/ubuntu/startup.log"
DISK = "nvme-Amazon_Elastic_Block_Store_"

RULES = "aws:vpc/securityGroup{}Rule:SecurityGroup{}Rule"
INGRESS, EGRESS = (RULES.format(way, way) for way in ("Ingress", "Egress"))
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
RECORD = "aws:route53/record:Record"
ADDRESS = "aws:ec2/eip:Eip"
ADDRESS_ASSOCIATION = "aws:ec2/eipAssociation:EipAssociation"

# With fewer of them systemd and a Docker of its own do not start in a container.
RIGHTS = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--device-cgroup-rule=a *:* rwm",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined", "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/tmp",
)  # fmt: skip
CGROUPS_1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


@dataclass(frozen=True)
class Machines:
    """The hosts of the state in a folder. Containers have their names."""

    folder: Path

    def bring_about(self) -> None:
        """Start the hosts that are not there yet, and let names and packets lead to all."""
        state = State.read(self.folder)
        (self.folder / "hosts").write_text("".join(names(state)))
        docker("kill", "--signal=HUP", DNS)
        self._filter(packet_filter(state))
        there = docker("ps", "--all", "--format={{.Names}}").split()
        for instance in state.of(INSTANCE):
            if instance.name not in there:
                self._start(state, instance)
                self._attach_volume(state, instance)

    def _start(self, state: State, instance: Kept) -> None:
        resolver = f"--volume={self.folder / 'resolv.conf'}:/etc/resolv.conf:ro"
        seed = f"--volume={self._seed(state, instance)}:/var/lib/cloud/seed/nocloud:ro"
        address = f"--ip={instance.added['privateIp']}"
        docker(
            "run", "--detach", f"--name={instance.name}", f"--network={NETWORK}", address, *RIGHTS,
            f"--env=SYSTEMD_PROC_CMDLINE={CGROUPS_1}", "--volume=/var/lib/docker", resolver, seed,
            IMAGE,
        )  # fmt: skip

    def _seed(self, state: State, instance: Kept) -> Path:
        """Write what cloud-init asks EC2 for, in which no container believes to be."""
        folder = self.folder / "seeds" / instance.id
        folder.mkdir(parents=True)
        known = {
            "instance-id": instance.id,
            "local-hostname": "ip-" + instance.added["privateIp"].replace(".", "-"),
            "public-keys": [each.inputs["publicKey"] for each in state.of(KEY)],
        }
        (folder / "meta-data").write_text(json.dumps(known))
        (folder / "user-data").write_text(instance.inputs["userData"])
        return folder

    def _attach_volume(self, state: State, instance: Kept) -> None:
        """Let the host see its disk, as soon as the one before it sees it no more."""
        attachments = [each.inputs for each in state.of(ATTACHMENT)]
        mine = [each["volumeId"] for each in attachments if each["instanceId"] == instance.id]
        for volume in [each for each in state.of(VOLUME) if each.id in mine]:
            file = self.folder / "volumes" / volume.id
            file.parent.mkdir(exist_ok=True)
            with file.open("ab") as disk:
                disk.truncate(int(volume.inputs["size"]) << 30)
            eventually(partial(_is_free, file), deadline_s=GONE_WITHIN_S)
            loop = _run("losetup", "--find", "--show", str(file)).strip()
            name = DISK + volume.id.replace("-", "")
            node = f"mknod /dev/nvme1n1 b 7 {loop.removeprefix('/dev/loop')}"
            link = f"mkdir -p /dev/disk/by-id && ln -s /dev/nvme1n1 /dev/disk/by-id/{name}"
            self.run(instance.name, f"{node} && {link}")

    def cut_power(self, host: str) -> None:
        """End a host and all that runs on it at once."""
        docker("kill", host)

    def remove(self, host: str) -> None:
        """Remove what is left of a host, but for its data volume."""
        docker("rm", "--force", "--volumes", host)

    def run(self, host: str, script: str) -> str:
        """Run a script on a host, as root."""
        return docker("exec", host, "bash", "-euc", script)

    def address(self, host: str) -> str:
        """Give a host's address among the others."""
        format_ = f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}"
        return docker("inspect", f"--format={format_}", host).strip()

    def knock(self, host: str, *places: str) -> dict[str, str]:
        """Tell for each `host:port` whether it is open to a host."""
        script = KNOCK.read_text(encoding="utf-8")
        found: dict[str, str] = json.loads(docker("exec", host, "python3", "-c", script, *places))
        return found

    def wait_until_ready(self, hosts: Iterable[str]) -> None:
        """Wait until start-up scripts have left their markers.

        Raises:
            AssertionError: one failed or took too long; the message has the end of its log.
        """
        for host in hosts:
            try:
                eventually(partial(self._is_ready, host), deadline_s=READY_WITHIN_S)
            except AssertionError as error:
                raise AssertionError(
                    f"{host} is not ready: {error}\n{self.log(host, 25)}"
                ) from None
        # From now on a disk is free as soon as its host is gone.
        for file in (self.folder / "volumes").iterdir():
            for loop in loops(file):
                _run("losetup", "--detach", loop)

    def _is_ready(self, host: str) -> bool:
        return "ready" in self.run(host, "cat /var/lib/celeriac/ready")

    def log(self, host: str, lines: int = 1000) -> str:
        """Give the end of what a host's start-up script said."""
        return docker("exec", host, "sh", "-c", f"tail -n {lines} {LOG} 2>&1 || true")

    @staticmethod
    def _filter(rules: str) -> None:
        """Load packet filters where the hosts' networks are: those of hosts/world."""
        subprocess.run(
            ["nsenter", "--net=/proc/1/ns/net", "iptables-restore", "--noflush"],
            input=rules,
            text=True,
            check=True,
        )


def loops(file: Path) -> list[str]:
    """Give the loop devices that show a file as a disk."""
    lines = _run("losetup", "--noheadings", "--output=NAME", "--associated", str(file))
    return lines.split()


def _is_free(disk: Path) -> bool:
    return not loops(disk)


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(state: State) -> Iterator[str]:
    """Give the records of the zone as lines of a file of hosts."""
    for record in state.of(RECORD):
        for address in record.inputs["records"]:
            yield f"{address} {record.inputs['name']}\n"


def packet_filter(state: State) -> str:
    """Write security groups as rules of iptables, and where public addresses lead."""
    members: dict[str, list[str]] = {}
    for instance in state.of(INSTANCE):
        for group in instance.inputs["vpcSecurityGroupIds"]:
            members.setdefault(group, []).append(instance.added["privateIp"])
    return "\n".join(
        [
            "*filter",
            ":DOCKER-USER -",
            ":celeriac-out -",
            ":celeriac-in -",
            "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A DOCKER-USER -j celeriac-out",
            "-A DOCKER-USER -j celeriac-in",
            *_let_through(
                state.of(EGRESS), members, "-A celeriac-out -s {own} -d {other}", "RETURN"
            ),
            f"-A celeriac-out -s {SUBNET} -j DROP",
            *_let_through(
                state.of(INGRESS), members, "-A celeriac-in -d {own} -s {other}", "ACCEPT"
            ),
            f"-A celeriac-in -d {SUBNET} -j DROP",
            "COMMIT",
            "*nat",
            ":celeriac-public -",
            *_public_addresses(state),
            "COMMIT\n",
        ]
    )


def _let_through(
    rules: list[Kept], members: dict[str, list[str]], packets: str, verdict: str
) -> Iterator[str]:
    for rule in rules:
        inputs = rule.inputs
        cidr, group = inputs.get("cidrIpv4"), inputs.get("referencedSecurityGroupId", "")
        ports = ""
        if inputs["ipProtocol"] != "-1":
            between = f"{inputs['fromPort']:.0f}:{inputs['toPort']:.0f}"
            ports = f" -p {inputs['ipProtocol']} --dport {between}"
        for own in members.get(inputs["securityGroupId"], []):
            for other in [cidr] if cidr else members.get(group, []):
                yield f"{packets.format(own=own, other=other)}{ports} -j {verdict}"


def _public_addresses(state: State) -> Iterator[str]:
    """An address that is associated with an instance stands in the place of the instance's own."""
    stay = {
        association.inputs["instanceId"]: address.added["publicIp"]
        for association in state.of(ADDRESS_ASSOCIATION)
        for address in state.of(ADDRESS)
        if address.id == association.inputs["allocationId"]
    }
    for instance in state.of(INSTANCE):
        public = stay.get(instance.id, instance.added["publicIp"])
        to = instance.added["privateIp"]
        yield f"-A celeriac-public -d {public} -j DNAT --to-destination {to}"
