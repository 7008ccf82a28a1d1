"""The addresses that a test's processes use."""

from typing import NamedTuple


class Services(NamedTuple):
    """A broker and a result backend that hold nothing yet."""

    broker_url: str
    redis_url: str
