"""`celeriac backup` and `celeriac restore`, against real servers, while everything runs."""

import json
import shutil
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pytest
from redis import Redis
from sqlalchemy import Connection, inspect, select, table, text

import servers
from celeriac.access import Access, Identity, Means, Role
from celeriac.errors import ConfigurationError
from celeriac.history import History
from celeriac.history.database import Database
from celeriac.runs.backup import history_part, postgres_part, redis_part
from celeriac.runs.backup.redis_part import RedisPart
from eventually import eventually
from history_events import Stream
from postgres import PostgresServer
from processes import LOOPBACK
from running_stack import running_stack
from servers import RabbitMQServer, RedisServer, clean_environment

WITHIN_S = 120


@dataclass
class _Place:
    """Where a system keeps everything: a database of Redis, a virtual host, and a folder."""

    folder: Path
    broker_url: str
    redis_url: str
    management_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {"CELERIAC_BROKER_URL": self.broker_url, "CELERIAC_REDIS_URL": self.redis_url}

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def history_url(self) -> str:
        return f"sqlite:///{self.data}/history.db"

    def celeriac(self, *words: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "celeriac", *words],
            env={
                **clean_environment(self.folder),
                **self.environment,
                "CELERIAC_DATA_DIR": str(self.data),
                "CELERIAC_MANAGEMENT_URL": self.management_url,
            },
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def places(
    redis: RedisServer, rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> Iterator[list[_Place]]:
    redis.flush()
    management = rabbitmq_server.management_url.replace("//", "//guest:guest@")
    with rabbitmq_server.fresh_vhost() as first, rabbitmq_server.fresh_vhost() as second:
        found = []
        for number, broker_url in enumerate((first, second), start=1):
            folder = tmp_path / str(number)
            folder.mkdir()
            url = redis.url.removesuffix("0") + str(number)
            found.append(_Place(folder, broker_url, url, management))
        yield found


def test_all_is_there_again_in_another_place(
    places: list[_Place], rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    old, new = places
    file = tmp_path / "backup.tar.gz"
    with running_stack(old.folder, environment=old.environment) as stack:
        run = stack.submit("text.reverse", {"text": "hello"}, tags=["kept"])
        stack.wait_for(run)
        eventually(lambda: stack.get("/runs?tag=kept&state=SUCCESS")["runs"], deadline_s=WITHIN_S)
        old.celeriac("users", "add", "ada", "--role", "admin")

        said = old.celeriac("backup", file)

    assert "history: 1 runs" in said and "rabbitmq.json: " in said, said
    assert "Messages that wait in RabbitMQ are not in it" in said
    assert file.stat().st_mode & 0o777 == 0o600

    assert "Restored" in new.celeriac("restore", file)

    vhost = new.broker_url.rpartition("/")[2]
    queues = rabbitmq_server.api("GET", f"queues/{vhost}")
    assert isinstance(queues, list) and "celery_see" in {queue["name"] for queue in queues}
    with running_stack(new.folder, environment=new.environment) as stack:
        pass
    assert "ada" in new.celeriac("users", "list")
    assert "backup.restore" in new.celeriac("audit", "list")
    assert '"olleh"' in new.celeriac("run", "show", run, "--json")
    assert run in new.celeriac("runs", "list", "--json")
    with Redis.from_url(new.redis_url) as client:
        assert client.ttl(f"celery-task-meta-{run}") > 0


def test_run_whose_message_was_in_rabbitmq_is_submitted_again(
    places: list[_Place], tmp_path: Path
) -> None:
    old, new = places
    run = json.loads(old.celeriac("submit", "text.reverse", "--text", "hello", "--json"))["id"]
    History(old.history_url).migrate()
    old.celeriac("backup", tmp_path / "b")
    new.celeriac("restore", tmp_path / "b")

    with running_stack(new.folder, environment=new.environment) as stack:
        eventually(lambda: stack.get("/runs?state=PENDING")["runs"], deadline_s=WITHIN_S)
        assert run in new.celeriac("runs", "list", "--state", "PENDING", "--json")
        again = json.loads(new.celeriac("run", "resubmit", run, "--wait", "--json"))
        new.celeriac("run", "cancel", run)

        assert (again["state"], again["resubmit_of"]) == ("SUCCESS", run)
        assert stack.get(f"/runs/{run}")["state"] == "REVOKED"


def _with_redis_as_broker(place: _Place, *, shared: bool) -> _Place:
    """Give its messages a database of their own, or that of the results, written otherwise."""
    server, _, number = place.redis_url.rpartition("/")
    url = f"{server}/{number if shared else int(number) + 8}"
    return replace(place, broker_url=url.replace(LOOPBACK, "localhost"), management_url="")


@pytest.mark.parametrize("shared", [False, True])
def test_messages_in_redis_come_back(places: list[_Place], tmp_path: Path, shared: bool) -> None:
    old, new = (_with_redis_as_broker(place, shared=shared) for place in places)
    run = json.loads(old.celeriac("submit", "text.reverse", "--text", "hello", "--json"))["id"]
    History(old.history_url).migrate()

    said = old.celeriac("backup", tmp_path / "b")
    new.celeriac("restore", tmp_path / "b")

    assert ("redis-shared: " in said, "redis-broker: " in said) == (shared, not shared)
    with running_stack(new.folder, environment=new.environment) as stack:
        assert stack.wait_for(run)["result"] == "olleh"


def test_messages_go_nowhere_else_than_they_were(places: list[_Place], tmp_path: Path) -> None:
    old, new = places
    shared, apart = (_with_redis_as_broker(old, shared=shared) for shared in (True, False))
    _filled(old)
    shared.celeriac("backup", tmp_path / "shared")
    apart.celeriac("backup", tmp_path / "apart")
    other = _with_redis_as_broker(new, shared=False)

    assert "one database" in other.celeriac("restore", tmp_path / "shared", status=2)
    assert "one database" in new.celeriac("restore", tmp_path / "shared", status=2)
    assert "into RabbitMQ" in new.celeriac("restore", tmp_path / "apart", status=2)

    assert not new.data.exists()


def test_nothing_is_overwritten(places: list[_Place], tmp_path: Path) -> None:
    old, new = places
    file = tmp_path / "backup.tar.gz"
    _filled(old)
    old.celeriac("backup", file)
    before = file.read_bytes()

    assert "is not overwritten" in old.celeriac("backup", file, status=2)
    assert file.read_bytes() == before

    with Redis.from_url(new.redis_url) as client:
        client.set("somebody", "else")
    assert "has 1 keys already" in new.celeriac("restore", file, status=2)
    assert not new.data.exists()

    with Redis.from_url(new.redis_url) as client:
        client.flushdb()
        new.data.mkdir()
        (new.data / "history.db").touch()
        assert "there already" in new.celeriac("restore", file, status=2)
        assert client.dbsize() == 0


def test_what_a_killed_process_left_does_not_go_over_the_history(
    places: list[_Place], tmp_path: Path
) -> None:
    old, new = places
    file = tmp_path / "backup.tar.gz"
    _filled(old)
    old.celeriac("users", "add", "kept", "--role", "viewer")
    old.celeriac("backup", file)
    history = new.data / "history.db"
    access = Access(new.history_url)
    access.prepare()
    connection = sqlite3.connect(history)
    connection.execute("BEGIN")  # Who closes last moves the log into the file.
    shutil.copytree(new.data, tmp_path / "killed")
    connection.close()
    access.close()
    shutil.rmtree(new.data)
    shutil.copytree(tmp_path / "killed", new.data)
    history.unlink()

    said = new.celeriac("restore", file, status=2)

    assert "history.db-wal" in said and "there already" in said
    shutil.rmtree(new.data)
    new.celeriac("restore", file)
    assert "kept" in new.celeriac("users", "list")


@pytest.mark.parametrize("damage", [slice(0, -100), slice(0, 0), slice(40, None)])
def test_what_is_damaged_is_not_restored(
    places: list[_Place], tmp_path: Path, damage: slice
) -> None:
    old, new = places
    file = tmp_path / "backup.tar.gz"
    _filled(old)
    old.celeriac("backup", file)
    file.write_bytes(file.read_bytes()[damage])

    assert "is no whole backup" in new.celeriac("restore", file, status=2)

    assert not new.data.exists()
    with Redis.from_url(new.redis_url) as client:
        assert client.dbsize() == 0


def test_half_of_a_backup_is_not_left(places: list[_Place], tmp_path: Path) -> None:
    old, _ = places

    said = old.celeriac("backup", tmp_path / "backup.tar.gz", status=2)

    assert "no history" in said
    assert not list(tmp_path.glob("backup*"))


def test_every_kind_of_key_comes_back_with_its_time(places: list[_Place], tmp_path: Path) -> None:
    old, new = places
    _filled(old)
    with Redis.from_url(old.redis_url) as client:
        client.set("short", "x", ex=1000)
        client.hset("hash", mapping={"a": "1"})
        client.xadd("stream", {"a": "1"}, id="1-1")
        client.xadd("stream", {"a": "2"}, id="2-1")
        client.xgroup_create("stream", "recorder", id="1-1")
        for number in range(1000):
            client.rpush("list", f"{number}")

    old.celeriac("backup", tmp_path / "b")
    new.celeriac("restore", tmp_path / "b")

    with Redis.from_url(new.redis_url, decode_responses=True) as client:
        assert 900 < client.ttl("short") <= 1000 and client.ttl("hash") == -1
        assert client.hgetall("hash") == {"a": "1"}
        assert client.llen("list") == 1000
        assert client.xinfo_groups("stream")[0]["last-delivered-id"] == "1-1"


def test_who_may_not_restore_is_told(
    places: list[_Place], redis: RedisServer, tmp_path: Path
) -> None:
    old, new = places
    _filled(old)
    with redis.client() as client:
        rules = ["~*", "&*", "+@all", "-@admin", "-@dangerous"]
        client.execute_command("ACL", "SETUSER", "flask", "on", ">word", *rules)
    limited = [
        _Place(p.folder, p.broker_url, p.redis_url.replace("//", "//flask:word@"), p.management_url)
        for p in (old, new)
    ]

    limited[0].celeriac("backup", tmp_path / "b")
    said = limited[1].celeriac("restore", tmp_path / "b", status=2)

    assert "may not restore keys" in said
    assert "Restored" in new.celeriac("restore", tmp_path / "b")


def test_what_redis_would_refuse_is_told_before_anything_is_done(
    server: RedisServer, tmp_path: Path
) -> None:
    with server.client() as client:
        client.set("key", "value")
        redis_part.save(server.url, tmp_path / "part")
        client.flushdb()
        part = RedisPart(server.url, tmp_path / "part")

        assert part.check() is None
        assert client.dbsize() == 0
        assert part.put_back() == "1 keys"
        client.flushdb()
        line = json.loads((tmp_path / "part").read_text())
        newer = {**line, "dump": b64encode(b"\xff" * 20).decode()}
        (tmp_path / "part").write_text(json.dumps(newer))

        with pytest.raises(ConfigurationError, match=r"Redis refuses: .*Nothing was restored"):
            part.check()


def test_what_is_no_management_is_told(places: list[_Place], tmp_path: Path) -> None:
    old, _ = places
    _filled(old)
    wrong = replace(old, management_url=old.redis_url.replace("redis://", "http://"))

    assert "management did not answer" in wrong.celeriac("backup", tmp_path / "b", status=1)

    assert not (tmp_path / "b").exists()


def _filled(place: _Place) -> None:
    """Make a history and a key, without anything that runs."""
    place.data.mkdir()
    access = Access(place.history_url)
    access.prepare()
    access.close()
    with Redis.from_url(place.redis_url) as client:
        client.set("key", "value")


ROOT = Identity("root", Role.ADMIN, Means.CLI)
ODD = "a\tb\nc\\.\n\\N \u2028 \U0001f600"
"""What `COPY` writes otherwise than it is, or could take for an end."""


def _of_postgres(server: PostgresServer, name: str) -> str:
    """Make a history in PostgreSQL with a run, a user and the entries of both."""
    url = server.create_database(name)
    access = Access(url)
    access.prepare()
    access.users.add(ROOT, "ada", Role.VIEWER, None)
    access.close()
    history = History(url)
    stream = Stream()
    stream.run(0, state="FAILURE", error={"type": "Odd", "message": ODD, "traceback": ODD})
    history.apply(stream.events)
    history.close()
    return url


def _all_rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    database = Database(url)
    with database.read() as connection:
        found = {
            name: sorted(
                map(tuple, connection.execute(select(text("*")).select_from(table(name)))), key=repr
            )
            for name in inspect(connection).get_table_names()
        }
    database.close()
    return found


def test_postgresql_comes_back_row_by_row(postgres_server: PostgresServer, tmp_path: Path) -> None:
    old = _of_postgres(postgres_server, "saved")
    new = postgres_server.create_database("restored")

    assert history_part.save(old, tmp_path / "part") == "1 runs"
    part = history_part.HistoryPart(new, tmp_path / "part")
    assert part.check() is None
    assert part.put_back() == "1 runs"

    assert "already" in (part.check() or "")
    rows = _all_rows(new)
    assert rows == _all_rows(old)
    assert rows.keys() == {*postgres_part.TABLES, "alembic_version"}
    assert ODD in rows["runs"][0]
    access = Access(new)
    access.users.add(ROOT, "eve", Role.VIEWER, None)  # Its entry gets a number that is free.
    access.close()


def test_postgresql_is_saved_as_it_is_at_one_instant(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _of_postgres(postgres_server, "busy")
    access, names = Access(url), iter(range(100))
    save = postgres_part._save

    def meanwhile(connection: Connection, name: str, file: IO[bytes]) -> int:
        access.users.add(ROOT, f"user{next(names)}", Role.VIEWER, None)
        return save(connection, name, file)

    monkeypatch.setattr(postgres_part, "_save", meanwhile)
    history_part.save(url, tmp_path / "part")
    access.close()

    text = (tmp_path / "part").read_text()
    assert "ada" in text and "user0" not in text


@pytest.mark.parametrize("damage", ["cut", "newer", "dump"])
def test_half_of_postgresql_is_not_left(
    postgres_server: PostgresServer, tmp_path: Path, damage: str
) -> None:
    part = tmp_path / "part"
    history_part.save(_of_postgres(postgres_server, f"whole_{damage}"), part)
    data = part.read_bytes()
    new = {
        "cut": data[: data.rindex(postgres_part.ROWS_END)],
        "newer": data.replace(b'"revision": "', b'"revision": "x', 1),
        "dump": b"PGDMP" + data,
    }
    part.write_bytes(new[damage])
    url = postgres_server.create_database(f"empty_{damage}")
    step = history_part.HistoryPart(url, part)

    if damage == "dump":
        assert "no history that this version" in (step.check() or "")
        return
    with pytest.raises(ConfigurationError, match=r"has no end|newer version"):
        step.put_back()
    assert _all_rows(url) == {}


def test_postgresql_without_a_history_is_not_saved(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no history in PostgreSQL yet"):
        history_part.save(postgres_server.create_database("unused"), tmp_path / "part")


def test_copy_of_a_history_that_is_written_to_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "history.db"
    access = Access(f"sqlite:///{source}")
    access.prepare()
    access.users.add(Identity("root", Role.ADMIN, Means.CLI), "ada", Role.VIEWER, None)

    history_part.save(f"sqlite:///{source}", tmp_path / "copy")

    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT name FROM users").fetchall() == [("ada",)]
    access.close()
