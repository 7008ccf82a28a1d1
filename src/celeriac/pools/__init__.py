"""Celery's pools, under their own names, with what a worker needs to stop well; and ours."""

from celery import concurrency

from celeriac.pools.threads import leave_threads_behind

__all__ = ["leave_threads_behind", "use_finishing_pools"]

POOLS = {
    "prefork": "celeriac.pools.prefork:TaskPool",
    "processes": "celeriac.pools.prefork:TaskPool",
    "threads": "celeriac.pools.threads:TaskPool",
    "hybrid": "celeriac.pools.hybrid:TaskPool",
}


def use_finishing_pools() -> None:
    """Have workers of this process use our pools where they ask for Celery's."""
    aliases: dict[str, str | None] = vars(concurrency)["ALIASES"]
    aliases.update(POOLS)
