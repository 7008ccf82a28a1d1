"""The catalog: every registered task with the schema of its arguments."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from celery import Celery
from pydantic import BaseModel, JsonValue

from celeriac.catalog.arguments import Call, bind, validate
from celeriac.catalog.docstring import Documentation, documentation_of
from celeriac.catalog.signature import model_of
from celeriac.errors import UnknownTaskError

__all__ = ["Call", "Catalog", "RetryPolicy", "TaskSpec"]

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
    """What a person and a program need to know of one task."""

    name: str
    documentation: Documentation
    queue: str
    retry: RetryPolicy
    time_limit_s: float | None
    soft_time_limit_s: float | None
    model: type[BaseModel]

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
        return self.model.model_json_schema()

    def call(self, args: Mapping[str, JsonValue]) -> Call:
        """Validate named arguments and arrange them as Celery sends them.

        Raises:
            InvalidInputError: some do not fit; each is named by a pointer under `/args`.
        """
        return validate(self.model, args)

    def named(self, call: Call) -> dict[str, Any]:
        """Give the arguments of a message by name, as far as the signature tells."""
        return bind(self.model, call)


class Catalog:
    """All tasks of one Celery app, by name."""

    def __init__(self, tasks: Mapping[str, TaskSpec]) -> None:
        self._tasks = dict(sorted(tasks.items()))

    @classmethod
    def of(cls, app: Celery) -> Self:
        """Read every task that is registered with the app, except Celery's own."""
        return cls(
            {
                name: _spec(app, name, task)
                for name, task in app.tasks.items()
                if not name.startswith(BUILT_IN)
            }
        )

    @property
    def tasks(self) -> list[TaskSpec]:
        """Give the tasks in the order of their names."""
        return list(self._tasks.values())

    def get(self, name: str) -> TaskSpec:
        """Find a task by its exact name.

        Raises:
            UnknownTaskError: there is none; the error names similar ones.
        """
        try:
            return self._tasks[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._tasks, n=3)
            raise UnknownTaskError(name, near) from None


def _spec(app: Celery, name: str, task: Any) -> TaskSpec:
    documentation = documentation_of(task.run)
    return TaskSpec(
        name=name,
        documentation=documentation,
        queue=app.amqp.router.route({}, name)["queue"].name,
        retry=RetryPolicy(
            automatic=bool(getattr(task, "autoretry_for", ())),
            max_retries=task.max_retries,
            delay_s=float(task.default_retry_delay),
            backoff=bool(getattr(task, "retry_backoff", False)),
        ),
        time_limit_s=task.time_limit or app.conf.task_time_limit,
        soft_time_limit_s=task.soft_time_limit or app.conf.task_soft_time_limit,
        model=model_of(name, task.run, documentation.parameters),
    )
