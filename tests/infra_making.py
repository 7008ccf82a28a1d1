"""How moto makes what the program asks for: a table, which modules beside this one fill."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A resource that exists: its identifier, what AWS added to it, and how it is removed."""

    id: str
    added: Inputs
    remove: Callable[[], object]


Maker = Callable[[Any, str, Inputs], Made]
"""Takes the clients of AWS by the names of services, the resource's name, and its inputs."""
MAKERS: dict[str, Maker] = {}


def makes(kind: str) -> Callable[[Maker], Maker]:
    """Name the type of resource that a function makes."""

    def keep(maker: Maker) -> Maker:
        MAKERS[kind] = maker
        return maker

    return keep


def tagged(kind: str, inputs: Inputs) -> list[Inputs]:
    """Give the tags of an input as EC2 takes them."""
    tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
    return [{"ResourceType": kind, "Tags": tags}]
