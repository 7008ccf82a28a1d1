"""Where nobody signs in, the audit trail tells what was done all the same, as done by "local"."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from flask_openapi import OpenAPI

from celeriac.access import Access
from celeriac.errors import BrokerUnavailableError
from celeriac.runs import Run, Runs, RunState
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.context import EXTENSION, Context

RUN = "0199e2a0-0000-7000-8000-000000000001"


class _Runs:
    away = False

    def cancel(self, run_id: str, **_: Any) -> Run:
        if self.away:
            raise BrokerUnavailableError("away")
        return Run(id=run_id, task="text.reverse", state=RunState.REVOKED)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new/history.db"


@pytest.fixture
def runs() -> _Runs:
    return _Runs()


@pytest.fixture
def web(url: str, runs: _Runs) -> Iterator[OpenAPI]:
    app = create_app(load_settings(join_stack=False, history_url=url), cast(Runs, runs))
    yield app
    context: Context = app.extensions[EXTENSION]
    context.trail.close()


def _told(app: OpenAPI, url: str) -> list[tuple[str, ...]]:
    context: Context = app.extensions[EXTENSION]
    assert context.trail.flush(timeout_s=60)
    access = Access(url)
    access.prepare()
    entries = access.audit.find().entries
    access.close()
    return [
        (each.actor, each.means, each.address, each.action, each.target, each.outcome)
        for each in reversed(entries)
    ]


def test_change_is_told_and_so_is_one_that_failed(web: OpenAPI, url: str, runs: _Runs) -> None:
    client = web.test_client()

    client.post(f"/api/v1/runs/{RUN}/cancel")
    runs.away = True
    client.post(f"/api/v1/runs/{RUN}/cancel")

    by = ("local", "local", "127.0.0.1", "run.cancel", RUN)
    assert _told(web, url) == [(*by, "ok"), (*by, BrokerUnavailableError.code)]


def test_reading_and_what_other_sites_send_is_not_told(web: OpenAPI, url: str) -> None:
    client = web.test_client()

    assert client.get("/healthz").status_code == 200
    elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    refused = client.post(f"/api/v1/runs/{RUN}/cancel", headers=elsewhere)

    assert refused.status_code == 403
    assert _told(web, url) == []


def test_trail_that_cannot_be_written_stops_nothing(
    tmp_path: Path, runs: _Runs, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no-folder").write_text("")
    history = f"sqlite:///{tmp_path}/no-folder/history.db"
    app = create_app(load_settings(join_stack=False, history_url=history), cast(Runs, runs))

    answer = app.test_client().post(f"/api/v1/runs/{RUN}/cancel")

    context: Context = app.extensions[EXTENSION]
    context.trail.close()
    assert answer.status_code == 202
    assert "not in the audit trail yet" in caplog.text and RUN in caplog.text
