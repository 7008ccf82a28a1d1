"""How things look wherever they appear: states, the rail's entries, advice beside errors, text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask, request
from markupsafe import Markup, escape

from celeriac.runs import RunState
from celeriac.web import assets


@dataclass(frozen=True)
class StateLook:
    """One word, one icon and one colour (a CSS class) of a state."""

    word: str
    icon: str
    css: str


STATES: Final = {
    RunState.PENDING: StateLook("Pending", "circle-dashed", "pending"),
    RunState.SCHEDULED: StateLook("Scheduled", "clock-hour-4", "scheduled"),
    RunState.STARTED: StateLook("Started", "loader-2", "started"),
    RunState.RETRY: StateLook("Retry", "rotate-clockwise", "retry"),
    RunState.SUCCESS: StateLook("Success", "circle-check", "success"),
    RunState.FAILURE: StateLook("Failure", "circle-x", "failure"),
    RunState.REVOKED: StateLook("Revoked", "ban", "revoked"),
    RunState.DEAD: StateLook("Dead", "skull", "dead"),
}


@dataclass(frozen=True)
class Entry:
    """One entry of the rail; pages below `path`, and those below `also`, belong to it.

    `in_new_tab` is for what has another look and no way back; `is_rare` puts it under "More" where
    there is no room for all; `counts_letters` has the number of dead letters beside it.
    """

    label: str
    icon: str
    path: str
    in_new_tab: bool = False
    also: tuple[str, ...] = ()
    is_rare: bool = False
    counts_letters: bool = False


RAIL: Final = (
    Entry("Home", "home", "/"),
    Entry("Tasks", "list-details", "/tasks"),
    Entry("Runs", "activity", "/runs"),
    Entry("Queues", "stack-2", "/queues"),
    Entry("Workers", "server-2", "/workers"),
    Entry("Dead letters", "skull", "/dead-letters", is_rare=True, counts_letters=True),
    Entry("API docs", "api", "/docs", is_rare=True),
    Entry("Flower", "flower", "/flower/", in_new_tab=True, is_rare=True),
)


@dataclass(frozen=True)
class RailLink:
    """An entry as it is drawn on one page; `current` is its `aria-current`."""

    label: str
    icon: str
    href: str
    in_new_tab: bool
    is_rare: bool
    counts_letters: bool
    current: str


def rail() -> Iterator[RailLink]:
    """Yield the rail's links, the page that is open marked."""
    for entry in RAIL:
        yield RailLink(
            label=entry.label,
            icon=entry.icon,
            href=request.script_root + entry.path,
            in_new_tab=entry.in_new_tab,
            is_rare=entry.is_rare,
            counts_letters=entry.counts_letters,
            current=_current(entry),
        )


def _current(entry: Entry) -> str:
    if request.path == entry.path:
        return "page"
    inside = any(request.path.startswith(f"{path}/") for path in (entry.path, *entry.also))
    return "true" if inside else ""


@dataclass(frozen=True)
class Advice:
    """What an error page says besides the error: what it cost, and what to do."""

    lost: str
    remedy: str


_ADVICE: Final = {
    "broker_unavailable": Advice(
        "Nothing was submitted or cancelled, and nothing that waits was lost.",
        "Check that RabbitMQ runs and is not blocked by an alarm, then submit again.",
    ),
    "unconfirmed": Advice(
        "Most likely nothing was submitted; nothing that waits was lost.",
        "Look whether the run named above exists before you submit again.",
    ),
    "history_unavailable": Advice(
        "Runs go on without it; what happens meanwhile is recorded when it is back.",
        "Check that the database of CELERIAC_HISTORY_URL runs, or that the disk is not full.",
    ),
    "results_unavailable": Advice(
        "Runs go on without it; what they report is stored when it is back.",
        "Check that Redis runs, then reload this page.",
    ),
    "unknown_task": Advice(
        "Nothing was submitted.",
        "Look for it in the catalog. Was it renamed, or is its module missing from CELERIAC_TASKS?",
    ),
    "unknown_queue": Advice(
        "Nothing was changed.",
        "A queue is known while a task is routed to it, CELERIAC_QUEUES names it, or a worker "
        "consumes it.",
    ),
    "unknown_worker": Advice(
        "Nothing was changed.",
        "A worker stays known for a day after its last heartbeat. Start one: celeriac worker",
    ),
    "worker_refused": Advice(
        "The worker goes on as before.", "Look at its page for how it is now."
    ),
    "cross_site": Advice("Nothing was changed.", "Whoever sent you here cannot act in your name."),
    "stale_form": Advice(
        "Nothing was submitted and nothing was cancelled.",
        "Go back, copy what you would not like to type again, and reload that page.",
    ),
    "flower_unavailable": Advice(
        "Runs go on, and all other pages work without it.",
        "Start it: celeriac flower. On a laptop, celeriac up starts everything. Where it runs on "
        "another machine, CELERIAC_FLOWER_URL names it to the web.",
    ),
    "run_not_found": Advice(
        "Nothing was changed. The history keeps each run that ended for some time "
        "(CELERIAC_HISTORY_DAYS); then it is forgotten.",
        "Check the identifier. The task can be submitted again from its page.",
    ),
}
_ADVICE_BY_STATUS: Final = {
    400: Advice(
        "Nothing was submitted.", "Go back: your input is still there. Check it, then try again."
    ),
    403: Advice(
        "Nothing was changed.", "Go on with what you may do; your name leads to your page."
    ),
    404: Advice("Nothing was changed.", "Check the address, or start from the catalog."),
    413: Advice("Nothing was submitted.", "Send less, or raise CELERIAC_MAX_BODY_BYTES."),
    429: Advice("Nothing was changed.", "Wait as long as it says, then try again."),
    503: Advice("Nothing was changed.", "Try again in a few seconds."),
}
_ADVICE_OTHERWISE: Final = Advice(
    "Runs that were accepted are not affected.",
    "Try again. If it stays, the web server's log has the details.",
)


def advice(code: str, status: int) -> Advice:
    """Give what a person should know about an error besides its own words."""
    return _ADVICE.get(code) or _ADVICE_BY_STATUS.get(status, _ADVICE_OTHERWISE)


def short_id(identifier: str) -> str:
    """Shorten an identifier; a UUIDv7 begins with the time, so its end tells neighbours apart."""
    return identifier if len(identifier) <= 16 else f"{identifier[:6]}…{identifier[-6:]}"


def duration_words(seconds: float | None) -> str:
    """Write a duration at a precision that fits its size; `static/js/times.js` writes the same."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def duration_short(seconds: float) -> str:
    """Write a limit or a delay: whole units where they are whole."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


def now() -> datetime:
    """Give the instant at which a page is drawn; scripts compare their own clock with it."""
    return datetime.now(UTC)


def encodable(value: Any) -> Any:
    """Write half a surrogate pair, which JSON can hold and no page can, as its escape."""
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return type(value)(value.encode(errors="backslashreplace").decode())
    return value


# Each alternative takes all it can and never gives back, so the work grows with the text alone.
_TOKEN: Final = re.compile(
    r'(?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+"?)'
    r"|(?P<number>-?\d[\d.eE+-]*+)|(?P<word>true|false|null)",
    re.DOTALL,
)


def json_html(text: str) -> Markup:
    """Colour JSON text, which must be whole."""
    parts: list[str] = []
    position = 0
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        kind = "key" if text.startswith(":", end) else token.lastgroup
        parts += [
            escape(text[position:start]),
            f'<span class="json-{kind}">{escape(token.group())}</span>',
        ]
        position = end
    # Every part is either escaped or a tag of ours.
    return Markup("".join([*parts, escape(text[position:])]))  # noqa: S704


def prose(text: str) -> Markup:
    """Set a docstring: paragraphs, indented blocks as they are, and `code` in backticks."""
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    return Markup("\n").join(_block(block) for block in blocks if block.strip())


def _block(block: str) -> Markup:
    if block.startswith(("    ", "\t", ">>> ")):
        return Markup("<pre>{}</pre>").format(block)
    return Markup("<p>{}</p>").format(code_words(block))


def code_words(text: str) -> Markup:
    """Set what stands between backticks as code; markup stays what it is."""
    if isinstance(text, Markup):
        return text
    pieces = re.split(r"``?([^`\n]+)``?", text)
    return Markup().join(
        Markup("<code>{}</code>").format(piece) if n % 2 else escape(piece)
        for n, piece in enumerate(pieces)
    )


def install(app: Flask) -> None:
    """Give the app's templates what they all use."""
    app.jinja_env.finalize = encodable
    app.jinja_env.filters.update(
        short_id=short_id,
        duration=duration_words,
        duration_short=duration_short,
        prose=prose,
        thousands="{:,}".format,
        code_words=code_words,
    )
    app.jinja_env.globals.update(
        asset_url=assets.url, sprite=assets.sprite, rail=rail, advice=advice, now=now
    )
