"""Flask's JSON, read strictly: no NaN, no Infinity, and no document that breaks the parser."""

from typing import Any

from flask.json.provider import DefaultJSONProvider

from celeriac.runs import strict_loads


class StrictJSON(DefaultJSONProvider):
    """Flask's JSON, refusing what is not JSON; Flask answers each `ValueError` with 400."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse a document.

        Raises:
            ValueError: it is malformed, or nested too deep to be meant.
        """
        return strict_loads(s, **kwargs)
