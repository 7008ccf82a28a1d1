"""`celeriac login`, `logout` and `whoami`: a web elsewhere, and who one is there."""

import getpass
import json
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from celeriac.cli import options
from celeriac.cli.logins import Logins
from celeriac.cli.place import checked_url, chosen_url, remote
from celeriac.cli.plain import harmless
from celeriac.errors import ConfigurationError
from celeriac.settings import load_settings

if TYPE_CHECKING:
    from celeriac.cli.remote import Remote

LOOPBACK = ("localhost", "127.0.0.1", "::1")


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
    from celeriac.cli.remote import Remote

    there = checked_url(url) if url else _url()
    _warn_of_plain(there)
    if token is not None:
        text = _from_stdin(token)
    else:
        text = _approved(Remote(there, None), opens=not no_browser)
    told = Remote(there, text).ask("GET", "/me").json()
    Logins.read().with_token(there, text)
    print(f"Logged in to {there} as {harmless(_who(told))}.")


def logout() -> None:
    """End the login: its token opens nothing any more."""
    from celeriac.cli.remote import NotLoggedInError, WebUnavailableError

    url, kept = _url(), Logins.read()
    if url not in kept.tokens:
        raise ConfigurationError(f"Nobody is logged in to {url}.")
    try:
        remote(load_settings(), url).ask("POST", "/me/log-out")
    except NotLoggedInError:
        pass  # It has ended already.
    except WebUnavailableError as error:
        print(f"celeriac: {error} The token is forgotten here; revoke it there.", file=sys.stderr)
    kept.without(url)
    print(f"Logged out of {url}.")


def whoami(as_json: options.AsJson = False) -> None:
    """Tell who one is where one is logged in, with what role, and until when."""
    url = _url()
    told = remote(load_settings(), url).ask("GET", "/me").json()
    print(json.dumps({"url": url, **told}) if as_json else f"{harmless(_who(told))} at {url}")


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
    begun = web.ask("POST", "/logins", json={"label": _label()}).json()
    address, code = harmless(begun["url"]), harmless(begun["code"])
    print(f"Compare this code and approve it in a browser: {code}\n{address}", flush=True)
    if opens and sys.stdout.isatty() and urlsplit(address).scheme in ("http", "https"):
        typer.launch(address)
    while True:
        answer = web.ask("POST", "/logins/token", json={"secret": begun["secret"]})
        if token := answer.json()["token"]:
            return str(token)
        time.sleep(min(max(float(begun["ask_again_s"]), 0.2), 30))


def _label() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # A container may run as a number that nobody has named.
        return socket.gethostname()


def _who(told: dict[str, Any]) -> str:
    if told["ends_at"] is None:
        return f"{told['name']} ({told['role']})"
    ends_at = datetime.fromisoformat(told["ends_at"])
    days = max(round((ends_at - datetime.now(UTC)) / timedelta(days=1)), 0)
    return (
        f"{told['name']} ({told['role']}) until {ends_at:%Y-%m-%d %H:%M} UTC, {days} days from now"
    )


def _warn_of_plain(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        print(f"celeriac: {url} is not encrypted: others may read the token.", file=sys.stderr)
