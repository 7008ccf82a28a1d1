"""What the stand-in for Pulumi's engine has made: the state of one stack, kept in a file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

INSTANCE = "aws:ec2/instance:Instance"
KEY = "aws:ec2/keyPair:KeyPair"
FILE = "state.json"


@dataclass(frozen=True)
class Kept:
    """A resource that exists: its inputs, secrets in the clear, and what AWS added."""

    type: str
    name: str
    id: str
    inputs: dict[str, Any]
    added: dict[str, Any]


@dataclass
class State:
    """All resources of a stack, and its outputs."""

    kept: list[Kept] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "State":
        """Read it from a folder; there may be nothing yet."""
        file = folder / FILE
        if not file.exists():
            return cls()
        found = json.loads(file.read_text())
        return cls([Kept(**each) for each in found["kept"]], found["outputs"])

    def write(self, folder: Path) -> None:
        """Replace the file in one step, since others read it."""
        new = folder / f"{FILE}.new"
        new.write_text(json.dumps(asdict(self)))
        new.replace(folder / FILE)

    def of(self, kind: str) -> list[Kept]:
        """Give the resources of a type."""
        return [each for each in self.kept if each.type == kind]

    def find(self, kind: str, name: str) -> Kept | None:
        """Give the resource of a type and a name, if there is one."""
        return next((each for each in self.of(kind) if each.name == name), None)
