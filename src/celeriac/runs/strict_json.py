"""JSON as RFC 8259 has it: no NaN, no number beyond all bounds, nothing that breaks the parser."""

import json
import math
from typing import Any, NoReturn


def strict_loads(text: str | bytes, **options: Any) -> Any:
    """Parse a document.

    Raises:
        ValueError: it is malformed, or nested too deep to be meant.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, **options)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:20])


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is none of its numbers")
