"""A task that is a coroutine is told apart, since one pool alone awaits it."""

from celery import Celery

from celeriac.catalog import Catalog


def test_async_task_is_told_apart_whether_it_is_retried_or_not() -> None:
    app = Celery(set_as_current=False)

    @app.task(name="plain.one")
    def plain() -> int:
        return 1

    @app.task(name="async.one")
    async def one() -> int:
        return 1

    @app.task(name="async.retried", autoretry_for=(OSError,))
    async def retried() -> int:
        return 1

    catalog = Catalog.of(app)
    names = ("plain.one", "async.one", "async.retried")

    assert [catalog.get(name).is_coroutine for name in names] == [False, True, True]
    assert [bool(catalog.get(name).warning) for name in names] == [False, True, True]

    app.conf.worker_pool = "hybrid"
    catalog = Catalog.of(app)
    assert [catalog.get(name).warning for name in names] == [None] * 3
