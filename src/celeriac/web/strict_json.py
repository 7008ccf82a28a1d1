"""JSON as RFC 8259 has it: no NaN, no Infinity, and no document that breaks the parser."""

import json
from typing import Any, NoReturn

from flask.json.provider import DefaultJSONProvider


class StrictJSON(DefaultJSONProvider):
    """Flask's JSON, refusing what is not JSON; Flask answers each `ValueError` with 400."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse a document.

        Raises:
            ValueError: it is malformed, or nested too deep to be meant.
        """
        try:
            return json.loads(s, parse_constant=_refuse, **kwargs)
        except RecursionError:
            raise ValueError("The document is nested too deep.") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")
