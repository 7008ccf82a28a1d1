"""How much anybody may ask for, and what those are told who ask for more."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from flask.testing import FlaskClient
from limits import RateLimitItem
from werkzeug.test import TestResponse

from access_app import CHEAP, AccessApp, access_app
from celeriac.access import Role, passwords
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.access.rates import MOST_KEPT, Left, Rate, SharedCounts, address_key

ME = "/api/v1/me"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[AccessApp]:
    with access_app(tmp_path, rate_limit="3/hour", trusted_proxies=1) as found:
        found.add("ada", Role.ADMIN)
        found.add("eve", Role.ADMIN)
        yield found


def _from(client: FlaskClient, address: str, path: str = ME, **headers: str) -> TestResponse:
    return client.get(path, headers={"X-Forwarded-For": address, **headers})


def _codes(web: AccessApp, address: str, count: int, **headers: str) -> list[int]:
    client = web.app.test_client()
    return [_from(client, address, **headers).status_code for _ in range(count)]


def test_limit_is_off_on_loopback_unless_people_sign_in() -> None:
    assert load_settings(join_stack=False).request_rate is None
    assert load_settings(join_stack=False, authentication=True).request_rate == "6000/minute"
    assert (
        load_settings(join_stack=False, authentication=True, rate_limit="off").request_rate is None
    )
    assert load_settings(join_stack=False, rate_limit="5/second").request_rate == "5/second"


def test_each_token_has_a_limit_of_its_own(web: AccessApp) -> None:
    first, second = web.bearer("ada", Role.VIEWER), web.bearer("ada", Role.VIEWER)

    assert _codes(web, "192.0.2.1", 4, **first) == [200, 200, 200, 429]
    assert _codes(web, "192.0.2.9", 1, **first) == [429], "wherever it comes from"
    assert _codes(web, "192.0.2.1", 1, **second) == [200]


def test_those_who_show_nothing_share_the_limit_of_their_address(web: AccessApp) -> None:
    bad = {"Authorization": "Bearer cel_no_token"}

    assert _codes(web, "192.0.2.1", 2) + _codes(web, "192.0.2.1", 2, **bad) == [401, 401, 401, 429]
    assert _codes(web, "192.0.2.2", 1) == [401]
    assert _codes(web, "192.0.2.1", 1, **web.bearer("ada", Role.VIEWER)) == [200]


def test_all_at_one_address_have_ten_times_the_limit(web: AccessApp) -> None:
    codes = []
    for _ in range(11):
        codes += _codes(web, "2001:db8::1", 3, **web.bearer("ada", Role.VIEWER))

    assert codes == [200] * 30 + [429] * 3
    assert _codes(web, "2001:db8:0:0:ffff::2", 1) == [429], "of the same network"
    assert _codes(web, "2001:db8:0:1::1", 1) == [401]


def test_api_tells_what_is_left_and_when_to_come_again(web: AccessApp) -> None:
    headers, client = web.bearer("ada", Role.VIEWER), web.app.test_client()
    answers = [_from(client, "192.0.2.1", **headers) for _ in range(4)]

    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=3;w=3600'}
    left = [answer.headers["RateLimit"].partition(";t=") for answer in answers]
    assert [each[0] for each in left] == [f'"default";r={n}' for n in (2, 1, 0, 0)]
    refused = answers[3]
    assert refused.mimetype == "application/problem+json"
    assert refused.get_json()["code"] == "too_many_requests"
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert 0 <= int(refused.headers["Retry-After"]) - int(left[3][2]) <= 1


def test_pages_tell_people_in_words_and_health_does_not_count(web: AccessApp) -> None:
    client, page = web.app.test_client(), {"Accept": "text/html"}
    answers = [_from(client, "192.0.2.1", "/sign-in", **page) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "Too many requests" in answers[3].text
    assert "RateLimit" not in answers[0].headers
    assert {_from(client, "192.0.2.1", "/healthz").status_code for _ in range(9)} == {200}


def test_limit_is_by_address_where_nobody_signs_in() -> None:
    settings = load_settings(join_stack=False, rate_limit="2/hour")
    client = create_app(settings, cast(Runs, None)).test_client()
    addresses = ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2")

    answers = [client.get(ME, environ_base={"REMOTE_ADDR": each}) for each in addresses]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]


class _Counts(SharedCounts):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked = 0

    def take(self, limit: RateLimitItem, most: int, *words: str) -> Left:
        self.asked += 1
        return super().take(limit, most, *words)


def test_limit_is_exact_and_asks_for_fifty_shares_of_it() -> None:
    counts = _Counts()
    rate = Rate(counts, "1000/hour")

    assert sum(rate.spend("ada")[0] for _ in range(3000)) == 1000
    assert counts.asked <= 51


def test_processes_share_a_limit() -> None:
    counts = _Counts()
    rates = [Rate(counts, "100/hour") for _ in range(3)]

    assert sum(rate.spend("ada")[0] for _ in range(200) for rate in rates) == 100


def test_memory_is_bounded_whoever_asks() -> None:
    rate = Rate(SharedCounts(None), "10/hour")
    for number in range(MOST_KEPT + 5):
        rate.spend(str(number))

    assert len(rate._left) == 5
    assert sum(rate.spend(str(MOST_KEPT + 4))[0] for _ in range(11)) == 9
    assert len(rate._counts._own.storage.storage) <= MOST_KEPT


def test_threads_that_ask_at_once_lose_nothing() -> None:
    rate = Rate(SharedCounts(None), "1000/hour")
    ends_s = time.time() + 3600
    rate._keep("ada", Left(20, 960, ends_s))

    assert rate._keep("ada", Left(20, 960, ends_s))[1].here == 38


def test_refusals_do_not_flood_the_audit_trail(
    web: AccessApp, caplog: pytest.LogCaptureFixture
) -> None:
    headers, client = web.bearer("ada", Role.ADMIN), web.app.test_client()
    before = len(web.told())
    for _ in range(9):
        client.post("/api/v1/runs/cancel", headers=headers, json={"ids": ["x" * 100_000]})

    assert len(web.told()) - before == 3
    assert [record.name for record in caplog.records].count("celeriac.web.access.rates") == 1


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_address_counts_as_one(address: str, key: str) -> None:
    assert address_key(address) == key
