"""Command-line options: made from a task's JSON Schema, from the settings, and what they print."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from celery import Celery
from pydantic import JsonValue
from typer.testing import CliRunner

from celeriac.catalog import Catalog, TaskSpec
from celeriac.cli import app as cli
from celeriac.cli import doctor, show
from celeriac.cli.parameters import parameters_of, read_arguments
from celeriac.cli.place import Place
from celeriac.cli.submit import TAKEN, command_of
from celeriac.errors import InvalidInputError
from celeriac.runs import Outcome, Progress, Run, RunError, RunState, SubmitOptions
from celeriac.settings import CELERY_VARIABLES, Settings
from celeriac.web.snippets import RUN_FLAGS, snippets_of

SCHEMA: dict[str, Any] = {
    "$defs": {
        "Colour": {"type": "string", "enum": ["red", "blue"]},
        "Item": {"type": "object", "properties": {"sku": {"type": "string"}}},
    },
    "properties": {
        "text": {"type": "string", "description": "Some text."},
        "limit": {"type": "integer", "default": 5},
        "is_urgent": {"type": "boolean", "default": False},
        "colour": {"$ref": "#/$defs/Colour"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}},
        "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        "anything": {},
        "queue": {"type": "string"},
    },
    "required": ["text"],
}


def test_each_property_becomes_an_option() -> None:
    parameters = {p.name: p for p in parameters_of(SCHEMA, taken=["--queue"])}

    assert {p.flag: p.type for p in parameters.values()} == {
        "--text": str, "--limit": int, "--is-urgent": bool, "--colour": str, "--note": str,
        "--tags": list[str], "--items": str, "--anything": str, "--arg-queue": str,
    }  # fmt: skip
    assert [p.name for p in parameters.values() if p.required] == ["text"]
    assert parameters["text"].help == "Some text."
    assert "red, blue" in parameters["colour"].help
    assert parameters["limit"].default_text == "5"


def _read(**typed: Any) -> dict[str, Any]:
    parameters = parameters_of(SCHEMA)
    by_identifier = {p.identifier: typed.get(p.name) for p in parameters}
    return read_arguments(parameters, by_identifier)


def test_what_was_not_typed_is_absent() -> None:
    assert _read(text="a", tags=[]) == {"text": "a"}


def test_values_become_json() -> None:
    found = _read(text="1", limit=2, is_urgent=False, items='[{"sku": "x"}]', anything="plain")

    assert found == {
        "text": "1", "limit": 2, "is_urgent": False, "items": [{"sku": "x"}], "anything": "plain",
    }  # fmt: skip
    assert _read(anything="[1, 2]") == {"anything": [1, 2]}


def test_value_that_is_no_json_is_refused_by_its_flag() -> None:
    with pytest.raises(InvalidInputError, match="--items takes JSON"):
        _read(items="[{")


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": ["integer", "null"]}, int),
        ({"type": ["integer", "string"]}, str),
        ({"allOf": [{"$ref": "#/$defs/Colour"}], "default": "red"}, str),
        ({"oneOf": [{"type": "number"}, {"type": "null"}]}, float),
        ({"type": "array", "items": {"type": ["integer", "null"]}}, list[int]),
        ({"type": "array", "items": True}, str),
        ({"$ref": "#/$defs/Tree"}, str),
    ],
)
def test_schema_is_read_however_it_is_written(part: dict[str, Any], kind: Any) -> None:
    tree = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    schema = {"$defs": {**SCHEMA["$defs"], "Tree": tree}, "properties": {"it": part}}

    (parameter,) = parameters_of(schema)

    assert parameter.type == kind


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "[-Infinity]", "[1e999]", "[" * 100_000])
def test_what_only_python_takes_for_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--items takes JSON"):
        _read(items=text)


def test_number_that_json_cannot_write_is_refused() -> None:
    parameters = parameters_of({"properties": {"ratio": {"type": "number"}}})

    with pytest.raises(InvalidInputError, match="--ratio takes a finite number"):
        read_arguments(parameters, {"argument_0": float("nan")})


OPEN = {"properties": {"text": {"type": "string"}}, "additionalProperties": True}


def test_further_arguments_are_merged_and_those_with_an_option_win() -> None:
    parameters = parameters_of(OPEN)

    typed = {"argument_0": "typed", "argument_more": '{"extra": [2], "text": "merged"}'}

    assert parameters[-1].flag == "--more"
    assert read_arguments(parameters, typed) == {"text": "typed", "extra": [2]}


@pytest.mark.parametrize("text", ["[1]", "2", "extra", '{"extra": NaN}'])
def test_further_arguments_must_be_an_object(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"--more takes (a )?JSON"):
        read_arguments(parameters_of(OPEN), {"argument_0": None, "argument_more": text})


def test_taken_flags_get_a_prefix() -> None:
    names = ["more", "arg_queue", "queue", "_queue"]
    schema = {"properties": {name: {} for name in names}, "additionalProperties": True}

    flags = [parameter.flag for parameter in parameters_of(schema, taken=["--queue"])]

    assert flags == [
        "--more", "--arg-queue", "--arg-arg-queue", "--arg-arg-arg-queue", "--arg-more",
    ]  # fmt: skip


def test_snippets_know_the_commands_own_options() -> None:
    assert {f"--{name}" for name in RUN_FLAGS} == set(TAKEN)
    assert set(SubmitOptions.model_fields) - {"tags"} < RUN_FLAGS


class RecordingRuns:
    """A place that keeps what is submitted, whose runs end at once with an odd message."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Mapping[str, JsonValue], SubmitOptions]] = []

    def submit(
        self, name: str, args: Mapping[str, JsonValue], options: SubmitOptions, key: str | None
    ) -> Outcome:
        """Keep a submission."""
        assert key is None
        self.submitted.append((args, options))
        return Outcome(Run(id="run-1", task=name, state=RunState.PENDING))

    def watch(self, run_id: str) -> Iterator[Run | None]:
        """Give a run that tells of its progress, and its end."""
        progress = Progress(current=1, total=2, message=ODD)
        yield Run(id=run_id, state=RunState.STARTED, progress=progress)
        yield Run(id=run_id, state=RunState.SUCCESS, progress=progress, result=ODD)


ODD = "half [/x] of [red]it"
"""What rich would refuse, or swallow, as markup."""


def odd(
    text: str,
    ratio: float = 1,
    is_urgent: bool = True,
    tags: list[str] | None = None,
    switches: list[bool] = [],  # noqa: B006 - never changed
    anything: Any = None,
    either: int | str | None = None,
    table: dict[str, int] | None = None,
    json: str = "",
    more: str = "",
    **others: Any,
) -> None:
    """Do it, or [/x] not.

    Neither [bold]this[/x].

    Args:
        text: Words in [/x] brackets.
    """


@pytest.fixture
def spec() -> TaskSpec:
    app = Celery("odd", broker="memory://", set_as_current=False)
    app.task(name="odd.one")(odd)
    return Catalog.of(app).get("odd.one")


@pytest.mark.parametrize(
    "args",
    [
        {"text": "a"},
        {"text": "-5", "ratio": -0.5, "is_urgent": False, "tags": ["a b", "-c"]},
        {"text": "a", "switches": [True, False], "anything": [1, 2], "either": "7"},
        {"text": "a", "anything": True, "either": 7, "table": {"x": 1}},
        {"text": "a", "anything": "true", "json": "{}", "more": "'"},
        {"text": "a", "extra": 2, "others": {"deep": [None, "ü"]}},
    ],
)
def test_snippet_submits_the_same_arguments(spec: TaskSpec, args: dict[str, Any]) -> None:
    runs = RecordingRuns()
    snippets = snippets_of(spec, args, {"queue": "odd", "priority": 3}, "http://host/")
    words = next(shlex.split(snippet.text) for snippet in snippets if snippet.key == "cli")

    done = CliRunner().invoke(command_of(cast(Place, runs), spec), words[3:])

    assert done.exit_code == 0, done.output
    assert runs.submitted == [(args, SubmitOptions(queue="odd", priority=3))]


def test_help_shows_an_authors_brackets_as_they_are(spec: TaskSpec) -> None:
    shown = CliRunner().invoke(command_of(cast(Place, RecordingRuns()), spec), ["--help"])

    assert shown.exit_code == 0, shown.exception
    for words in ("Do it, or [/x] not.", "Neither [bold]this[/x].", "Words in [/x] brackets."):
        assert words in shown.output


def test_progress_shows_a_tasks_brackets_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # A bar is drawn on a terminal only.
    run = Run(id="run-1", state=RunState.PENDING)

    show.submitted(cast(Place, RecordingRuns()), run, wait=True, as_json=False)

    printed = capsys.readouterr()
    assert printed.out == f"{ODD}\n"
    assert ODD in printed.err


def test_run_shows_brackets_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    progress, error = Progress(message=ODD), RunError(type="Odd", message=ODD, traceback=ODD)
    run = Run(
        id=ODD, task=ODD, state=RunState.FAILURE, args={"a": ODD}, progress=progress, error=error,
        queue=ODD, worker=ODD,
    )  # fmt: skip

    show.run(run, as_json=False)

    assert capsys.readouterr().out.count(ODD) == 8


@pytest.mark.parametrize("name", CELERY_VARIABLES)
def test_doctor_warns_of_variables_that_overrule_ours(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in CELERY_VARIABLES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "[/x]")

    (finding,) = doctor._environment()

    assert finding.verdict == "warning"
    assert finding.detail.startswith(f"{name} is set")


@pytest.mark.parametrize(
    "setting",
    ["host", "port", "flower_port", "workers", "concurrency", "data_dir", "broker_url", "redis_url",
     "app"],
)  # fmt: skip
def test_help_of_up_tells_the_setting_its_variable_and_its_default(setting: str) -> None:
    shown = CliRunner(env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"}).invoke(cli, ["up", "--help"])
    field = Settings.model_fields[setting]
    (line,) = [each for each in shown.output.splitlines() if f"CELERIAC_{setting.upper()})" in each]

    default = None if field.default_factory else field.default

    assert f"{field.description} (CELERIAC_{setting.upper()})" in line
    assert ("[default: " in line) == (default is not None)
    assert default is None or f"[default: ({default})]" in line
