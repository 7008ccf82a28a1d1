"""Lines that runs log, as rows: what an event tells, and where a line stands among its run's.

The place of an event in the stream becomes one number that sorts alike, so that a replay is known,
and a line of the history and the same line out of the stream are known to be one.
"""

from celeriac.events import Event
from celeriac.history import values
from celeriac.history.instants import microseconds
from celeriac.history.row import LogRow

_BITS = 20
_MOST = (1 << _BITS) - 1
_LARGEST = (1 << 63) - 1


def line_of(event: Event) -> LogRow:
    """Read an event of kind `log`."""
    data = values.mapping(event.data)
    return LogRow(
        seq=_number(event),
        at=event.at,
        level=values.name(data.get("level")) or "INFO",
        logger=values.name(data.get("logger")),
        text=values.text(data.get("text")) or "",
        attempt=values.number(data.get("attempt")),
    )


def number_of(entry_id: str) -> int | None:
    """Give the number of an identifier `milliseconds-number`; None where it is none."""
    milliseconds, _, number = entry_id.partition("-")
    if not (milliseconds.isdecimal() and number.isdecimal()):
        return None
    return _joined(int(milliseconds), int(number))


def entry_id_of(number: int) -> str:
    """Give the identifier of a number."""
    return f"{number >> _BITS}-{number & _MOST}"


def _number(event: Event) -> int:
    """Number a line; an event without a place is numbered by its time."""
    number = number_of(event.id or "")
    return _joined(*divmod(microseconds(event.at), 1000)) if number is None else number


def _joined(milliseconds: int, number: int) -> int:
    return (milliseconds << _BITS | min(number, _MOST)) & _LARGEST
