"""Kills the processes of a running stack, one after the other, at times that a seed decides."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from running_stack import RunningStack

Kill = Callable[[], None]

BACK_WITHIN_S = 120
"""How long somebody who was killed may be away."""


@dataclass
class Reaper:
    """Kill every victim in turn, in a new order each time around, with pauses in between.

    Who is dead already, since nobody has brought it back yet, has its turn a little later.
    """

    kills: Mapping[str, Kill]
    seed: int
    pause_s: tuple[float, float]
    done: Counter[str] = field(default_factory=Counter)

    def run(self, go_on: Callable[[], bool]) -> None:
        """Kill as long as `go_on` says so; fails when somebody does not come back."""
        chance = random.Random(self.seed)
        names: list[str] = []
        killed_at_s = time.monotonic()
        while _waited(chance.uniform(*self.pause_s), go_on):
            names = names or chance.sample(sorted(self.kills), k=len(self.kills))
            assert time.monotonic() < killed_at_s + BACK_WITHIN_S, f"{names[-1]} does not come back"
            with suppress(LookupError, ProcessLookupError, psutil.NoSuchProcess):
                self.kills[names[-1]]()
                self.done[names.pop()] += 1
                killed_at_s = time.monotonic()

    def spares(self) -> set[str]:
        """Tell who was not killed yet."""
        return {name for name in self.kills if name not in self.done}


def _waited(pause_s: float, go_on: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + pause_s
    while time.monotonic() < until_s and go_on():
        time.sleep(0.02)
    return go_on()


def kill_role(stack: RunningStack, role: str) -> None:
    """Kill the process of this role, such as `worker` or `valkey`, with all its children."""
    os.killpg(_leader(stack, role).pid, signal.SIGKILL)


def kill_child(stack: RunningStack, role: str) -> None:
    """Kill a child of the process of this role."""
    _leader(stack, role).children()[-1].kill()


def _leader(stack: RunningStack, role: str) -> psutil.Process:
    for process in psutil.Process(stack.process.pid).children():
        with suppress(psutil.Error):
            words = process.cmdline()
            if words[-1:] == [role] or any(f"{role}-server" in word for word in words[:1]):
                return process
    raise LookupError(f"no {role} runs")
