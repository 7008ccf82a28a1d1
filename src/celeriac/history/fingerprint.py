"""Which failures are the same: a stable hash of what an error says, without what varies by run."""

import re
from hashlib import blake2b

# In this order: a quoted part may hold numbers, an address holds hexadecimal digits.
_VARYING = (
    (
        re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`[^`\n]*`|“[^”\n]*”|«[^»\n]*»"),
        "'…'",
    ),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<mail>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "#"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "#"),
    (re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "#"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"\n]+)", line \d+, in (?P<function>.+)$', re.MULTILINE)
_LIBRARY = re.compile(r"site-packages|dist-packages|[/\\]lib(?:64)?[/\\]python\d|^<")
LONGEST_MESSAGE = 2000


def fingerprint(kind: str, message: str | None, traceback: str | None) -> str:
    """Give 16 hexadecimal digits that the same failure of other runs has too."""
    parts = (kind, general(message or ""), _own_frame(traceback or ""))
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def general(message: str) -> str:
    """Replace numbers, identifiers, addresses and quoted parts by marks."""
    message = message[:LONGEST_MESSAGE]
    for pattern, mark in _VARYING:
        message = pattern.sub(mark, message)
    return message.strip()


def _own_frame(traceback: str) -> str:
    """Name the deepest function that is no library's, without the line: edits move lines."""
    own = [match for match in _FRAME.finditer(traceback) if not _LIBRARY.search(match["file"])]
    if not own:
        return ""
    # The folders above differ between hosts and deployments of the same code.
    file = "/".join(re.split(r"[/\\]", own[-1]["file"])[-2:])
    return f"{file}:{own[-1]['function']}"
