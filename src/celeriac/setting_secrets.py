"""The secrets that settings hold, in every way in which a text may show them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from celeriac.masking import SHORTEST, know
from celeriac.setting_values import keys_in

WORDS_UP_TO: Final = 12
"""What consists of letters or digits alone and is shorter may be an ordinary word as well: masking
it would garble the log."""
_IN_QUERIES: Final = frozenset({"password", "secret", "token", "sslpassword"})


def secrets_of(settings: BaseSettings) -> dict[str, tuple[str, ...]]:
    """Give every way in which a text may show the secrets of each setting that has any."""
    found = {
        name: tuple(dict.fromkeys(_forms(name, value.get_secret_value())))
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr)
    }
    return {name: forms for name, forms in found.items() if forms}


def know_settings(settings: BaseSettings) -> None:
    """Mask every secret of the settings from now on."""
    know(form for forms in secrets_of(settings).values() for form in forms)


def _forms(name: str, value: str) -> Iterator[str]:
    """Give a secret as it is, and as addresses, JSON, Python, headers and mail servers write it."""
    sent: list[str] = []
    if name == "message_keys":
        secrets = [key.decode() for key in keys_in(value).values()]
    elif name.endswith("_url"):
        parts = urlsplit(value)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        queries = (each for key, each in parse_qsl(parts.query) if key.lower() in _IN_QUERIES)
        secrets = [password, parts.password or "", *queries]
        sent = [password, f"{user}:{password}", f"\0{user}\0{password}"] if password else []
    elif name.endswith("_auth"):
        secrets, sent = [value, value.partition(":")[2]], [value]
    else:
        secrets = [value]
    for secret in filter(_is_telling, secrets):
        yield from (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1])
        yield repr(secret)[1:-1]
    yield from (b64encode(each.encode()).decode() for each in sent if len(each) >= SHORTEST)


def _is_telling(secret: str) -> bool:
    is_word = secret.isalpha() or secret.isdecimal()
    return len(secret) >= (WORDS_UP_TO if is_word else SHORTEST)
