"""The catalog: every registered task with the schema of its arguments."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from celery import Celery
from pydantic import BaseModel, JsonValue

from celeriac.catalog.arguments import Call, validate
from celeriac.catalog.docstring import Documentation, documentation_of
from celeriac.catalog.secret import secrets_of
from celeriac.catalog.signature import Arguments, ArgumentsSchema, model_of
from celeriac.errors import UnknownTaskError
from celeriac.queues import base_of, is_ours

__all__ = ["ArgumentsSchema", "Call", "Catalog", "RetryPolicy", "TaskSpec"]

NEVER_AWAITED = (
    "It is an `async def`, and only the pool `hybrid` awaits coroutines: in others each run of it "
    "fails. Set `CELERIAC_POOL=hybrid`, or let it be a plain `def` that calls `asyncio.run()`."
)
AWAITING_POOL = "hybrid"
BUILT_IN = "celery."
"""Names that begin so are Celery's own building blocks and not for people."""


@dataclass(frozen=True)
class RetryPolicy:
    """What happens after an error that the task declares as temporary (`autoretry_for`)."""

    automatic: bool
    max_retries: int | None
    delay_s: float
    backoff: bool


@dataclass(frozen=True)
class TaskSpec:
    """What a person and a program need to know of one task.

    `queue` is None where a router decides for each run anew.
    """

    name: str
    documentation: Documentation
    queue: str | None
    retry: RetryPolicy
    time_limit_s: float | None
    soft_time_limit_s: float | None
    model: type[BaseModel]
    is_coroutine: bool = False
    """An `async def`, which none of Celery's pools awaits."""
    is_awaited: bool = False
    """Workers have the pool that awaits it."""

    @property
    def warning(self) -> str | None:
        """Say why its runs cannot succeed, if that is known before any is submitted."""
        return NEVER_AWAITED if self.is_coroutine and not self.is_awaited else None

    @property
    def summary(self) -> str:
        """Give the first paragraph of the docstring."""
        return self.documentation.summary

    @property
    def description(self) -> str:
        """Give what the docstring says after its first paragraph."""
        return self.documentation.description

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Give the JSON Schema (2020-12) of the arguments, an object."""
        return self.model.model_json_schema(schema_generator=ArgumentsSchema)

    @property
    def kinds(self) -> Mapping[str, Any]:
        """Give how each parameter is passed (`inspect.Parameter.kind`), by name, in order."""
        return self.model.kinds if issubclass(self.model, Arguments) else {}

    @cached_property
    def secrets(self) -> frozenset[str]:
        """Give the names of arguments that are declared as secret, at any depth."""
        return secrets_of(self.model)

    def call(self, args: Mapping[str, JsonValue]) -> Call:
        """Validate named arguments and arrange them as Celery sends them.

        Raises:
            InvalidInputError: some do not fit; each is named by a pointer under `/args`.
        """
        return validate(self.model, args)


class Catalog:
    """All tasks of one Celery app, by name."""

    def __init__(self, tasks: Mapping[str, TaskSpec]) -> None:
        self._tasks = dict(sorted(tasks.items()))

    @classmethod
    def of(cls, app: Celery) -> Self:
        """Read every task that is registered with the app, except Celery's own."""
        names = [name for name in app.tasks if not name.startswith(BUILT_IN)]
        return cls({name: _spec(app, name, app.tasks[name]) for name in names})

    @property
    def tasks(self) -> list[TaskSpec]:
        """Give the tasks in the order of their names."""
        return list(self._tasks.values())

    @property
    def queues(self) -> set[str]:
        """Give the queues that tasks are routed to."""
        return {task.queue for task in self._tasks.values() if task.queue}

    def get(self, name: str) -> TaskSpec:
        """Find a task by its exact name.

        Raises:
            UnknownTaskError: there is none; the error names similar ones.
        """
        try:
            return self._tasks[name]
        except KeyError:
            raise UnknownTaskError(name, _near(name, self._tasks)) from None


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Give up to three names that may have been meant; who forgets something forgets the module."""
    known, last = list(known), _last(name)
    same = [each for each in known if _last(each) == last]
    return list(dict.fromkeys([*same, *difflib.get_close_matches(name, known, n=3)]))[:3]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _spec(app: Celery, name: str, task: Any) -> TaskSpec:
    documentation = documentation_of(task.run)
    return TaskSpec(
        name=name,
        documentation=documentation,
        queue=_queue(app, name, task),
        retry=RetryPolicy(
            automatic=bool(getattr(task, "autoretry_for", ())),
            max_retries=task.max_retries,
            delay_s=float(task.default_retry_delay or 0),
            backoff=bool(getattr(task, "retry_backoff", False)),
        ),
        time_limit_s=task.time_limit or app.conf.task_time_limit,
        soft_time_limit_s=task.soft_time_limit or app.conf.task_soft_time_limit,
        model=model_of(name, task.run, documentation.parameters),
        # Celery wraps what is retried by itself, and keeps the original beside it.
        is_coroutine=inspect.iscoroutinefunction(getattr(task, "_orig_run", task.run)),
        is_awaited=app.conf.worker_pool == AWAITING_POOL,
    )


def _queue(app: Celery, name: str, task: Any) -> str | None:
    """Ask Celery's router where the task goes; a router may need the arguments, and then fails."""
    try:
        options = {key: value for key, value in task._get_exec_options().items() if value}
        route = app.amqp.router.route(options, name, (), {}, task)
    except Exception:
        return None
    queue = route.get("queue")
    if queue is None:
        return None
    return base_of(queue.name) if is_ours(queue) else str(queue.name)
