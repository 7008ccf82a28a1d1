"""Chords and chains go on when broker and result backend were away as their runs ended."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery import chain, chord

import servers
from celeriac.app import create_app
from celeriac.runs import Run, Runs, RunState
from celeriac.settings import load_settings
from eventually import eventually
from servers import RabbitMQServer, RedisServer
from worker_process import running_worker

TASKS = "celeriac.tasks,long_tasks"
ENVIRONMENT = {"CELERIAC_TASKS": TASKS, "PYTHONPATH": str(Path(__file__).parents[1])}
PARTS = ("first", "second")


class Away(NamedTuple):
    """Servers that are there to be stopped; the one may be both."""

    broker_url: str
    redis_url: str
    servers: tuple[RabbitMQServer | RedisServer, ...]

    def while_stopped(self, act: Any) -> None:
        for server in self.servers:
            server.stop()
        act()
        for server in self.servers:
            server.start()


@pytest.fixture(params=["valkey", "rabbitmq+redis"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Away]:
    """Run servers that only this test stops."""
    with ExitStack() as stack:
        if request.param == "valkey":
            valkey = stack.enter_context(servers.valkey_server(tmp_path))
            yield Away(valkey.url, valkey.url.removesuffix("/0") + "/1", (valkey,))
            return
        for name in ("rabbitmq", "redis"):
            (tmp_path / name).mkdir()
        rabbitmq = stack.enter_context(servers.rabbitmq_server(tmp_path / "rabbitmq"))
        redis = stack.enter_context(servers.redis_server(tmp_path / "redis"))
        yield Away(rabbitmq.url, redis.url, (rabbitmq, redis))


@pytest.mark.timeout(900)
def test_chord_and_chain_go_on_when_broker_and_redis_were_away(away: Away, tmp_path: Path) -> None:
    urls = {"broker_url": away.broker_url, "redis_url": away.redis_url}
    settings = load_settings(join_stack=False, tasks=TASKS, **urls)
    runs, told = Runs.of(settings), tmp_path / "told"
    with running_worker(
        tmp_path, away.broker_url, away.redis_url, ENVIRONMENT, ("--concurrency", "4")
    ):
        ids = _submit(tmp_path, settings, told)
        for name in (*PARTS, "link"):
            eventually((tmp_path / name).exists, deadline_s=120)
        away.while_stopped(told.touch)
        chorded, chained = (_ended(runs, run_id) for run_id in ids)

    assert (chorded.state, chorded.result) == (RunState.SUCCESS, list(PARTS))
    assert (chained.state, chained.result) == (RunState.SUCCESS, "end")


def _submit(folder: Path, settings: Any, told: Path) -> list[str]:
    """Submit a chord and a chain whose first runs wait; gives the last run of each."""
    app = create_app(settings, publisher=True)

    def until(name: str) -> Any:
        return app.signature("long.until", (str(folder / name), str(told)), immutable=True)

    body = app.signature("long.gather", kwargs={"path": str(folder / "body")})
    chorded = chord([until(name) for name in PARTS], app=app)(body)
    chained = chain(until("link"), until("end"), app=app).apply_async()
    app.close()
    return [chorded.id, chained.id]


def _ended(runs: Runs, run_id: str) -> Run:
    return eventually(lambda: (run := runs.get(run_id)).state.finished and run, deadline_s=150)
