"""What a form says and checks before anything is sent: hints, and constraints for the browser."""

from typing import Final

from celeriac.web.form_shapes import REST, JsonSchema, Kind, Shape

_HINTS: Final = {"duration": "ISO 8601, such as PT90S or P1D."}


def hint_of(key: str, shape: Shape) -> str:
    """Give the sentence under a control."""
    parts = [str(shape.schema.get("description", "")).strip()]
    if key == REST:
        parts.append("Further arguments, as a JSON object.")
    elif shape.kind is Kind.JSON and shape.schema.get("type") == "object":
        parts.append("A JSON object.")
    elif shape.kind is Kind.JSON and shape.schema.get("type") == "array":
        parts.append("A JSON array.")
    elif shape.kind is Kind.JSON:
        parts.append("Any JSON; bare words are text.")
    parts.append(_HINTS.get(str(shape.schema.get("format")), ""))
    return " ".join(part for part in parts if part)


_LENGTHS: Final = {"minLength": "minlength", "maxLength": "maxlength"}


def constraints_of(shape: Shape) -> dict[str, str]:
    """Give the constraints that a browser can check before it sends anything."""
    if shape.kind is Kind.NUMBER:
        return _number_attributes(shape.schema)
    if shape.schema.get("type") != "string":
        return {}
    found = {
        html: str(shape.schema[word]) for word, html in _LENGTHS.items() if word in shape.schema
    }
    if shape.schema.get("format") == "decimal":
        return {**found, "inputmode": "decimal"}
    pattern = shape.schema.get("pattern")
    if pattern and "(?P" not in pattern and not pattern.startswith("(?"):
        found["pattern"] = _whole_pattern(pattern)
    return found


def _number_attributes(schema: JsonSchema) -> dict[str, str]:
    whole = schema.get("type") == "integer"
    found = {"step": str(schema.get("multipleOf", 1 if whole else "any"))}
    for word, html, inward in (
        ("minimum", "min", 0),
        ("exclusiveMinimum", "min", 1),
        ("maximum", "max", 0),
        ("exclusiveMaximum", "max", -1),
    ):
        if word in schema:
            found[html] = str(schema[word] + (inward if whole else 0))
    return found


def _whole_pattern(pattern: str) -> str:
    """Let an HTML pattern, which must match all of the text, mean what JSON Schema's means."""
    start = "" if pattern.startswith("^") else ".*"
    end = "" if pattern.endswith("$") else ".*"
    return f"{start}(?:{pattern.removeprefix('^').removesuffix('$')}){end}"
