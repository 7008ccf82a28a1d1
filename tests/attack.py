"""What strangers and users try: every address, every method, by everybody."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from access_app import AccessApp
from celeriac.access import Role, Scope

Count = Callable[[str, int], None]
"""Counts how many of a kind were tried."""
PAGE = {"Accept": "text/html"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STREAMS = {"streams.all_events", "streams.run_events"}
"""Their answers have no end."""
LOG_OUT = "api.log_out"
"""Whoever has asked for it is a stranger from then on, so that attacks in a row leave it out."""


def endpoint_of(app: Flask, path: str, method: str) -> str | None:
    """Give what answers to a method at an address; another may answer to others there."""
    try:
        return str(app.url_map.bind("localhost").match(path, method)[0])
    except HTTPException:
        return None


class Address(NamedTuple):
    """A place of the URL map, with something in place of its variables."""

    endpoint: str
    path: str
    methods: frozenset[str]


def addresses(app: Flask, word: str = "x") -> Iterator[Address]:
    """Give everything that can be asked for."""
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<any\(([a-z]+)[^>]*>", r"\1", rule.rule)
        path = re.sub(r"<[^>]+>", lambda _: word, path)
        yield Address(rule.endpoint, path, frozenset(rule.methods or ()))


def clients(web: AccessApp) -> dict[Role | None, FlaskClient]:
    """Give a program for each role, and one without any."""
    found: dict[Role | None, FlaskClient] = {None: web.app.test_client()}
    for role in Role:
        client = web.app.test_client()
        bearer = web.bearer(str(role), role)["Authorization"]
        client.environ_base["HTTP_AUTHORIZATION"] = bearer
        found[role] = client
    return found


QUEUES = ("fast", "faster")
"""The queues that the limited operator may use, which no task goes to by itself."""
FOREIGN_TASK = "email.send"
"""A task that they may not use."""


def limited(web: AccessApp) -> FlaskClient:
    """Give a program of an operator who is limited to some tasks and queues."""
    client = web.app.test_client()
    scope = Scope(tasks=("text.*",), queues=QUEUES)
    bearer = web.bearer(str(Role.OPERATOR), Role.OPERATOR, scope)["Authorization"]
    client.environ_base["HTTP_AUTHORIZATION"] = bearer
    return client


def status_of(answer: TestResponse) -> int:
    """Close an answer, and give its status."""
    answer.close()
    return answer.status_code
