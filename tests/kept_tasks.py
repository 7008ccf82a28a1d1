"""Tasks with secrets and with large values, for the tests of what is kept of them."""

from celery import shared_task
from pydantic import SecretStr


@shared_task(name="kept.login")
def login(user: str, password: str, pin: SecretStr, profile: dict[str, str]) -> list[str]:
    """Give what came through, spelled backwards, so that no secret can be found in the result."""
    given = [user, password, pin if isinstance(pin, str) else pin.get_secret_value()]
    return [each[::-1] for each in [*given, profile["api_key"]]]


@shared_task(name="kept.echo")
def echo(text: str) -> str:
    """Give the text back."""
    return text


@shared_task(name="kept.fail")
def fail(text: str) -> None:
    """Fail with the text."""
    raise ValueError(text)
