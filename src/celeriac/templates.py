"""Messages of tasks from templates: what Celery would make anew for each, made once for all.

Celery looks up routes, binds arguments, copies headers and writes them one by one; but of two
messages of one task only the identifier and the arguments differ. So here Celery makes one with
marks in these places, and they are filled in. Whatever may depend on more than that has no
template, and takes Celery's way: other serializers, signatures, routers and classes of a team's
own, handlers of signals.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Generic, TypeVar

from amqp import Message
from amqp.serialization import dumps as amqp_dumps
from celery import Celery, signals
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute
from celery.app.task import Task
from celery.utils.saferepr import saferepr
from celery.utils.time import utcoffset
from kombu.utils.json import JSONEncoder

from celeriac.amqp_frames import BASIC
from celeriac.line_producer import Gathering
from celeriac.queues import LaneRouter
from celeriac.signatures import signatures_of
from celeriac.wire import Outgoing

ID, ARGS, KWARGS = "0" * 36, "\1args\1", "\1kwargs\1"
_SIZE = Struct(">I")
_TAIL = b', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
EMPTY = b"[[], {}" + _TAIL
"""The body of a message without arguments."""
_PLAIN = frozenset((int, float, bool, type(None)))
_MOST_SHOWN = 500
"""What is shown longer may be cut, which Celery knows best how to."""
_SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
encode = JSONEncoder().encode


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """What differs from message to message; `headers` are those beside Celery's own."""

    run_id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    headers: Mapping[str, Any]


class Rendering:
    """What messages have to say of a call, whichever broker they go to."""

    def __init__(self, app: Any, event: bytes | None) -> None:
        self._clock, self._levels = app.clock, app.conf.task_repr_maxlevels
        self._told = json.loads(event) if event else None

    def body_of(self, call: Call) -> bytes:
        """Write the body of a message."""
        return f"[{encode(tuple(call.args))}, {encode(call.kwargs)}".encode() + _TAIL

    def shown(self, call: Call) -> tuple[str, str]:
        """Show arguments as `saferepr` does, which takes its time for what is deep or long."""
        return self._shown(tuple(call.args)), self._shown(call.kwargs)

    def _shown(self, value: Any) -> str:
        shown = _plainly_shown(value)
        if shown is not None and len(shown) < _MOST_SHOWN:
            return shown
        return str(saferepr(value, AMQP.argsrepr_maxsize, self._levels))

    def event_of(self, call: Call, shown: tuple[str, str]) -> bytes | None:
        """Write the body of Celery's event, where the app sends any."""
        if self._told is None:
            return None
        told = {
            **self._told,
            "uuid": call.run_id,
            "root_id": call.run_id,
            "args": shown[0],
            "kwargs": shown[1],
            "clock": self._clock.forward(),
            "utcoffset": utcoffset(),
            "timestamp": time.time(),
        }
        return encode(told).encode()


class Template(Rendering):
    """Makes the messages of one task for one queue and priority: its own, and Celery's event."""

    def __init__(self, app: Any, gathered: "Gathered") -> None:
        message, self._event = gathered.message, gathered.event
        super().__init__(app, self._event.body if self._event else None)
        self.entities = gathered.entities
        """What the broker must have before a message goes there."""
        self._route = message.route
        table_at = _table_at(message.properties)
        begin = table_at + _SIZE.size
        end = begin + _SIZE.unpack_from(message.properties, table_at)[0]
        self._head = message.properties[:table_at]
        table, after_args = message.properties[begin:end].split(_text(ARGS))
        self._between, self._rest = after_args.split(_text(KWARGS))
        self._table = table.split(ID.encode())
        self._after = message.properties[end:].split(ID.encode())

    def messages(self, call: Call) -> tuple[Outgoing, Outgoing | None]:
        """Make the message of a run, and the event that tells of it."""
        shown = self.shown(call)
        properties = self._properties(call, shown)
        message = Outgoing(self._route, properties, self.body_of(call), call.run_id)
        told = self.event_of(call, shown)
        if self._event is None or told is None:
            return message, None
        return message, Outgoing(self._event.route, self._event.properties, told)

    def _properties(self, call: Call, shown: tuple[str, str]) -> bytes:
        run_id = call.run_id.encode()
        parts = [run_id.join(self._table), _text(shown[0]), self._between, _text(shown[1])]
        parts.append(self._rest)
        if call.headers:
            parts.append(amqp_dumps("F", (dict(call.headers),))[_SIZE.size :])
        table = b"".join(parts)
        return b"".join([self._head, _SIZE.pack(len(table)), table, run_id.join(self._after)])


@dataclass(frozen=True)
class Gathered:
    """What Celery makes of a submission."""

    message: Outgoing
    event: Outgoing | None
    entities: Sequence[Any]


class Templates(Generic[T]):
    """The templates of an app, each made when it is first wanted.

    `make` has Celery make a message of a task with these options, and a template of it; it gives
    None where that cannot be.
    """

    def __init__(self, app: Celery, make: Callable[[Any, Mapping[str, Any]], T | None]) -> None:
        self._app: Any = app
        self._make = make
        self._known: dict[tuple[str, str | None, int | None], T | None] = {}

    def find(self, task: str, queue: str | None, priority: int | None) -> T | None:
        """Give the template of a task's messages, or None where Celery must make each."""
        if any(signal.receivers for signal in _SIGNALS):
            return None
        key = task, queue, priority
        try:
            return self._known[key]
        except KeyError:
            found = self._known[key] = self._made(*key)
            return found

    def _made(self, name: str, queue: str | None, priority: int | None) -> T | None:
        task = self._app.tasks[name]
        if not (_is_usual(self._app) and _is_usual_task(task)):
            return None
        given = {"queue": queue, "priority": priority, "argsrepr": ARGS, "kwargsrepr": KWARGS}
        options = task._get_exec_options() | {k: v for k, v in given.items() if v is not None}
        return self._make(task, {"ignore_result": task.ignore_result} | options)


def send_marked(app: Any, task: Any, options: Mapping[str, Any], producer: Any) -> None:
    """Have Celery make a message with marks; its arguments are checked by who submits.

    Source: celery 5.7, `Task.apply_async`.
    """
    fixed = {"task_id": ID, "producer": producer, "task_type": task, "retry": False}
    app.send_task(task.name, (), {}, **fixed, **options)


def template_of(app: Any, task: Any, options: Mapping[str, Any]) -> Template | None:
    """Make a template for RabbitMQ."""
    entities: list[Any] = []
    producer = Gathering(entities.append)
    send_marked(app, task, options, producer)
    [message] = producer.tasks
    gathered = Gathered(message, producer.others[0] if producer.others else None, entities)
    return Template(app, gathered) if _is_plain(gathered) else None


def _is_usual(app: Any) -> bool:
    """Tell whether messages are made by what is Celery's own or ours, and by nothing else."""
    return (
        type(app).send_task is Celery.send_task
        and getattr(app.amqp.create_task_message, "__func__", None) is AMQP.as_task_v2
        and not app.conf.task_always_eager
        and signatures_of(app) is None
        and all(isinstance(router, (LaneRouter, MapRoute)) for router in app.amqp.routes)
    )


def _is_usual_task(task: Any) -> bool:
    stock: Any = Task
    return (
        type(task).apply_async is stock.apply_async
        and type(task).shadow_name is stock.shadow_name
        and type(task)._get_exec_options is stock._get_exec_options
        and task._dump_pydantic_arguments is None
    )


def _is_plain(gathered: Gathered) -> bool:
    message: Any = Message()
    message._load_properties(BASIC, gathered.message.properties, 0)
    properties = message.properties
    return (
        gathered.message.body == EMPTY
        and "expiration" not in properties
        and is_plain(properties["content_type"], properties["application_headers"])
    )


def is_plain(content_type: str, headers: Mapping[str, Any]) -> bool:
    """Tell whether nothing of a message depends on when it was made, or hides what it says."""
    unusual = [headers["eta"], headers["expires"], headers.get("compression")]
    return content_type == "application/json" and not any(unusual)


def _table_at(properties: bytes) -> int:
    """Find the headers: they stand behind the flags and two short texts."""
    at = 2
    for _ in range(2):
        at += 1 + properties[at]
    return at


def _text(text: str) -> bytes:
    """Write a value of a table that is text."""
    written = text.encode("utf-8", "surrogatepass")
    return b"S" + _SIZE.pack(len(written)) + written


def _plainly_shown(value: Any) -> str | None:
    """Show a flat collection, or give None where it is not."""
    if type(value) is dict:
        items = [(_one_shown(key), _one_shown(item)) for key, item in value.items()]
        if any(key is None or item is None for key, item in items):
            return None
        return "{" + ", ".join([f"{key}: {item}" for key, item in items]) + "}"
    shown = [_one_shown(item) for item in value]
    if type(value) is not tuple or None in shown:
        return None
    return f"({', '.join(filter(None, shown))}{',' if len(shown) == 1 else ''})"


def _one_shown(value: Any) -> str | None:
    if type(value) is str:
        return "'" + value.replace("'", "\\'") + "'"
    return str(value) if type(value) in _PLAIN else None
