"""Commands on hosts by SSM's Run Command, which needs neither an open port nor a key.

AWS keeps for a month what was sent and what came of it, so no secret is in either.
"""

import json
import subprocess
import time
from collections.abc import Sequence

DOCUMENT = "AWS-RunShellScript"
LONGEST_S = 60 * 60
PAUSE_S = 5.0
ON_THE_WAY = ("Pending", "InProgress", "Delayed", "Cancelling")
UNREACHED = 255
"""The exit code of a command of which nothing is known, as ssh has it."""


def run_command(instance: str, lines: Sequence[str], region: str | None = None) -> int:
    """Run a script as root on an instance, by its identifier; give its exit code.

    Without a region it is looked for where AWS's command line looks.
    """
    where = ("--region", region) if region else ()
    parameters = {"commands": lines, "executionTimeout": [str(LONGEST_S)]}
    command = _aws(
        "send-command", *where, "--document-name", DOCUMENT, "--instance-ids", instance,
        "--parameters", json.dumps(parameters), "--query", "Command.CommandId",
    )  # fmt: skip
    if not command:
        return UNREACHED
    end = time.monotonic() + LONGEST_S + PAUSE_S
    while time.monotonic() < end:
        time.sleep(PAUSE_S)
        told = _aws(
            "get-command-invocation", *where, "--instance-id", instance, "--command-id", command,
            "--query", "[Status,ResponseCode]",
        )  # fmt: skip
        if told and told.split()[0] not in ON_THE_WAY:
            # One that never reached the host has the code -1.
            code = int(told.split()[1])
            return code if code >= 0 else UNREACHED
    return UNREACHED


def _aws(*command: str) -> str:
    """Give what AWS's command line answers; what it complains of is for people to see."""
    words = ["aws", "ssm", *command, "--output", "text"]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
