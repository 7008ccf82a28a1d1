"""Somebody who calls the web of a whole system from outside, with an operator's token."""

import json
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from celeriac.runs import RunState
from eventually import eventually

PAUSE_S = 0.1
FINISHED = frozenset(state.value for state in RunState if state.finished)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(url: str, headers: dict[str, str], body: object = None) -> Answer:
    """An answer of any status is one; where none comes whole, the status is 0."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    asked = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return Answer(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read())
    except (OSError, HTTPException):
        return Answer(0, b"")


def basic(user: str, password: str) -> dict[str, str]:
    """Give the header by which somebody signs in with a password."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


@dataclass
class WebClient:
    """Calls the API at an address."""

    url: str
    token: str = ""

    def call(self, path: str, body: object = None, **headers: str) -> Answer:
        """Call the web's API as that operator."""
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        return request(f"{self.url}{path}", headers, body)

    def submit(self, count: int, tag: str) -> list[str]:
        """Submit runs, each of which must be accepted."""
        accepted = self.try_to_submit(count, tag)
        assert len(accepted) == count
        return accepted

    def try_to_submit(self, count: int, tag: str) -> list[str]:
        """Submit runs, and give those that were accepted."""
        body = {"args": {"text": "hello"}, "options": {"tags": [tag]}}
        answers = [self.call("/api/v1/tasks/text.reverse/runs", body) for _ in range(count)]
        return [answer.json["id"] for answer in answers if answer.status == 202]

    @contextmanager
    def submitting(self, tag: str) -> Iterator[list[str]]:
        """Submit runs all the while; give those that were accepted, which grow until the end."""
        accepted: list[str] = []
        done = threading.Event()

        def submit() -> None:
            while not done.wait(PAUSE_S):
                accepted.extend(self.try_to_submit(1, tag))

        load = threading.Thread(target=submit)
        load.start()
        try:
            yield accepted
        finally:
            done.set()
            load.join()

    def submit_long(self) -> str:
        """Submit a run that takes seconds, and wait until it is executed."""
        answer = self.call("/api/v1/tasks/primes.count/runs", {"args": {"limit": 400_000_000}})
        run = str(answer.json["id"])
        eventually(lambda: self.state(run) not in ("PENDING", "SUCCESS"), deadline_s=60)
        return run

    def state(self, run: str) -> str:
        """Give a run's state."""
        return str(self.call(f"/api/v1/runs/{run}").json["state"])

    def ends_of(self, runs: Sequence[str], *, deadline_s: float = 180) -> list[str]:
        """Give the state in which each run has ended, once all have."""
        ended: dict[str, str] = {}

        def all_have_ended() -> bool:
            for run in runs:
                if run not in ended and (state := self.state(run)) in FINISHED:
                    ended[run] = state
            return len(ended) == len(runs)

        eventually(all_have_ended, deadline_s=deadline_s)
        return [ended[run] for run in runs]
