"""The examples of events in the reference are what a real worker writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from celeriac.events import STREAM, EventKind
from celeriac.runs import LetterSelection, Runs, SubmitOptions
from celeriac.settings import load_settings
from eventually import eventually
from examples import blocks, difference
from servers import RedisServer
from worker_process import running_worker

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "events.md"
STORY = """
import logging
from celery import shared_task
from celery.exceptions import Reject

@shared_task(bind=True, max_retries=1, default_retry_delay=0)
def tell(self):
    '''Tell a story that ends badly.'''
    logging.getLogger("story").info("3 orders found")
    self.update_state(state="PROGRESS", meta={"current": 3, "total": 10, "message": "reading"})
    raise self.retry(exc=ValueError("the shop is closed"))

@shared_task(acks_late=True)
def refuse():
    '''Want nothing to do with its message.'''
    raise Reject("no such shop", requeue=False)
"""
EXAMPLES = [json.loads(text) for language, text in blocks(PAGE) if language == "json"]


@pytest.fixture(scope="module")
def events(
    valkey_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Run tasks whose lives have every kind of event; gives all entries of the stream."""
    valkey_server.flush()
    folder = tmp_path_factory.mktemp("events")
    redis_url = valkey_server.url.removesuffix("/0") + "/1"
    (folder / "story.py").write_text(STORY)
    settings = load_settings(
        join_stack=False, broker_url=valkey_server.url, redis_url=redis_url, tasks="celeriac.tasks"
    )
    runs = Runs.of(settings)
    with running_worker(
        folder, valkey_server.url, redis_url, {"CELERIAC_TASKS": "celeriac.tasks,story"}
    ):
        runs.submit("text.reverse", {"text": "hello"}, SubmitOptions(priority=5, tags=["greeting"]))
        later = runs.submit("text.reverse", {"text": "later"}, SubmitOptions(countdown=3600))
        runs.cancel(later.id)
        with Celery(broker=valkey_server.url) as other_client:
            other_client.send_task("story.tell", queue="celery_see", priority=9)
            other_client.send_task("story.refuse", queue="celery_see")
        eventually(runs.dead_letters.counts, deadline_s=20)
        list(runs.dead_letters.replay(LetterSelection(all=True)))
        with Redis.from_url(redis_url, decode_responses=True) as client:
            return eventually(lambda: _events_of_all_kinds(client), deadline_s=40)


def _events_of_all_kinds(client: Any) -> list[dict[str, Any]]:
    entries = [fields for _, fields in client.xrange(STREAM)]
    assert {fields["kind"] for fields in entries} == set(EventKind)
    return [fields | {"data": json.loads(fields["data"])} for fields in entries]


def test_each_kind_of_event_has_an_example() -> None:
    assert {example["kind"] for example in EXAMPLES} == set(EventKind)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["kind"])
def test_example_is_what_a_worker_writes(
    example: dict[str, Any], events: list[dict[str, Any]]
) -> None:
    problems = [difference(example, event) for event in events if event["kind"] == example["kind"]]

    assert None in problems, problems
