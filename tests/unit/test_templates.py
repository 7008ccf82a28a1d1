"""Messages from templates: they say what Celery's own say, whatever the arguments are."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from amqp import Message
from celery import Celery, signals
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.app import create_app
from celeriac.line_producer import Gathering
from celeriac.settings import load_settings
from celeriac.templates import Call, Template, Templates, template_of
from celeriac.wire import Outgoing

RUN_ID = "019f0000-0000-7000-8000-000000000001"
TASK = "text.reverse"
OF_THE_MOMENT = ("timestamp", "clock")

plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80)
)
odd = st.sampled_from(
    ["", "'", "\\", "\n", "\0", "é", "😀", "x" * 2_000, "'" * 700, datetime(2030, 1, 2, tzinfo=UTC),
     date(2030, 1, 2), Decimal("1.50"), UUID(RUN_ID)]
)  # fmt: skip
values = st.recursive(
    plain | odd,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
headers = st.fixed_dictionaries(
    {}, optional={"celeriac_tags": st.lists(st.text(max_size=9)), "celeriac_resubmit_of": st.text()}
)


def _app(**more: Any) -> Any:
    found = load_settings(
        join_stack=False,
        broker_url="amqp://localhost//",
        redis_url="redis://localhost/1",
        **more,
    )
    app: Any = create_app(found, publisher=True)
    app.tasks[TASK].typing = False  # So that arguments may be anything.
    return app


@pytest.fixture(scope="module")
def app() -> Celery:
    return _app()


def _templates(app: Any) -> Templates[Template]:
    return Templates(app, partial(template_of, app))


def _read(message: Outgoing) -> tuple[bytes, dict[str, Any], Any]:
    found: Any = Message()
    found._load_properties(60, message.properties, 0)
    return message.route, found.properties, json.loads(message.body)


def _stock(app: Any, call: Call, **options: Any) -> tuple[Outgoing, Outgoing]:
    gathered = Gathering()
    app.tasks[TASK].apply_async(
        tuple(call.args), dict(call.kwargs), task_id=call.run_id, producer=gathered, retry=False,
        headers=dict(call.headers), **options,
    )  # fmt: skip
    return gathered.tasks[0], gathered.others[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=9), values), headers)
def test_message_and_event_are_those_that_celery_makes(
    app: Celery, args: list[Any], kwargs: dict[str, Any], more: dict[str, Any]
) -> None:
    call = Call(RUN_ID, args, kwargs, more)
    template = _templates(app).find(TASK, None, None)
    assert template

    message, event = template.messages(call)
    stock_message, stock_event = _stock(app, call)

    assert _read(message) == _read(stock_message)
    assert message.body == stock_message.body and message.name == stock_message.name
    assert event
    route, properties, told = _read(event)
    stock_route, stock_properties, stock_told = _read(stock_event)
    assert (route, properties) == (stock_route, stock_properties)
    for name in OF_THE_MOMENT:
        assert type(told.pop(name)) is type(stock_told.pop(name))
    assert told == stock_told


@pytest.mark.parametrize("priority", [None, 0, 4, 5, 9])
@pytest.mark.parametrize("queue", [None, "other"])
def test_queue_and_lane_are_those_that_celery_finds(
    app: Celery, queue: str | None, priority: int | None
) -> None:
    call = Call(RUN_ID, (), {"text": "ab"}, {})
    template = _templates(app).find(TASK, queue, priority)
    assert template
    options = {"queue": queue, "priority": priority}

    stock, _ = _stock(app, call, **{k: v for k, v in options.items() if v is not None})

    assert _read(template.messages(call)[0]) == _read(stock)
    assert [entity.name for entity in template.entities][:1] != []


def test_signed_messages_have_no_template() -> None:
    app = _app(message_keys="first:" + "s" * 32)

    assert _templates(app).find(TASK, None, None) is None


def test_message_that_somebody_listens_for_has_no_template(app: Celery) -> None:
    templates = _templates(app)

    def note(**_: Any) -> None:
        pass

    signals.before_task_publish.connect(note)
    try:
        assert templates.find(TASK, None, None) is None
    finally:
        signals.before_task_publish.disconnect(note)

    assert templates.find(TASK, None, None)


@pytest.mark.parametrize(
    "options",
    [{"expires": 60}, {"serializer": "pickle"}, {"compression": "gzip"}],
    ids=lambda options: next(iter(options)),
)
def test_task_whose_messages_differ_otherwise_has_no_template(options: dict[str, Any]) -> None:
    app: Any = _app()
    task = app.task(nothing, name="unusual", **options)

    assert _templates(app).find(task.name, None, None) is None


def nothing() -> None:
    """Do nothing."""


def test_task_with_a_way_of_its_own_to_be_sent_has_no_template(app: Any) -> None:
    class Own(app.Task):  # type: ignore[misc, name-defined]
        def apply_async(self, *args: Any, **options: Any) -> Any:
            return super().apply_async(*args, **options)

    app.task(nothing, name="own", base=Own)

    assert _templates(app).find("own", None, None) is None
