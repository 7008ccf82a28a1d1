"""A machine for the start-up script: a folder in place of /, and stand-ins for what it calls."""

import json
import os
import re
import subprocess
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import startup

SETTINGS = {
    "ROLE": "redis",
    "HOST": "redis-ec2",
    "FULL_NAME": "redis-ec2.celeriac.internal",
    "REGION": "us-east-1",
    "PARAMETERS": "/celeriac/dev/redis",
    "RELEASE_NAME": "/celeriac/dev/release",
    "LEFT_OUT": "",
    "VOLUME": "vol-0abc",
}
DISK = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0abc"
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"

STAND_INS = {
    "apt-get": '[[ "$*" != *docker-ce* ]] || touch "$FAKE/docker"',
    "blkid": 'exit "$(cat "$FAKE/disk")"',
    "curl": """
        case "$*" in
        *api/token) echo TOKEN ;;
        *"aws-ec2-metadata-token: TOKEN"*) [ -s "$FAKE/notice" ] && cat "$FAKE/notice" || exit 22 ;;
        *) while [ "$1" != -o ]; do shift; done; echo key >"$2" ;;
        esac
    """,
    "dpkg": "echo amd64",
    "gpg": 'echo "fpr:::::::::$(cat "$FAKE/key"):"',
    "mkfs.ext4": 'echo 0 >"$FAKE/disk"',
    "mount": 'echo "$1" >>"$FAKE/mounted"',
    "mountpoint": 'grep -qx "$2" "$FAKE/mounted"',
    # The notice comes while a host waits for it.
    "sleep": '! grep -q api/token "$FAKE/calls" || echo terminate >"$FAKE/notice"',
    "systemctl": """
        [[ "$*" != *is-active* ]] || exit 3
        [ "$*" != "start celeriac.service" ] || exec "$ROOT/usr/local/sbin/celeriac-start"
    """,
    "docker": """
        [ -e "$FAKE/docker" ] || exit 127
        case "$*" in
        *--images*) if [[ "$*" == *redis* ]]; then echo redis:8.0; else cat "$FAKE/image"; fi ;;
        *--wait*) ! grep -qFf "$FAKE/sick" "$ROOT/etc/celeriac/celeriac.env" ;;
        *prune*) ;;
        image*) grep -qx "$3" "$FAKE/built" ;;
        *build*) cat "$FAKE/image" >>"$FAKE/built" ;;
        esac
    """,
}
"""What each does after it has written down how it was called."""

BOTO3 = """
import json, os, shutil
from pathlib import Path

FAKE = Path(os.environ["FAKE"])


class client:
    def __init__(self, service, region_name):
        with (FAKE / "calls").open("a") as calls:
            calls.write(f"boto3 {service} {region_name}\\n")

    def get_parameter(self, Name, WithDecryption):
        return {"Parameter": {"Value": json.loads((FAKE / "parameters").read_text())[Name]}}

    def get_paginator(self, operation):
        return self

    def paginate(self, Path, WithDecryption):
        found = json.loads((FAKE / "parameters").read_text())
        own = [{"Name": n, "Value": v} for n, v in found.items() if n.startswith(Path + "/")]
        return [{"Parameters": own[:2]}, {"Parameters": own[2:]}]

    def download_file(self, bucket, key, file):
        shutil.copy(FAKE / bucket / key, file)
"""


@dataclass
class HostMachine:
    """One machine, whose file system is below `root`."""

    root: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))

    def __post_init__(self) -> None:
        """Make the stand-ins, on a machine that is new."""
        for folder in ("fake/bin", "etc/systemd/system", "usr/local/sbin", "dev/disk/by-id"):
            (self.root / folder).mkdir(parents=True)
        for name, behaviour in STAND_INS.items():
            file = self.fake / "bin" / name
            file.write_text(
                f'#!/bin/bash\necho "{name} $*" >>"$FAKE/calls"\n{textwrap.dedent(behaviour)}\n'
            )
            file.chmod(0o755)
        (self.fake / "boto3.py").write_text(BOTO3)
        for empty in ("mounted", "built", "calls", "sick"):
            (self.fake / empty).touch()
        (self.fake / "disk").write_text("2")
        (self.fake / "key").write_text(DOCKER_KEY)
        (self.root / "etc" / "fstab").touch()
        (self.root / DISK).touch()

    @property
    def fake(self) -> Path:
        """Where the stand-ins keep what they know."""
        return self.root / "fake"

    def tell(self, release: dict[str, str], environment: dict[str, str]) -> None:
        """Set the release and the role's parameters."""
        folder = self.settings["PARAMETERS"]
        found = {f"{folder}/{key}": value for key, value in environment.items()}
        found |= {self.settings["RELEASE_NAME"]: json.dumps(release), "/celeriac/dev/x/Y": "no"}
        (self.fake / "parameters").write_text(json.dumps(found))
        image = release.get("image") or f"celeriac:{release['commit']}"
        (self.fake / "image").write_text(f"{image}\n")

    def script(self) -> str:
        """Give the script as it is rendered, with all of its paths below the folder."""
        return self._below(startup.render(self.settings))

    def _below(self, script: str) -> str:
        return re.sub(
            r"^(readonly [A-Z_]+=)(/(?!celeriac/))", rf"\1{self.root}\2", script, flags=re.M
        )

    def roll(self, direction: str) -> subprocess.CompletedProcess[str]:
        """Run the host's side of a rollout, as it is sent to the host."""
        (self.fake / "calls").write_text("")
        script = self._below((startup.TEMPLATE.parent / "host" / "rollout.sh").read_text())
        return self._run(["bash", "-s", "--", direction], script)

    def obey(self, lines: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a script as the agent of SSM does, by sh."""
        (self.fake / "calls").write_text("")
        return self._run(["sh"], self._below("\n".join(lines)))

    def boot(self, script: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the script as user data, or another that is on the machine already."""
        (self.fake / "calls").write_text("")
        if script is None:
            script = self.root / "user-data"
            script.write_text(self.script())
            script.chmod(0o700)
        return self._run([str(script)])

    def boot_unheard(self, script: Path) -> None:
        """Run the script where its output goes nowhere, as when SSH is cut."""
        self._run(["bash", "-c", f"{script} | true"])

    def _run(
        self, command: list[str], entered: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.fake / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.fake),
            "FAKE": str(self.fake),
            "ROOT": str(self.root),
            "DEADLINE_S": "1",
            "READY_WITHIN_S": "0",
        }
        return subprocess.run(
            command,
            input=entered,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def calls(self, program: str) -> list[str]:
        """Give how a program was called since the last boot began, in order."""
        lines = (self.fake / "calls").read_text().splitlines()
        return [line.partition(" ")[2] for line in lines if line.split()[0] == program]

    def read(self, path: str) -> str:
        """Read a file of the machine."""
        return (self.root / path).read_text()
