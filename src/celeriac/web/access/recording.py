"""One hook for all endpoints: what a request has changed, or tried to, goes to the audit trail."""

from typing import Any, Final

from flask import Response, request
from pydantic import JsonValue
from werkzeug.exceptions import HTTPException

from celeriac.access import Entry, Identity
from celeriac.access.audit import OK
from celeriac.access.errors import TooManyRequestsError
from celeriac.web.access.permissions import Rule, rule_of
from celeriac.web.context import trail
from celeriac.web.gateway import is_unfinished
from celeriac.web.problems import CODE

KEY: Final = "celeriac.identity"
"""Where in a request's environ it stands who asks; copies of the request have it, too."""
LONGEST_VALUE: Final = 300
LONGEST_LIST: Final = 10
MOST_LEVELS: Final = 2
"""A filter holds lists; what is nested deeper asks for nothing that there is."""


def record_change(response: Response) -> Response:
    """Tell who did it, what came of it, and to what."""
    rule = rule_of(request.endpoint)
    found: Identity | None = request.environ.get(KEY)
    if found is None or not rule.action or is_unfinished(response):
        return response
    outcome = _outcome(response)
    if outcome == TooManyRequestsError.code:  # Else a flood would wash others' entries away.
        return response
    if not (rule.told and outcome == OK):
        entry = Entry.by(
            found, rule.action, _target(response), outcome=outcome, detail=_detail(rule)
        )
        trail().add(entry)
    return response


def _outcome(response: Response) -> str:
    if response.status_code < 400:
        return OK
    return str(request.environ.get(CODE) or response.status_code)


def _target(response: Response) -> str:
    """Give the run that came of it, or else what the address names."""
    made = response.headers.get("Location", "").rpartition("/runs/")[2]
    if made and "/" not in made and "?" not in made and (request.endpoint or "").endswith("submit"):
        return made
    given = request.view_args or {}
    return str(next((given[key] for key in ("run_id", "name", "token_id") if key in given), ""))


def _detail(rule: Rule) -> dict[str, Any]:
    """Tell the address's other parts, and of the body only what the rule names.

    Arguments of runs may be anybody's secrets; runs have records of their own.
    """
    named = {**(request.view_args or {}), **_given(rule)}
    return {name: _short(value) for name, value in named.items() if value not in (None, "", [])}


def _given(rule: Rule) -> dict[str, JsonValue]:
    """Give what was asked for, wherever it stood: not every view reads what it is sent."""
    if not rule.keeps:
        return {}
    try:
        body = request.get_json(silent=True) if request.is_json else None
        sent: dict[str, list[JsonValue]] = {n: [*found] for n, found in request.values.lists()}
    except HTTPException:  # It is larger than allowed, and nobody has read it.
        return {}
    if isinstance(body, dict):
        sent |= {name: [*sent.get(name, []), value] for name, value in body.items()}
    kept = {name: sent[name] for name in rule.keeps if name in sent}
    return {name: found[0] if len(found) == 1 else found for name, found in kept.items()}


def _short(value: JsonValue, levels: int = MOST_LEVELS) -> JsonValue:
    if isinstance(value, str):
        return value[:LONGEST_VALUE]
    if isinstance(value, list | dict) and not levels:
        return "..."
    if isinstance(value, list):
        more = [f"and {len(value) - LONGEST_LIST} more"] if len(value) > LONGEST_LIST else []
        return [*(_short(each, levels - 1) for each in value[:LONGEST_LIST]), *more]
    if isinstance(value, dict):
        return {name: _short(each, levels - 1) for name, each in value.items()}
    return value
