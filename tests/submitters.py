"""Clients that submit runs by HTTP at the same time, come what may, and remember each answer."""

import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from processes import LOOPBACK

PAUSE_S = 0.05
LATER_S = 2.0
BEYOND_PAUSE_S = 0.2
ACCEPTED, IN_PROGRESS, AWAY = (202, 200), 409, 503
"""The second where a request was sent again whose run has ended meanwhile."""


@dataclass
class Submitters:
    """Submit the numbers from 0 on as the argument of `counted.reverse`, each until it is accepted.

    They submit `wanted` numbers, or as many as a slow machine can in `enough_s`. Beyond these they
    submit, slowly, for as long as `go_on` says so: what happens meanwhile needs its time on a fast
    machine too. `begun` is how many that were.

    A number is sent again with the same idempotency key. One whose first request was cut off is
    in progress for as long as the server holds it possible; it comes again later.
    """

    port: int
    wanted: int
    go_on: Callable[[], bool]
    clients: int = 6
    enough_s: float = 240
    stands_still_s: float = 150
    begun: int = 0
    accepted: dict[str, int] = field(default_factory=dict)
    """The number by the identifier of the run."""
    unanswered: int = 0
    odd: list[str] = field(default_factory=list)
    """Answers that nobody should give, whatever is away."""

    def __post_init__(self) -> None:
        self._soon: deque[int] = deque()
        self._later: deque[int] = deque()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._submit_all, daemon=True) for _ in range(self.clients)
        ]
        self._enough_at_s = self._accepted_at_s = 0.0
        self._is_over = False

    def start(self) -> None:
        """Begin to submit."""
        self._accepted_at_s = time.monotonic()
        self._enough_at_s = self._accepted_at_s + self.enough_s
        for thread in self._threads:
            thread.start()

    def done(self) -> bool:
        """Tell whether all numbers are submitted; fails when nothing is accepted for too long."""
        self._is_over = time.monotonic() > self._accepted_at_s + self.stands_still_s
        assert not self._is_over, f"only {len(self.accepted)} accepted; odd: {self.odd[:3]}"
        return not any(thread.is_alive() for thread in self._threads)

    def _submit_all(self) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)
        while (number := self._next()) is not None and not self._is_over:
            status = self._submit(connection, number)
            if status not in ACCEPTED:
                connection.close()
                self._put_off(number, status)
        connection.close()

    def _next(self) -> int | None:
        with self._lock:
            if self._soon:
                return self._soon.popleft()
            if self._may_begin():
                return self._begin()
            if self._later:
                return self._later.popleft()
        if not self.go_on():
            return None
        time.sleep(BEYOND_PAUSE_S)
        with self._lock:
            return self._begin()

    def _may_begin(self) -> bool:
        return self.begun < self.wanted and time.monotonic() < self._enough_at_s

    def _begin(self) -> int:
        self.begun += 1
        return self.begun - 1

    def _put_off(self, number: int, status: int) -> None:
        with self._lock:
            self.unanswered += 1
            if status == IN_PROGRESS:
                self._later.append(number)
            else:
                self._soon.append(number)
            only_these = not self._may_begin()
        time.sleep(LATER_S if status == IN_PROGRESS and only_these else PAUSE_S)

    def _submit(self, connection: http.client.HTTPConnection, number: int) -> int:
        """Send it once; gives the status, or that of a server that is away."""
        body = json.dumps({"args": {"text": text_of(number)}})
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"number-{number}"'}
        try:
            connection.request("POST", "/api/v1/tasks/counted.reverse/runs", body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            return AWAY
        if response.status in ACCEPTED:
            with self._lock:
                self.accepted[json.loads(answer)["id"]] = number
                self._accepted_at_s = time.monotonic()
        elif response.status not in (IN_PROGRESS, AWAY):
            self.odd.append(f"{response.status} {answer!r}")
        return response.status


def text_of(number: int) -> str:
    """Give the argument for a number; it reads differently backwards."""
    return f"run-{number:06d}"
