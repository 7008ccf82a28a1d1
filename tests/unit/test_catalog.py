"""The catalog: from any registered task to a schema, and from JSON to a call."""

from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from celery import Celery
from celery.exceptions import CDeprecationWarning
from pydantic import BaseModel, Field, SecretStr

from celeriac.catalog import Call, Catalog, TaskSpec
from celeriac.catalog.arguments import named
from celeriac.catalog.signature import kinds_of
from celeriac.errors import InvalidInputError, UnknownTaskError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str = Field(min_length=2, description="Stock-keeping unit")
    quantity: int = 1
    needed_on: date | None = None


class Opaque:
    """A type that cannot come as JSON."""


def _positions(first: int, second: int = 5, /, *rest: int, key: str = "k", **more: Any) -> None:
    pass


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    app = Celery("shop", broker="memory://", set_as_current=False)

    @app.task(name="plain")
    def plain(x, y=2):  # type: ignore[no-untyped-def]
        """Add two things."""

    @app.task(name="order", bind=True, autoretry_for=(OSError,), max_retries=4, retry_backoff=True)
    def order(
        self: Any,
        items: list[Item],
        colour: Colour,
        at: datetime,
        schema: Annotated[int, Field(ge=1)] = 3,
        note: str | None = None,
        opaque: Opaque | None = None,
    ) -> None:
        """Order some items.

        They come by mail.

        Args:
            items: What to order.
            colour: The wrapping's colour.
        """

    app.task(name="positions")(_positions)

    @app.task(name="unresolvable")
    def unresolvable(value: "NoSuchType") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    @app.task(name="with-model", pydantic=True)
    def with_model(item: Item) -> None:
        pass

    return Catalog.of(app)


def test_catalog_has_every_task_but_celerys_own(catalog: Catalog) -> None:
    names = [task.name for task in catalog.tasks]

    assert {"order", "plain", "positions", "unresolvable", "with-model"} <= set(names)
    assert names == sorted(names)
    assert not [name for name in names if name.startswith("celery.")]


def test_catalog_reads_docstring_and_retry_policy(catalog: Catalog) -> None:
    order = catalog.get("order")

    assert order.summary == "Order some items."
    assert order.description == "They come by mail."
    assert order.retry.automatic and order.retry.backoff and order.retry.max_retries == 4
    assert not catalog.get("plain").retry.automatic


def test_schema_carries_models_enums_dates_defaults_and_descriptions(catalog: Catalog) -> None:
    schema = catalog.get("order").schema
    properties = schema["properties"]

    assert schema["required"] == ["items", "colour", "at"]
    assert properties["items"]["description"] == "What to order."
    assert properties["items"]["items"] == {"$ref": "#/$defs/Item"}
    assert schema["$defs"]["Item"]["properties"]["sku"]["minLength"] == 2
    assert schema["$defs"]["Colour"]["enum"] == ["red", "blue"]
    assert properties["at"] == {"title": "At", "type": "string", "format": "date-time"}
    assert properties["schema"]["default"] == 3
    assert properties["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert "self" not in properties


@pytest.mark.parametrize(("task", "parameter"), [("plain", "x"), ("unresolvable", "value")])
def test_parameter_without_a_usable_hint_takes_any_json(
    catalog: Catalog, task: str, parameter: str
) -> None:
    spec = catalog.get(task)

    assert "type" not in spec.schema["properties"][parameter]
    assert spec.call({parameter: [1, {"a": None}]}).kwargs == {parameter: [1, {"a": None}]}


def test_call_carries_dates_as_dates_and_enums_as_values(catalog: Catalog) -> None:
    call = catalog.get("order").call(
        {
            "items": [{"sku": "ab", "needed_on": "2026-01-02"}],
            "colour": "blue",
            "at": "2026-01-02T03:04:05Z",
        }
    )

    assert call.kwargs == {
        "items": [{"sku": "ab", "quantity": 1, "needed_on": date(2026, 1, 2)}],
        "colour": "blue",
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }


def test_call_passes_by_position_what_has_no_name(catalog: Catalog) -> None:
    spec = catalog.get("positions")

    assert spec.call({"first": 1, "rest": [7, 8], "extra": 0}) == Call([1, 5, 7, 8], {"extra": 0})
    assert named(kinds_of(_positions), Call([1, 2, 3, 4], {"key": "x"})) == {
        "first": 1, "second": 2, "rest": [3, 4], "key": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "args", "pointers"),
    [
        ("plain", {}, ["/args/x"]),
        ("plain", {"x": 1, "z": 2}, ["/args/z"]),
        ("order", {"items": [{"sku": "a"}], "colour": "green", "at": 5, "schema": "4"},
         ["/args/items/0/sku", "/args/colour", "/args/schema"]),
        ("positions", {"first": 1, "rest": ["x"]}, ["/args/rest/0"]),
    ],
)  # fmt: skip
def test_call_names_each_wrong_field(
    catalog: Catalog, task: str, args: dict[str, Any], pointers: list[str]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        catalog.get(task).call(args)

    assert set(pointers) <= {problem.pointer for problem in caught.value.problems}


def test_get_of_an_unknown_task_names_similar_ones(catalog: Catalog) -> None:
    with pytest.raises(UnknownTaskError, match="Did you mean order") as caught:
        catalog.get("ordr")

    assert caught.value.near == ("order",)


def _plain() -> None:
    pass


def _spec_of(function: Any, **options: Any) -> TaskSpec:
    app = Celery("one", broker="memory://", set_as_current=False)
    app.task(name="it", shared=False, **options)(function)
    return Catalog.of(app).get("it")


def test_queue_is_the_tasks_own(catalog: Catalog) -> None:
    assert catalog.get("plain").queue == "celery"
    with pytest.warns(CDeprecationWarning, match="'queue' task attribute"):
        assert _spec_of(_plain, queue="mail").queue == "mail"


def test_queue_is_unknown_where_a_router_looks_at_the_arguments() -> None:
    app = Celery("routed", broker="memory://", set_as_current=False)
    app.conf.task_routes = (lambda name, args, kwargs, options, **_: kwargs["tenant"],)
    app.task(name="it", shared=False)(_plain)

    assert Catalog.of(app).get("it").queue is None


def test_hint_that_cannot_be_resolved_costs_no_other() -> None:
    def function(self: "Unknown", count: "int", other: "Missing" = None) -> "Nothing":  # type: ignore[name-defined]  # noqa: F821
        pass

    properties = _spec_of(function, bind=True).schema["properties"]

    assert properties["count"]["type"] == "integer"
    assert "type" not in properties["other"]


def test_default_none_makes_a_parameter_nullable() -> None:
    def function(count: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        pass

    assert _spec_of(function).call({"count": None}).kwargs == {"count": None}


def test_hint_whose_schema_fails_counts_as_none() -> None:
    class Stubborn:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
            raise RuntimeError("no")

    def function(value) -> None:  # type: ignore[no-untyped-def]
        pass

    function.__annotations__["value"] = Stubborn

    assert "type" not in _spec_of(function).schema["properties"]["value"]


def test_object_that_kombu_would_read_as_another_type_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputError) as caught:
        catalog.get("plain").call({"x": [{"__type__": "date", "__value__": "boom"}]})

    assert caught.value.problems[0].pointer == "/args/x/0"


def test_secret_reaches_the_task_in_clear() -> None:
    def function(key: SecretStr) -> None:
        pass

    assert _spec_of(function).call({"key": "hunter2"}).kwargs == {"key": "hunter2"}


def test_problem_of_a_union_points_into_the_input() -> None:
    def function(value: int | list[int]) -> None:
        pass

    with pytest.raises(InvalidInputError) as caught:
        _spec_of(function).call({"value": "x"})

    assert {problem.pointer for problem in caught.value.problems} == {"/args/value"}
