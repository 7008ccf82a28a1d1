"""Dead letters where messages are signed: which of them are right, and signing them anew.

A letter is signed whenever it is sent again, since its headers tell of that then.
"""

from celery import Celery
from kombu.compression import decompress

from celeriac.runs.letter_boxes import RawLetter
from celeriac.signatures import WRONG, signatures_of


class LetterSignatures:
    """Checks and signs letters, or does neither where messages are not signed."""

    def __init__(self, app: Celery) -> None:
        self._signatures = signatures_of(app)

    @property
    def are_needed(self) -> bool:
        """Tell whether messages are signed."""
        return self._signatures is not None

    def problem_with(self, raw: RawLetter) -> str | None:
        """Tell what is wrong with a letter's signature, or None where nothing is."""
        if self._signatures is None:
            return None
        try:
            body = _body(raw)
        except Exception:  # Each way of compressing has errors of its own.
            return WRONG
        return self._signatures.problem_with(raw.headers, raw.properties, body)

    def signed(self, raw: RawLetter) -> RawLetter:
        """Sign a letter with the first key."""
        if self._signatures is None:
            return raw
        headers = self._signatures.signed(raw.lasting_headers, raw.properties, _body(raw))
        return RawLetter(raw.queue, raw.body, headers, raw.properties)


def _body(raw: RawLetter) -> bytes:
    kind = raw.headers.get("compression")
    return bytes(decompress(raw.body, kind)) if kind else raw.body
