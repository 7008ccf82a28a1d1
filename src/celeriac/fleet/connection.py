"""The Redis that a Celery app of ours keeps its results in."""

from typing import Any

from celeriac.redis_client import connect


def connect_as(app: Any) -> Any:
    """Give a client of the Redis that a Celery app of ours keeps its results in."""
    url = app.conf.result_backend.removeprefix("celeriac+")
    return connect(f"redis+{url}" if url.startswith("socket://") else url)
