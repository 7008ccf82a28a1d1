"""Keeps secrets out of all that a process prints or logs.

Our own words never show any. But libraries quote addresses in their errors, and so may a team's
tasks. So each line of a log, whoever writes it, and all that is printed goes by here once more.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

MASK: Final = "***"
SHORTEST: Final = 8
"""What is shorter may be an ordinary word as well; in addresses it is masked all the same."""
MOST_FORMS: Final = 256
_IN_ADDRESS: Final = re.compile(r"://([^\s/@:\"']*):(?!\*+@)[^\s/@]+@")
_SIGNS: Final = (
    ("cel_", re.compile(r"\b(cel_[0-9a-f]{12}_)[A-Za-z0-9_-]{20,}")),
    ("/welcome/", re.compile(r"(/welcome/)[A-Za-z0-9_-]{20,}")),
    ("ession=", re.compile(r"(celeriac[_-]session=)[^\s;,'\"]+")),
    ("earer ", re.compile(r"\b([Bb]earer )[A-Za-z0-9._~+/=-]{8,}")),
    ("asic ", re.compile(r"\b([Bb]asic )[A-Za-z0-9+/]{8,}={0,2}")),
)
"""What opens doors without being a setting, and a piece of text that tells cheaply of it."""
_known: dict[str, None] = {}
_hidden: tuple[str, ...] = ()
_format = logging.Handler.format


def know(secrets: Iterable[str]) -> None:
    """Mask these from now on, in whatever `masked` is asked about."""
    global _hidden
    for secret in secrets:
        _known.pop(secret, None)
        _known[secret] = None
    for oldest in list(_known)[:-MOST_FORMS]:
        del _known[oldest]
    # One may begin as another does, so the longest go first.
    _hidden = tuple(sorted(_known, key=len, reverse=True))


def know_options(options: Iterable[str]) -> None:
    """Mask what options of a command, such as Flower's `--basic_auth=ann:secret`, name as one."""
    for option in options:
        name, _, value = option.partition("=")
        if re.search("auth|secret|password", name):
            passwords = (pair.partition(":")[2] for pair in value.split(","))
            know(each for each in (value, *passwords) if len(each) >= SHORTEST)


def masked(text: str) -> str:
    """Give a text without the secrets that are known, and without passwords in addresses."""
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, MASK)
    return _IN_ADDRESS.sub(rf"://\1:{MASK}@", text) if "://" in text else text


def masked_record(text: str) -> str:
    """Give the text of a log, also without tokens, links, cookies and headers that open doors."""
    text = masked(text)
    for sign, pattern in _SIGNS:
        if sign in text:
            text = pattern.sub(rf"\1{MASK}", text)
    return text


def mask_outputs() -> None:
    """Mask all that this process prints or logs from now on."""
    logging.Handler.format = _format_masked  # type: ignore[method-assign, assignment]
    # Celery prints its banner on those that Python keeps aside.
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskedStream):
            setattr(sys, name, MaskedStream(stream))


class MaskedStream:
    """A text stream that masks what is written to it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def write(self, text: str) -> int:
        """Write a text without secrets; gives how long it was."""
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)


def _format_masked(handler: logging.Handler, record: logging.LogRecord) -> str:
    return masked_record(_format(handler, record))
