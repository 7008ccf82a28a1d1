"""A running stack that is there to be broken."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from reaper import Kill, kill_child, kill_role
from running_stack import RunningStack

CONCURRENCY = 8
"""How many runs the stack's worker executes at once."""


@dataclass
class Breakable:
    """A stack, where it keeps what it knows, and the ways to kill a part of it."""

    stack: RunningStack
    history_url: str
    redis_url: Callable[[], str]
    executed_in: Path
    """The file that names each run as often as it was executed."""
    kills: dict[str, Kill] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in ("web", "recorder", "worker"):
            self.kills[role] = partial(kill_role, self.stack, role)
        self.kills["child"] = partial(kill_child, self.stack, "worker")
