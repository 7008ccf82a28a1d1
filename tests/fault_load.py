"""Clients that submit runs by HTTP at a steady rate while something breaks, and note each answer.

Most are as a good client is: they send an idempotency key, and what was refused, or never answered,
they send again. One has no patience: it sends each run once, without a key.
"""

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from eventually import eventually
from processes import LOOPBACK

NOTE, POISON = "fault.note", "fault.poison"
PATIENT = 3
SENT_TWICE = PATIENT
"""How many runs may have two messages: a good client sends again what was not confirmed."""
EVERY_S = 0.08
ANSWER_WITHIN_S = 20
GIVE_UP_S = 400
"""Longer than a server takes to be back on a slow machine."""
GOES_ON_WITHIN_S = 120
"""When no run was accepted for so long, something is wrong."""
TWICE_EVERY = 10
"""Each so manyth run that was accepted is sent again: its answer must name the same run."""
TICK_S = 0.01
"""So far the time of a file may lag behind: it is that of the kernel's last tick."""
WORK_S = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0.2)
ACCEPTED = (202, 200)
"""The latter where a request was sent again whose run has ended meanwhile."""
IN_PROGRESS, REFUSED, UNANSWERED = 409, 503, 0


class Execution(NamedTuple):
    """What the file of an execution tells."""

    number: int
    run_id: str
    pid: int
    at_s: float

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read it off the file."""
        number, run_id, pid, _ = path.name.split(".")
        return cls(int(number), run_id, int(pid), path.stat().st_mtime)


class Answer(NamedTuple):
    """What came back; `UNANSWERED` is the status where the line was cut or nothing came."""

    status: int
    body: Any
    retry_after_s: float


@dataclass
class Load:
    """Submits `fault.note` as long as its `with` block lasts, and knows what came of it.

    Runs have numbers; those of `accepted` are by the identifier of the run. Nothing else may be
    executed than what was accepted, what may have got through (`unconfirmed`, by identifier), and
    what nobody answered (`unanswered`, by number).
    """

    port: int
    folder: Path
    tag: str
    seed: int
    countdown_s: float = 0
    """Each other run may start so many seconds after its submission."""
    retry_s: float = 0
    """Half of those may be executed only in a second attempt, so many seconds after the first."""
    accepted: dict[str, int] = field(default_factory=dict)
    due_at_s: dict[int, float] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    unanswered: set[int] = field(default_factory=set)
    cut_off: int = 0
    """How many requests got no answer."""
    asking: int = 0
    """How many requests wait for their answer."""
    poisons: set[str] = field(default_factory=set)
    refused: int = 0
    seen: frozenset[str] = frozenset()
    """The runs that the history has as succeeded, told when all is over."""
    odd: list[str] = field(default_factory=list)
    """Answers that nobody should ever get, whatever is away."""
    slowest_s: float = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._newest = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._chance = random.Random(self.seed)
        clients = [self._be_patient] * PATIENT + [self._be_impatient]
        self._threads = [threading.Thread(target=client, daemon=True) for client in clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(0 if error else GIVE_UP_S)

    @property
    def newest(self) -> int:
        """Give the number of the run that was submitted last."""
        return self._newest

    def accepted_after(self, number: int) -> list[str]:
        """Give the accepted runs that were first submitted after this one."""
        with self._lock:
            return [run_id for run_id, each in self.accepted.items() if each > number]

    def lost(self) -> set[str]:
        """Give the accepted runs that were not executed, or of which the history does not tell."""
        executed = {each.run_id for each in self.executions()}
        return self.accepted.keys() - (executed & self.seen)

    def await_more(self, many: int) -> None:
        """Return when so many runs more have been accepted."""
        enough = len(self.accepted) + many
        while (known := len(self.accepted)) < enough:
            eventually(partial(self._has_more, known), deadline_s=GOES_ON_WITHIN_S)

    def _has_more(self, than: int) -> bool:
        return len(self.accepted) > than

    def submit(self, work_s: float) -> str:
        """Submit one run more, which works for so long; gives its identifier."""
        number, body = self._next()
        body["args"]["work_s"] = work_s
        return self._submitted(NOTE, number, body)

    def submit_poison(self) -> str:
        """Submit a run that kills the process which executes it; gives its identifier."""
        number, body = self._next()
        del body["args"]["work_s"]
        body["args"].pop("retry_s", None)
        return self._submitted(POISON, number, body)

    def executions(self) -> list[Execution]:
        """Give all that was executed, at least in part."""
        return [Execution.of(path) for path in self.folder.iterdir()]

    def tries_again(self, number: int) -> bool:
        """Tell whether the run of this number is executed in its second attempt."""
        return bool(self.retry_s) and number in self.due_at_s and number % 4 == 1

    def too_early(self) -> list[Execution]:
        """Give the executions that began before the run was due."""
        return [
            each
            for each in self.executions()
            if each.at_s + TICK_S < self.due_at_s.get(each.number, 0)
        ]

    def _be_patient(self) -> None:
        with _Line(self.port) as line:
            while not self._over.wait(EVERY_S):
                number, body = self._next()
                key = f'"{self.tag}-{number}"'
                self._insist(line, number, body, key)
                if number % TWICE_EVERY == 0:
                    self._insist(line, number, body, key)

    def _insist(
        self,
        line: "_Line",
        number: int,
        body: Mapping[str, Any],
        key: str,
        task: str = NOTE,
    ) -> Answer:
        """Send it until it is accepted."""
        until_s = time.monotonic() + GIVE_UP_S
        while (answer := self._sent(line, number, body, key, task)).status not in ACCEPTED:
            if time.monotonic() > until_s:
                self.odd.append(f"{number} was never accepted, the last time by {answer}")
                break
            time.sleep(answer.retry_after_s)
        return answer

    def _submitted(self, task: str, number: int, body: Mapping[str, Any]) -> str:
        with _Line(self.port) as line:
            answer = self._insist(line, number, body, f'"{self.tag}-{number}"', task)
        run_id: str = answer.body["id"]
        return run_id

    def _be_impatient(self) -> None:
        with _Line(self.port) as line:
            while not self._over.wait(EVERY_S):
                number, body = self._next()
                if self._sent(line, number, body).status == UNANSWERED:
                    self.unanswered.add(number)

    def _next(self) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self._newest = number = next(self._numbers)
            work_s = self._chance.choice(WORK_S)
        options: dict[str, Any] = {"tags": [self.tag]}
        if self.countdown_s and number % 2:
            options["countdown"] = self.countdown_s
            self.due_at_s[number] = time.time() + self.countdown_s
        args = {"folder": str(self.folder), "number": number, "work_s": work_s}
        if self.tries_again(number):
            args["retry_s"] = self.retry_s
            # A worker that does not trust its clock knows the time but about.
            self.due_at_s[number] += self.retry_s / 2
        return number, {"args": args, "options": options}

    def _sent(
        self,
        line: "_Line",
        number: int,
        body: Mapping[str, Any],
        key: str | None = None,
        task: str = NOTE,
    ) -> Answer:
        started_s = time.monotonic()
        with self._lock:
            self.asking += 1
        answer = line.post(f"/api/v1/tasks/{task}/runs", body, key)
        with self._lock:
            self.asking -= 1
            if answer.status == UNANSWERED:
                self.cut_off += 1
            else:
                self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)
            self._note(number, task, answer)
        return answer

    def _note(self, number: int, task: str, answer: Answer) -> None:
        if answer.status in ACCEPTED and task == POISON:
            self.poisons.add(answer.body["id"])
        elif answer.status in ACCEPTED:
            self.accepted[answer.body["id"]] = number
        elif answer.status == REFUSED and answer.retry_after_s:
            if "run_id" in answer.body:
                self.unconfirmed.add(answer.body["run_id"])
            else:
                self.refused += 1
        elif answer.status not in (UNANSWERED, IN_PROGRESS):
            self.odd.append(f"{answer.status} {answer.body}")


class _Line:
    """A connection to the web that is made anew after trouble."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_WITHIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post(self, path: str, body: Mapping[str, Any], key: str | None) -> Answer:
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(UNANSWERED, None, EVERY_S)
        retry_after_s = float(response.headers.get("Retry-After") or 0)
        return Answer(response.status, json.loads(text), retry_after_s)
