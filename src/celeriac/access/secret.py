"""Texts that open something: made by chance, shown once, kept as a digest alone."""

import hashlib
import secrets

BYTES = 32


def new_secret() -> str:
    """Make one; nobody guesses 256 bits."""
    return secrets.token_urlsafe(BYTES)


def digest_of(secret: str) -> str:
    """Give what is kept of it. No salt and no slow hash: there is nothing to guess by a list."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
