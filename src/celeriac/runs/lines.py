"""The lines of a batch, as they are read: one submission each, as JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from celeriac.catalog.arguments import problems_of
from celeriac.errors import InvalidInputError, LineError, LineTooLongError
from celeriac.runs.options import SubmitOptions
from celeriac.runs.strict_json import strict_loads

SKIPPED_BYTES = 64 * 1024
UTF_8_MARK = b"\xef\xbb\xbf"


class BatchLine(BaseModel):
    """One submission of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    args: dict[str, JsonValue] = {}
    options: SubmitOptions = SubmitOptions()
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Line:
    """One line: its number, the first being 1, and its bytes, or None where they are too many."""

    number: int
    text: bytes | None
    limit_bytes: int

    @property
    def size_bytes(self) -> int:
        """Give how much memory it needs."""
        return len(self.text or b"")

    @property
    def is_blank(self) -> bool:
        """Tell whether there is nothing in it."""
        return self.text is not None and not self.text.strip()

    def body(self) -> BatchLine:
        """Read the line.

        Raises:
            LineTooLongError: it has more bytes than it may.
            LineError: it is no JSON.
            InvalidInputError: it is no submission; each problem is named by a pointer.
        """
        if self.text is None:
            raise LineTooLongError(self.limit_bytes)
        given = _parsed(self.text)
        try:
            return BatchLine.model_validate(given)
        except ValidationError as error:
            raise InvalidInputError(problems_of(error, given)) from None


class Lines:
    """Reads lines from a file, never more than the longest line at once."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._limit_bytes = limit_bytes

    def __iter__(self) -> Iterator[Line]:
        number = 0
        while text := self._file.readline(self._limit_bytes + 1):
            number += 1
            is_too_long = len(text) > self._limit_bytes and not text.endswith(b"\n")
            if is_too_long:
                self._skip_rest()
            if number == 1:
                text = text.removeprefix(UTF_8_MARK)
            yield Line(number, None if is_too_long else text, self._limit_bytes)

    def _skip_rest(self) -> None:
        while (text := self._file.readline(SKIPPED_BYTES)) and not text.endswith(b"\n"):
            pass


def _parsed(text: bytes) -> Any:
    try:
        return strict_loads(text.decode())
    except UnicodeDecodeError:
        raise LineError("The line is not UTF-8; nothing was submitted.") from None
    except ValueError as error:
        raise LineError(f"The line is no JSON: {error}. Nothing was submitted.") from None
