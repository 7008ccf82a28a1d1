"""Which arguments a task declares as secret: `SecretStr`, or anything that is `writeOnly`."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import BaseModel


def secrets_of(model: type[BaseModel]) -> frozenset[str]:
    """Give the names of secret fields at any depth."""
    with suppress(Exception):  # A type may bring code of its own that makes its schema.
        return frozenset(_secret_names(model.model_json_schema()))
    return frozenset()


def _secret_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from (name for name, schema in properties.items() if _is_secret(schema))
        for item in node.values():
            yield from _secret_names(item)
    elif isinstance(node, list):
        for item in node:
            yield from _secret_names(item)


def _is_secret(schema: Any) -> bool:
    """Tell whether a field is a secret, may be one, or is a list of them."""
    if not isinstance(schema, dict):
        return False
    inner = [schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return bool(schema.get("writeOnly")) or any(map(_is_secret, inner))
