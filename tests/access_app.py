"""The web with users, roles and tokens, and without anything to run: what stands at its gate."""

import atexit
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, cast

from argon2 import PasswordHasher
from flask.testing import FlaskClient
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from celeriac.access import Access, Entry, Identity, Means, Role, Scope, TokenOrder
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.context import EXTENSION, Context

ROOT = Identity("root", Role.ADMIN, Means.CLI)
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Tests spend no time on what makes guessing dear."""


@dataclass(frozen=True)
class AccessApp:
    """A web app with a database of users of its own."""

    app: OpenAPI
    access: Access

    def add(self, name: str, role: Role, scope: Scope | None = None) -> None:
        """Add a user with the password of all of them."""
        self.access.users.add(ROOT, name, role, scope)
        self.access.users.set_password(ROOT, name, PASSWORD)

    def token(self, name: str, role: Role, scope: Scope | None = None) -> str:
        """Make a token of a user's."""
        order = TokenOrder("test", role, scope or Scope())
        return self.access.tokens.create(ROOT, self.access.users.get(name), order)[1]

    def bearer(self, name: str, role: Role, scope: Scope | None = None) -> dict[str, str]:
        """Give the header that shows a new token."""
        return {"Authorization": f"Bearer {self.token(name, role, scope)}"}

    def signed_in(self, name: str) -> FlaskClient:
        """Give a browser that is signed in."""
        client = self.app.test_client()
        answer = send(client, "/sign-in", page="/sign-in", name=name, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        return client

    def told(self) -> list[Entry]:
        """Give the audit trail, all of it, the oldest entry first."""
        context: Context = self.app.extensions[EXTENSION]
        assert context.trail.flush(timeout_s=60)
        return [*reversed(self.access.audit.find(limit=1000).entries)]


@cache
def _empty_database() -> Path:
    """Make the tables once, since that takes longer than most tests."""
    path = Path(mkdtemp(prefix="celeriac-")) / "empty.db"
    access = Access(f"sqlite:///{path}")
    access.prepare()
    access.close()
    atexit.register(shutil.rmtree, path.parent)
    return path


NO_RUNS = SimpleNamespace(dead_letters=SimpleNamespace(known_counts=None))
"""All that a page asks of the runs which is not about runs."""


@contextmanager
def access_app(folder: Path, runs: object = NO_RUNS, **settings: Any) -> Iterator[AccessApp]:
    """Make the app; nothing is connected to but a file, and what the settings say."""
    given: dict[str, Any] = {"broker_url": "redis://localhost/0"} | settings
    found = load_settings(
        join_stack=False,
        history_url=f"sqlite:///{folder}/history.db",
        authentication=True,
        **given,
    )
    shutil.copy(_empty_database(), folder / "history.db")
    access = Access.of(found)
    app = create_app(found, cast(Runs, runs))
    context: Context = app.extensions[EXTENSION]
    guard = context.guard
    assert guard
    try:
        yield AccessApp(app, access)
    finally:
        context.trail.close()
        guard.access.close()
        access.close()


def send(client: FlaskClient, path: str, page: str, **fields: str) -> TestResponse:
    """Send a form as the page has it, with its proof of where it comes from."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found, f"{page} has no form"
    return client.post(path, data={**fields, "csrf_token": found[1]})
