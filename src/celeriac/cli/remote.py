"""A web somewhere else, asked by its HTTP API as whoever has logged in there."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, JsonValue
from urllib3.exceptions import NewConnectionError

from celeriac.errors import (
    CeleriacError,
    ConfigurationError,
    FieldProblem,
    InvalidInputError,
    TransientError,
)
from celeriac.runs import Outcome, Run, RunFilter, RunList, SubmitOptions, json_of, words_of

Model = TypeVar("Model", bound=BaseModel)
TIMEOUT_S = (5, 60)
"""To connect, and to answer."""
A_PAGE = 200
WAIT_S = 1
"""How often a waiting command shows what has become of a run."""
LAST_TRIES = 30
"""A web that is away for so many seconds, as when it is deployed, is waited for."""
NOT_NOW = frozenset({429, 502, 503, 504})
"""Of the web itself, or of a proxy before it."""
LONGEST_PAUSE_S = 60
WRONG_USE = frozenset({"unknown_task", "invalid_idempotency_key", "unknown_queue"})


class WebUnavailableError(TransientError):
    """The web does not answer, or not now."""

    code = "web_unavailable"

    def __init__(self, message: str, retry_after_s: int = WAIT_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotLoggedInError(CeleriacError):
    """The web wants to know who asks, or knows the token no more."""

    code = "not_logged_in"


class WebRefusedError(CeleriacError):
    """The web says no."""

    code = "web_refused"


class WrongUseError(ConfigurationError):
    """What was typed is nothing that the web knows."""

    code = "wrong_use"


@dataclass(frozen=True)
class RemoteTask:
    """What the web tells of a task."""

    name: str
    queue: str | None
    summary: str
    description: str
    warning: str | None
    schema: dict[str, Any]


class Remote:
    """One web. Every method can raise the errors above, and InvalidInputError."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._session = requests.Session()
        # No file of the machine's (.netrc) says who asks; proxies and certificates still count.
        self._session.auth = _Bearer(token)

    @property
    def tasks(self) -> list[RemoteTask]:
        """Give all tasks by name."""
        answer = self.ask("GET", "/tasks")
        with _understood(answer):
            return [_task_of(each) for each in answer.json()["tasks"]]

    def task(self, name: str) -> RemoteTask:
        """Give what is known of a task."""
        answer = self.ask("GET", f"/tasks/{_part(name)}")
        with _understood(answer):
            return _task_of(answer.json())

    def submit(
        self, name: str, args: dict[str, JsonValue], options: SubmitOptions, key: str | None
    ) -> Outcome:
        """Submit a run, at most once for a key."""
        body = {"args": args, "options": options.model_dump(mode="json", exclude_defaults=True)}
        headers = {} if key is None else {"Idempotency-Key": _quoted(key)}
        answer = self.ask("POST", f"/tasks/{_part(name)}/runs", json=body, headers=headers)
        return Outcome(read(Run, answer), "Idempotent-Replayed" in answer.headers)

    def get(self, run_id: str) -> Run:
        """Give a run."""
        return read(Run, self.ask("GET", f"/runs/{_part(run_id)}"))

    def watch(self, run_id: str) -> Iterator[Run | None]:
        """Give the run at once and about every second until it ends; None is a sign of life."""
        failed = 0
        while True:
            again_s = time.monotonic() + WAIT_S
            try:
                run = self._awaited(run_id)
            except WebUnavailableError as error:
                if (failed := failed + 1) > LAST_TRIES:
                    raise
                again_s += error.retry_after_s - WAIT_S
                yield None
            else:
                failed = 0
                yield run
                if run.state.finished:
                    return
            time.sleep(max(0.0, again_s - time.monotonic()))

    def cancel(self, run_id: str, *, foreign: bool = False) -> Run:
        """Cancel a run."""
        query = {"foreign": "true"} if foreign else {}
        return read(Run, self.ask("POST", f"/runs/{_part(run_id)}/cancel", params=query))

    def find(self, wanted: RunFilter, cursor: str | None, limit: int) -> RunList:
        """Give a page of runs, newest first."""
        query: dict[str, Any] = {**words_of(wanted), "limit": limit}
        more = {} if cursor is None else {"cursor": cursor}
        return read(RunList, self.ask("GET", "/runs", params={**query, **more}))

    def export(self, wanted: RunFilter) -> Iterator[str]:
        """Give all runs as lines of NDJSON, newest first."""
        cursor: str | None = None
        while True:
            page = self.find(wanted, cursor, A_PAGE)
            yield from (json_of(run) + "\n" for run in page.runs)
            if (cursor := page.next_cursor) is None:
                return

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Ask the API, and translate what is not right into our errors."""
        address = f"{self.url}/api/v1{path}"
        try:
            answer = self._session.request(
                method, address, timeout=TIMEOUT_S, allow_redirects=False, **more
            )
        except requests.RequestException as error:
            raise WebUnavailableError(_advice(error, self.url)) from error
        if not 200 <= answer.status_code < 300:
            raise _error_of(answer, self.url)
        return answer

    def _awaited(self, run_id: str) -> Run:
        headers = {"Prefer": f"wait={WAIT_S}"}
        return read(Run, self.ask("GET", f"/runs/{_part(run_id)}", headers=headers))


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _task_of(found: Mapping[str, Any]) -> RemoteTask:
    names = ("name", "queue", "summary", "description", "warning")
    return RemoteTask(**{each: found[each] for each in names}, schema=found["parameters"])


def read(model: type[Model], answer: requests.Response) -> Model:
    """Read what the web tells; words that only a newer one has are passed over.

    Raises:
        WebRefusedError: it is something else.
    """
    with _understood(answer):
        return model.model_validate_json(answer.content)


@contextmanager
def _understood(answer: requests.Response) -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError):
        raise WebRefusedError(
            f"{answer.url} does not answer as Celeriac does. Check the address, and that the "
            "version there is no older than this one."
        ) from None


def _advice(error: requests.RequestException, url: str) -> str:
    """Tell what to check, and whether anything can have been done."""
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"{url} has no certificate that this machine trusts ({error}). "
            "Check https or http, the port and the certificate (REQUESTS_CA_BUNDLE)."
        )
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return (
            f"Nothing answers at {url}. Check the address and its port, that the web runs there, "
            "and that this machine reaches it (VPN, firewall, HTTPS_PROXY). Nothing was done."
        )
    return (
        f"{url} does not answer ({type(error).__name__}). Whether it has done what it was asked "
        "for is not known."
    )


def _part(text: str) -> str:
    return quote(text, safe="")


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _error_of(answer: requests.Response, url: str) -> CeleriacError:
    """Translate an answer that is none; its detail says what to do, as it does in the browser."""
    if 300 <= answer.status_code < 400:
        there = answer.headers.get("Location", "elsewhere")
        return WebRefusedError(f"{url} leads to {there}. Log in there: celeriac login URL")
    try:
        problem = answer.json()
        code, detail = str(problem["code"]), str(problem["detail"])
        errors = [FieldProblem(e["pointer"], e["detail"]) for e in problem.get("errors") or ()]
    except (ValueError, LookupError, TypeError, AttributeError):
        detail = f"{url} answers {answer.status_code}, and not as Celeriac does."
        return _refusal(answer, detail)
    if answer.status_code == 401:
        why = (
            "is not known there, has expired or was revoked" if code == "bad_token" else "is needed"
        )
        return NotLoggedInError(f"A token {why}. Log in again: celeriac login {url}")
    if errors:
        return InvalidInputError(errors)
    if code in WRONG_USE:
        return WrongUseError(detail)
    return _refusal(answer, detail)


def _refusal(answer: requests.Response, detail: str) -> CeleriacError:
    """Tell a no from a "not now", which says when."""
    if answer.status_code not in NOT_NOW:
        return WebRefusedError(detail)
    told = answer.headers.get("Retry-After", "")
    return WebUnavailableError(
        detail, min(int(told), LONGEST_PAUSE_S) if told.isdecimal() else WAIT_S
    )
