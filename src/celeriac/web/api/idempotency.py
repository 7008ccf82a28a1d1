"""The header `Idempotency-Key`: a text in quotes (RFC 8941); one without them is taken, too."""

import re
from typing import Final

from flask import request

from celeriac.errors import InvalidKeyError

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
# An item of Structured Fields may have parameters, none of which means anything here.
_PARAMETERS: Final = r"(?:\s*;\s*[a-z*][a-z0-9_.*-]*(?:=[^\s;,]+)?)*"
_QUOTED: Final = re.compile(rf'"((?:[ !#-\[\]-~]|\\["\\])*)"{_PARAMETERS}')
_BARE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~:/=@]+")


def requested_key() -> str | None:
    """Give the key of the current request, if it has one.

    Raises:
        InvalidKeyError: the header is malformed.
    """
    given = request.headers.get(HEADER)
    return None if given is None else _key_of(given.strip())


def _key_of(given: str) -> str:
    if quoted := _QUOTED.fullmatch(given):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(given):
        return given
    raise InvalidKeyError(
        f'{HEADER} is one text in double quotes, such as "5b3c8a1e-0f4d-4c55-9d0a-6a2b7e1f3c90".'
    )
