"""The same submission by other means: HTTP, the command line, Python."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from celeriac.catalog import TaskSpec
from celeriac.web.form_shapes import REST, JsonSchema, Kind, Shape, root_shape
from celeriac.web.form_values import json_or_words

ONE_LINE_MAX: Final = 60
RUN_FLAGS: Final = frozenset(
    {"queue", "priority", "countdown", "eta", "expires", "tag", "idempotency-key"}
    | {"wait", "json", "help"}
)
"""The command's own options; a task's argument of the same name gets the prefix `--arg-`."""
MORE_FLAG: Final = "more"
"""The option for the arguments that a task takes without naming them, as one JSON object."""
TOKEN_HEADER: Final = '-H "Authorization: Bearer $CELERIAC_TOKEN"'  # noqa: S105 - names one
"""Where people sign in; the command line takes a token from the same variable."""
_SCALARS: Final = ("string", "integer", "number", "boolean")


@dataclass(frozen=True)
class Snippet:
    """One way to submit, as text to copy."""

    key: str
    label: str
    text: str


def snippets_of(
    spec: TaskSpec,
    args: Mapping[str, Any],
    options: Mapping[str, Any],
    root_url: str,
    *,
    with_token: bool = False,
) -> list[Snippet]:
    """Write a submission as a curl call, a celeriac command and Python."""
    args = essential_args(spec.schema, args)
    return [
        Snippet("http", "HTTP", _curl(spec.name, args, options, root_url, with_token)),
        Snippet("cli", "CLI", _command(spec.name, spec.schema, args, options)),
        Snippet("python", "Python", _python(spec.name, args, options)),
    ]


def essential_args(schema: JsonSchema, args: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments without those that equal their defaults; stand-ins for missing ones."""
    found: dict[str, Any] = {}
    for name, shape in root_shape(schema).members():
        if name in args:
            if not shape.has_default or args[name] != shape.schema["default"]:
                found[name] = args[name]
        elif shape.required:
            found[name] = _stand_in(shape)
    named = schema.get("properties", {})
    return found | {name: value for name, value in args.items() if name not in named}


def _stand_in(shape: Shape) -> Any:
    if choices := shape.choices():
        return choices[0]
    match shape.kind:
        case Kind.NUMBER:
            return shape.schema.get("minimum", 1)
        case Kind.LIST:
            return []
        case Kind.GROUP:
            return {name: _stand_in(inner) for name, inner in shape.members() if inner.required}
    return "…"


def _curl(
    name: str,
    args: Mapping[str, Any],
    options: Mapping[str, Any],
    root_url: str,
    with_token: bool,
) -> str:
    body = {"args": dict(args)} | ({"options": dict(options)} if options else {})
    text = json.dumps(body, ensure_ascii=False)
    if len(text) > ONE_LINE_MAX:
        text = json.dumps(body, ensure_ascii=False, indent=2)
    lines = [
        f"curl -sS {shlex.quote(f'{root_url}api/v1/tasks/{quote(name)}/runs')}",
        *([TOKEN_HEADER] if with_token else []),
        "-H 'Content-Type: application/json'",
        "-H 'Prefer: wait=10'",
        f"-d {shlex.quote(text)}",
    ]
    return " \\\n  ".join(lines)


def _command(
    name: str, schema: JsonSchema, args: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    shapes, flags = dict(root_shape(schema).members()), _flags(schema)
    named = schema.get("properties", {})
    more = {key: value for key, value in args.items() if key not in named}
    words = [f"celeriac submit {shlex.quote(name)}"]
    for key in args:
        if key in named:
            words += [_flag(flags[key], text) for text in _typed(shapes[key], args[key])]
    if more:
        words.append(_flag(flags[REST], json.dumps(more, ensure_ascii=False)))
    words += [_flag(word, text) for key in options for word, text in _option(key, options[key])]
    return " ".join([*words, "--wait"])


def _option(key: str, value: Any) -> list[tuple[str, str]]:
    """Give what is typed for an option of the run: each tag is one."""
    if key == "tags":
        return [("tag", _plain(tag)) for tag in value]
    return [(key, _plain(value))]


def _flags(schema: JsonSchema) -> dict[str, str]:
    """Name the option of each argument as `celeriac submit` does; that for all others is last."""
    found: dict[str, str] = {}
    for name in (*schema.get("properties", {}), REST):
        flag = MORE_FLAG if name == REST else name.strip("_").replace("_", "-").lower()
        while flag in RUN_FLAGS or flag in found.values():
            flag = f"arg-{flag}"
        found[name] = flag
    return found


def _typed(shape: Shape, value: Any) -> list[str | bool]:
    """Give what is typed for a value: a list of plain values repeats its option."""
    if isinstance(value, bool) and shape.schema.get("type") == "boolean":
        return [value]
    if isinstance(value, list) and _repeats(shape):
        return [_plain(each) for each in value]
    if isinstance(value, str) and shape.schema.get("type") != "string":
        return [json_or_words(value)]
    return [_plain(value)]


def _repeats(shape: Shape) -> bool:
    return shape.kind is Kind.LIST and shape.item().schema.get("type") in _SCALARS


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flag(word: str, value: str | bool) -> str:
    if isinstance(value, bool):
        return f"--{word}" if value else f"--no-{word}"
    quoted = shlex.quote(value)
    # A value that begins with a dash would be read as another option.
    return f"--{word}={quoted}" if value.startswith("-") else f"--{word} {quoted}"


def _python(name: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    settings = {key: _python_option(key, options[key]) for key in options if key != "tags"}
    if "tags" in options:  # Celery knows no tags; our workers find them in the message's headers.
        settings["headers"] = repr({"celeriac_tags": options["tags"]})
    lines = ["from celeriac.celery import app"]
    if any(text.startswith("datetime") for text in settings.values()):
        lines.insert(0, "from datetime import datetime\n")
    inner = [f"    {name!r},", f"    kwargs={_python_dict(args)},"]
    inner += [f"    {key}={text}," for key, text in settings.items()]
    return "\n".join(
        [*lines, "", "run = app.send_task(", *inner, ")", "print(run.get(timeout=60))"]
    )


def _python_dict(values: Mapping[str, Any]) -> str:
    flat = repr(dict(values))
    if len(flat) <= ONE_LINE_MAX:
        return flat
    rows = "".join(f"        {key!r}: {value!r},\n" for key, value in values.items())
    return f"{{\n{rows}    }}"


def _python_option(key: str, value: Any) -> str:
    if key in ("eta", "expires") and isinstance(value, str) and _is_instant(value):
        return f"datetime.fromisoformat({value!r})"
    return repr(value)


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
