"""The start-up script of a host: the template startup.sh with the host's settings put in."""

import shlex
from collections.abc import Mapping
from pathlib import Path

TEMPLATE = Path(__file__).with_name("startup.sh")
MARK = "# @settings@\n"

MAX_BYTES = 16 * 1024
"""What EC2 takes as user data. Source: EC2 user guide, "Run commands when you launch"."""


def render(settings: Mapping[str, str]) -> str:
    """Put the settings, none of them secret, in the place of the template's mark."""
    lines = [f"readonly {name}={shlex.quote(value)}\n" for name, value in settings.items()]
    script = TEMPLATE.read_text(encoding="utf-8").replace(MARK, "".join(lines))
    if len(script.encode()) >= MAX_BYTES:
        raise ValueError(f"the start-up script has {len(script.encode())} bytes, of {MAX_BYTES}")
    return script
