"""What is submitted by Redis says what Celery's own messages say, and is there at most once."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from celeriac.app import create_app
from celeriac.redis_transport import BELL
from celeriac.runs import Runs, SubmitOptions
from celeriac.runs.redis_publisher import RedisPublisher
from celeriac.runs.sending import apply
from celeriac.settings import Settings, load_settings
from servers import RedisServer

TASK, QUEUE = "text.reverse", "celery_see"
TEXTS = ["ab", "", "it's", 'a "b" \\ \n', "<<body>> <<tag>>", "é😀\0", "x" * 3_000]


@pytest.fixture
def settings(server: RedisServer) -> Settings:
    results = server.url.replace("/0", "/1")
    return load_settings(join_stack=False, broker_url=server.url, redis_url=results, queues="other")


@pytest.fixture
def client(server: RedisServer) -> Iterator["Redis[str]"]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


class Taken:
    """Messages and events that were taken from the server."""

    def __init__(self, client: "Redis[str]") -> None:
        self._client = client
        self._feed = client.pubsub()
        self._feed.psubscribe("*celeryev*")
        self._feed.get_message(timeout=5)

    def message(self) -> tuple[str, dict[str, Any]]:
        """Take the only message there is; gives its list, too."""
        lists = [key for key in self._client.keys(f"{QUEUE}*") + self._client.keys("other*")]
        [key] = [key for key in lists if self._client.type(key) == "list"]
        [text] = self._client.lrange(key, 0, -1)
        self._client.delete(key)
        return key, _plain(text)

    def event(self) -> dict[str, Any]:
        """Take the next event."""
        found: Any = self._feed.get_message(timeout=10)
        message = _plain(found["data"])
        told = json.loads(b64decode(message["body"]))
        assert isinstance(told.pop("timestamp"), float) and isinstance(told.pop("clock"), int)
        return {**message, "body": told, "topic": found["channel"]}


def _plain(text: str) -> dict[str, Any]:
    """Read a message without the tag, which no other has."""
    message: dict[str, Any] = json.loads(text)
    assert len(message["properties"].pop("delivery_tag")) == 36
    return message


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "options",
    [{}, {"queue": "other"}, {"priority": 7}, {"tags": ["a", 'b"']}],
    ids=["plain", "queue", "priority", "tags"],
)
def test_message_and_event_are_those_that_celery_makes(
    settings: Settings, client: "Redis[str]", text: str, options: dict[str, Any]
) -> None:
    app = create_app(settings, publisher=True)
    runs, taken = Runs.of(settings), Taken(client)
    draft = runs._submitter.draft(TASK, {"text": text}, SubmitOptions(**options))

    RedisPublisher(app).publish(draft)
    ours = taken.message(), taken.event()
    with app.producer_pool.acquire(block=True) as producer:
        apply(app, draft, producer)
    stock = taken.message(), taken.event()

    assert ours[0] == stock[0]
    assert ours[1] == stock[1]


def test_each_of_many_is_there_once_and_rings_the_bell(
    settings: Settings, client: "Redis[str]"
) -> None:
    runs = Runs.of(settings)

    def submit(number: int) -> str:
        return runs.submit(TASK, {"text": str(number)}, SubmitOptions()).id

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(submit, range(300)))

    texts = client.lrange(f"{QUEUE}\x06\x169", 0, -1)
    assert sorted(json.loads(text)["headers"]["id"] for text in texts) == sorted(ids)
    assert client.xlen(BELL) == 1
    assert {runs.get(each).state for each in ids} == {"PENDING"}
