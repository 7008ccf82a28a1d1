"""The one connection to RabbitMQ over TLS, where nobody may read while somebody writes."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import load_settings
from mail_server import self_signed
from processes import LOOPBACK, free_port
from servers import RABBITMQ_FOLDERS, RabbitMQServer, RedisServer, missing

LIMIT_BYTES = 1_000_000
LONG = "x" * 100_000
"""Several records of TLS."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run RabbitMQ with a certificate that this process trusts; gives its address."""
    found = [path for path in RABBITMQ_FOLDERS if (path / "rabbitmq-server").exists()]
    programs = found[0] if found else missing("RabbitMQ", "rabbitmq-server")
    folder, port = tmp_path / "rabbitmq", free_port()
    folder.mkdir()
    made, server = self_signed(tmp_path), RabbitMQServer(programs, folder)
    with (folder / "rabbitmq.conf").open("a") as file:
        file.write(f"listeners.ssl.1 = {LOOPBACK}:{port}\nssl_options.verify = verify_none\n")
        file.write(f"ssl_options.certfile = {made.path}\nssl_options.keyfile = {made.key_path}\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    try:
        server.start()
        yield f"amqps://guest:guest@{LOOPBACK}:{port}//"
    finally:
        server.close()


def test_many_threads_submit_over_tls(address: str, redis_server: RedisServer) -> None:
    redis_server.flush()
    runs = Runs.of(load_settings(join_stack=False, broker_url=address, redis_url=redis_server.url))
    line = json.dumps({"task": "text.reverse", "args": {"text": "ab"}}).encode() + b"\n"

    def submit(number: int) -> str:
        text = LONG if number % 50 == 0 else "ab"
        return runs.submit("text.reverse", {"text": text}, SubmitOptions()).id

    with ThreadPoolExecutor(16) as threads:
        batch = threads.submit(lambda: list(runs.batch(io.BytesIO(line * 500), LIMIT_BYTES)))
        ids = list(threads.map(submit, range(200)))
        answers = batch.result()

    assert len(set(ids)) == 200
    assert [answer.error for answer in answers] == [None] * 500
    assert runs.queues.get("celery_see").ready == 700
