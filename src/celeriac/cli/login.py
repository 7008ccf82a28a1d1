"""`celeriac login`, `logout` and `whoami`: a web elsewhere, and who one is there."""

import getpass
import json
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from pydantic import AwareDatetime, BaseModel

from celeriac.addresses import LOOPBACK
from celeriac.cli import options
from celeriac.cli.logins import Logins
from celeriac.cli.place import checked_url, chosen_url, remote
from celeriac.cli.plain import harmless
from celeriac.errors import ConfigurationError
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.cli.remote import Remote


class Begun(BaseModel):
    """A login that waits for somebody's approval, as the web tells it."""

    secret: str
    code: str
    url: str
    ask_again_s: float


class Collected(BaseModel):
    """The token, or nothing as long as nobody has decided."""

    token: str | None


class Me(BaseModel):
    """Who one is there."""

    name: str
    role: str
    ends_at: AwareDatetime | None


def login(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Where the web is.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="`-` reads a token from standard input, for machines that nobody sits at."
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Log in to a web, so that commands work with it from here; you approve it in a browser."""
    from celeriac.cli.remote import Remote, read

    there = checked_url(url) if url else _url()
    _warn_of_plain(there)
    if token is not None:
        text = _from_stdin(token)
    else:
        text = _approved(Remote(there, None), opens=not no_browser)
    who = _who(read(Me, Remote(there, text).ask("GET", "/me")))
    kept = Logins.read()
    kept.with_token(there, text)
    if (before := kept.tokens.get(there)) not in (None, text):
        _end(Remote(there, before))
    print(f"Logged in to {there} as {harmless(who)}.")


def logout() -> None:
    """End the login: its token opens nothing any more."""
    url, kept = _url(), Logins.read()
    if url not in kept.tokens:
        raise ConfigurationError(f"Nobody is logged in to {url}.")
    _end(remote(load_settings(), url))
    kept.without(url)
    print(f"Logged out of {url}.")


def _end(web: "Remote") -> None:
    """Let a token open nothing any more; where that cannot be, it is forgotten all the same."""
    from celeriac.cli.remote import NotLoggedInError, WebUnavailableError

    with suppress(NotLoggedInError):  # It has ended already.
        try:
            web.ask("POST", "/me/log-out")
        except WebUnavailableError as error:
            words = f"{error} The old token is forgotten here; revoke it there."
            print(f"celeriac: {words}", file=sys.stderr)


def whoami(as_json: options.AsJson = False) -> None:
    """Tell who one is where one is logged in, with what role, and until when."""
    from celeriac.cli.remote import read

    url = _url()
    answer = remote(load_settings(), url).ask("GET", "/me")
    who = _who(read(Me, answer))
    print(json.dumps({"url": url, **answer.json()}) if as_json else f"{harmless(who)} at {url}")


def _url() -> str:
    """Give the web that is meant, or else the one that was logged in to last."""
    if (url := chosen_url(load_settings()) or Logins.read().last) is None:
        raise ConfigurationError("Say where: celeriac login https://celeriac.example.org")
    return url


def _from_stdin(token: str) -> str:
    if token != "-":  # noqa: S105 - no token
        raise typer.BadParameter(
            "Only `-`, standard input, since other people see what is typed.", param_hint="--token"
        )
    if not (text := sys.stdin.readline().strip()):
        raise ConfigurationError("There is no token on standard input.")
    return text


def _approved(web: "Remote", *, opens: bool) -> str:
    """Wait until somebody has approved it in a browser; gives the token."""
    from celeriac.cli.remote import read

    begun = read(Begun, web.ask("POST", "/logins", json={"label": _label()}))
    address, code = harmless(begun.url), harmless(begun.code)
    print(f"Compare this code and approve it in a browser: {code}\n{address}", flush=True)
    if opens and sys.stdout.isatty() and urlsplit(address).scheme in ("http", "https"):
        typer.launch(address)
    while True:
        answer = web.ask("POST", "/logins/token", json={"secret": begun.secret})
        if token := read(Collected, answer).token:
            return token
        time.sleep(min(max(begun.ask_again_s, 0.2), 30))


def _label() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # A container may run as a number that nobody has named.
        return socket.gethostname()


def _who(told: Me) -> str:
    who = f"{told.name} ({told.role})"
    if told.ends_at is None:
        return who
    days = max(round((told.ends_at - datetime.now(UTC)) / timedelta(days=1)), 0)
    return f"{who} until {told.ends_at:%Y-%m-%d %H:%M} UTC, {days} days from now"


def _warn_of_plain(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        print(f"celeriac: {url} is not encrypted: others may read the token.", file=sys.stderr)
