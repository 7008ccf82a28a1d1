"""Where a command does its work: with servers that it reaches itself, or by a web elsewhere.

An address that is given (`--url`, `CELERIAC_URL`) counts, or else servers that the settings name,
or else the web that was logged in to last. So a login changes nothing where commands work anyway.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import JsonValue

from celeriac.addresses import web_address
from celeriac.cli.logins import Logins
from celeriac.cli.plain import harmless
from celeriac.cli.trail import recorded
from celeriac.cli.typed_url import typed_url
from celeriac.errors import ConfigurationError, ResultsUnavailableError
from celeriac.settings import Settings, load_settings

if TYPE_CHECKING:
    from celeriac.cli.remote import Remote
    from celeriac.runs import Outcome, Run, RunFilter, RunList, Runs, SubmitOptions


class Task(Protocol):
    """What commands have to know of a task."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str | None: ...
    @property
    def summary(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def warning(self) -> str | None: ...
    @property
    def schema(self) -> dict[str, Any]: ...


class Place(Protocol):
    """What can be done in either place."""

    @property
    def tasks(self) -> Sequence[Task]: ...
    def task(self, name: str) -> Task: ...
    def submit(
        self, name: str, args: dict[str, JsonValue], options: "SubmitOptions", key: str | None
    ) -> "Outcome": ...
    def get(self, run_id: str) -> "Run": ...
    def watch(self, run_id: str) -> "Iterator[Run | None]": ...
    def cancel(self, run_id: str, *, foreign: bool = False) -> "Run": ...
    def find(self, wanted: "RunFilter", cursor: str | None, limit: int) -> "RunList": ...
    def export(self, wanted: "RunFilter") -> Iterator[str]: ...


class Here:
    """The servers that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _runs(self) -> "Runs":
        from celeriac.runs import Runs

        return Runs.of(self._settings)

    @property
    def tasks(self) -> Sequence[Task]:
        """Give all tasks by name."""
        return self._runs.catalog.tasks

    def task(self, name: str) -> Task:
        """Give what is known of a task."""
        return self._runs.catalog.get(name)

    def submit(
        self, name: str, args: dict[str, JsonValue], options: "SubmitOptions", key: str | None
    ) -> "Outcome":
        """Submit a run, at most once for a key."""
        from celeriac.runs import Outcome

        with recorded(self._settings, "run.submit", name, name=name) as deed:
            if key is None:
                outcome = Outcome(self._runs.submit(name, args, options))
            else:
                outcome = self._runs.once.submit(key, name, args, options)
            deed.target = outcome.run.id
        return outcome

    def get(self, run_id: str) -> "Run":
        """Read a run live, or as the history has it where nothing runs."""
        from celeriac.runs import RunHistory

        try:
            return self._runs.get(run_id)
        except (ConfigurationError, ResultsUnavailableError) as error:
            recorded = RunHistory.of(self._settings).get_or_none(run_id)
            if recorded is None:
                raise
            print(f"celeriac: This is what the history has. {harmless(error)}", file=sys.stderr)
            return recorded

    def watch(self, run_id: str) -> "Iterator[Run | None]":
        """Give the run at once and after each change until it ends; None is a sign of life."""
        return self._runs.watch(run_id)

    def cancel(self, run_id: str, *, foreign: bool = False) -> "Run":
        """Cancel a run."""
        with recorded(self._settings, "run.cancel", run_id, foreign=foreign or None):
            return self._runs.cancel(run_id, foreign=foreign)

    def find(self, wanted: "RunFilter", cursor: str | None, limit: int) -> "RunList":
        """Give a page of runs, newest first."""
        from celeriac.runs import RunHistory

        return RunHistory.of(self._settings).find(wanted, cursor, limit)

    def export(self, wanted: "RunFilter") -> Iterator[str]:
        """Give all runs as lines of NDJSON, newest first."""
        from celeriac.runs import RunHistory

        return RunHistory.of(self._settings).export(wanted)


def place(**given: Any) -> Place:
    """Give where the command does its work; what is given of the settings is about servers.

    Raises:
        ConfigurationError: an address is wrong.
    """
    settings = load_settings(**given)
    url = _meant_url(settings)
    return Here(settings) if url is None else remote(settings, url)


def servers(**given: Any) -> Settings:
    """Give the settings of a command that works with servers alone.

    Raises:
        ConfigurationError: a web is meant to do it.
    """
    settings = load_settings(**given)
    require_servers(settings)
    return settings


def require_servers(settings: Settings) -> None:
    """Check that no web is meant: a command must not work on what happens to be here instead.

    Raises:
        ConfigurationError: one is.
    """
    if (url := _meant_url(settings)) is not None:
        given = chosen_url(settings) is not None
        how = "leave --url and CELERIAC_URL out" if given else "`celeriac logout` first"
        raise ConfigurationError(
            f"This command cannot ask {url} yet; run it on the server itself, where broker, Redis "
            f"and history can be reached. For those of this machine, {how}."
        )


def _meant_url(settings: Settings) -> str | None:
    """Give the web that is to do the work, if no servers are."""
    url = chosen_url(settings)
    if url is None and not any((settings.broker_url, settings.redis_url, settings.history_url)):
        return Logins.read().last
    return url


def chosen_url(settings: Settings) -> str | None:
    """Give the address that was typed or set.

    Raises:
        ConfigurationError: it is none.
    """
    typed = typed_url.get()
    return settings.url if typed is None else checked_url(typed)


def checked_url(typed: str) -> str:
    """Give an address as it is kept.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return web_address(typed if "://" in typed else f"https://{typed}")
    except ValueError as error:
        raise ConfigurationError(f"{typed!r} {error}") from None


def remote(settings: Settings, url: str) -> "Remote":
    """Give the web at an address, with the token that is kept for it."""
    from celeriac.cli.remote import Remote

    # The token of the environment is for the address beside it, and for no other.
    if settings.token is not None and url == settings.url:
        return Remote(url, settings.token.get_secret_value())
    return Remote(url, Logins.read().tokens.get(url))
