"""How runs, values and the rail look: true to what they hold, and bounded in the work they make."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from celeriac.runs import Progress, Run, RunError, Runs, RunState
from celeriac.settings import load_settings
from celeriac.web import create_app, look, run_view
from celeriac.web.look import json_html
from celeriac.web.run_view import RunView
from celeriac.web.shown import COLOURED_MAX, COUNTED_MAX, LINE_MAX, SHOWN_MAX, shown, shown_end

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(scope="module")
def app() -> Flask:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    return create_app(settings, Runs.of(settings))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.colours: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.colours.append(dict(attrs)["class"] or "")


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(str(markup))
    reader.close()
    return reader


def _drawn(app: Flask, **known: Any) -> str:
    run = Run(**{"id": "r", "state": RunState.STARTED, "task": "text.reverse"} | known)
    with app.test_request_context("/runs/r"):
        return app.jinja_env.get_template("run_live.html").render(view=RunView(run))


# --- JSON in colour -------------------------------------------------------------------------------


@given(JSON)
def test_coloured_json_reads_as_the_json_it_is(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)

    assert _read(json_html(text)).text == text


def test_json_words_have_the_colours_of_their_kinds() -> None:
    coloured = _read(json_html('{"a:": "b", "c": -1.5e3, "d": [true, null, "\\"x\\": 1"]}'))

    assert [name.removeprefix("json-") for name in coloured.colours] == [
        "key", "text", "key", "number", "key", "word", "word", "text",
    ]  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ['\\"', '"', '"\\', "\\", "-", "1e", '":', "tru", '"a":1,', "{"])
def test_colouring_work_grows_with_the_text_alone(unit: str) -> None:
    text = unit * (400_000 // len(unit))

    for start in ("", '"', "1"):
        assert len(json_html(start + text)) > 0


# --- Values as pages show them --------------------------------------------------------------------


def test_small_value_is_whole_and_coloured() -> None:
    value = shown({"a": 1})

    assert (value.text, value.left_out) == ('{\n  "a": 1\n}', "")
    assert 'class="json-key"' in value.html


@pytest.mark.timeout(10)
def test_escaped_quotes_that_once_took_minutes_are_shown_plainly() -> None:
    value = shown({"text": '"' * 51_000})

    assert "json-" not in value.html
    assert len(value.text) == SHOWN_MAX
    assert value.left_out == "2,016 characters"


def test_value_above_the_limit_of_colours_is_plain() -> None:
    assert "json-" in shown([1] * (COLOURED_MAX // 5 - 1)).html
    assert "json-" not in shown([1] * (COLOURED_MAX // 5 + 1)).html


def test_text_is_cut_and_says_by_how_much() -> None:
    value = shown("ab" * SHOWN_MAX)

    assert len(value.text) == SHOWN_MAX
    assert value.left_out == f"{SHOWN_MAX:,} characters"


def test_traceback_keeps_its_end() -> None:
    value = shown_end("x" * SHOWN_MAX + "ValueError: no")

    assert value.text.endswith("ValueError: no")
    assert value.left_out == "14 characters"


def test_huge_json_is_not_written_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0

    def parts(_encoder: json.JSONEncoder, _value: Any) -> Iterator[str]:
        nonlocal written
        while True:
            written += 1000
            yield "x" * 1000

    monkeypatch.setattr(json.JSONEncoder, "iterencode", parts)

    assert shown([]).left_out == f"more than {COUNTED_MAX + 1000 - SHOWN_MAX:,} characters"
    assert written == COUNTED_MAX + 1000


def test_value_nested_too_deep_is_left_out_in_part_or_all() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]

    assert shown(deep).left_out


@pytest.mark.parametrize(
    "value", ["x" * 25_000, {"a": "y" * 15_000}, "a\n" + "z" * 5_000 + "\nb\n"]
)
def test_long_line_comes_in_pieces_and_stays_the_same_text(value: Any) -> None:
    drawn = shown(value)

    assert _read(drawn.html).text == drawn.text
    assert all(len(piece) <= LINE_MAX + 100 for piece in drawn.html.split("<span"))


# --- A run's live part ----------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 10**400])
@pytest.mark.parametrize("other", [None, 0, 1, float("nan"), float("inf"), 10**400])
def test_progress_that_is_no_number_is_unknown(app: Flask, odd: float, other: float) -> None:
    for current, total in ((odd, other), (other, odd)):
        progress = Progress.model_construct(current=current, total=total, message="half way")

        html = _drawn(app, progress=progress)

        assert "half way" in html
        assert "nan" not in _read_text(html) and "inf" not in _read_text(html)
        assert RunView(Run(id="r", state=RunState.STARTED, progress=progress)).percent is None


def _read_text(html: str) -> str:
    return html.partition('<div class="progress-block">')[2].partition("</div>")[0]


@pytest.mark.parametrize(
    ("current", "total", "words"),
    [(1234, 5000, "1,234 of 5,000 · 25 %"), (0.1 + 0.2, 1, "0.3 of 1 · 30 %"), (7, None, "7"),
     (5, 0, "5"), (9, 3, "9 of 3 · 100 %"), (1e300, 1e-300, "1e+300"), (10**20, None, "1e+20")],
)  # fmt: skip
def test_progress_in_numbers(current: float, total: float | None, words: str) -> None:
    progress = Progress(current=current, total=total)

    assert RunView(Run(id="r", state=RunState.STARTED, progress=progress)).progress_numbers == words


def test_cut_result_leads_to_the_json(app: Flask) -> None:
    html = _drawn(app, id="a b", state=RunState.SUCCESS, result="x" * (SHOWN_MAX + 1))

    assert 'This leaves out 1 characters of the result; <a href="/api/v1/runs/a%20b">' in html


def test_error_of_any_length_is_bounded(app: Flask) -> None:
    error = RunError(type="E", message="m" * 10**6, traceback="t" * 10**6)

    html = _drawn(app, state=RunState.FAILURE, error=error)

    assert len(html) < 3 * SHOWN_MAX
    assert html.count("900,000 characters") == 2


def test_half_a_surrogate_pair_can_be_drawn(app: Flask) -> None:
    html = _drawn(
        app,
        state=RunState.SUCCESS,
        result={"a": "\ud800<"},
        args={"b\udfff": "é"},
        error=RunError(type="\ud83d", message="", traceback=None),
    )

    assert "\\ud800&lt;" in html.encode().decode()
    assert "b\\udfff" in html


# --- The rail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tasks", "runs", "docs"),
    [("/", "", "", ""), ("/tasks", "page", "", ""), ("/tasks/a", "true", "", ""),
     ("/runs", "", "page", ""),
     ("/runs/x", "", "true", ""), ("/docs", "", "", "page"), ("/tasksandmore", "", "", "")],
)  # fmt: skip
def test_rail_marks_the_section_that_is_open(
    app: Flask, path: str, tasks: str, runs: str, docs: str
) -> None:
    with app.test_request_context(path):
        links = {link.label: link.current for link in look.rail()}

    marked = {label: current for label, current in links.items() if current}
    home = "page" if path == "/" else ""
    expected = {"Home": home, "Tasks": tasks, "Runs": runs, "API docs": docs}
    assert marked == {label: current for label, current in expected.items() if current}
    assert {"Queues", "Workers", "Flower"} < links.keys()


def test_numbers_that_tell_nothing_have_no_words() -> None:
    odd = (None, float("nan"), float("inf"), 10**400)

    assert [run_view.number_words(number) for number in odd] == ["", "", "", ""]
