"""Commands that start something: everything at once, or one role."""

from typing import Annotated

import typer

from celeriac.cli import options
from celeriac.leaving import leave_at_once
from celeriac.settings import load_settings


def up(
    host: options.Host = None,
    port: options.Port = None,
    flower_port: options.FlowerPort = None,
    workers: options.Workers = None,
    concurrency: options.Concurrency = None,
    data_dir: options.DataDir = None,
    broker: options.Broker = None,
    redis: options.Redis = None,
    app: options.App = None,
) -> None:
    """Start everything: web, workers and Flower, on an embedded Valkey unless told otherwise."""
    from celeriac.stack import Pace
    from celeriac.stack import up as start_stack

    settings = load_settings(
        join_stack=False,
        host=host,
        port=port,
        flower_port=flower_port,
        workers=workers,
        concurrency=concurrency,
        data_dir=data_dir,
        broker_url=broker,
        redis_url=redis,
        app=app,
    )
    raise typer.Exit(start_stack(settings, pace=Pace(grace_s=settings.stop_grace_s)))


def web(
    host: options.Host = None,
    port: options.Port = None,
    broker: options.Broker = None,
    redis: options.Redis = None,
    app: options.App = None,
) -> None:
    """Serve the UI and the HTTP API."""
    from celeriac.runs import Runs
    from celeriac.web import create_app
    from celeriac.web.access.ready import make_ready
    from celeriac.web.gateway import serve

    settings = load_settings(host=host, port=port, broker_url=broker, redis_url=redis, app=app)
    runs = Runs.of(settings)
    web_app = create_app(settings, runs)
    make_ready(settings)
    runs.dead_letters.watch()
    serve(web_app, settings.host, settings.port, grace_s=settings.stop_grace_s)


def worker(
    context: typer.Context,
    name: Annotated[
        str, typer.Option(help="Node name, unique on the host.", envvar="CELERIAC_WORKER_NAME")
    ] = "worker1",
    concurrency: options.Concurrency = None,
    broker: options.Broker = None,
    redis: options.Redis = None,
    app: options.App = None,
) -> None:
    """Run a Celery worker; further options are Celery's own, such as `--pool solo`."""
    from celeriac.worker import run_worker

    settings = load_settings(concurrency=concurrency, broker_url=broker, redis_url=redis, app=app)
    run_worker(settings, name, context.args)


def recorder(
    redis: options.Redis = None,
    data_dir: options.DataDir = None,
) -> None:
    """Keep the history: record what happens to runs."""
    from celeriac.recorder import run_recorder

    run_recorder(load_settings(redis_url=redis, data_dir=data_dir))


def flower(
    context: typer.Context,
    host: options.Host = None,
    flower_port: options.FlowerPort = None,
    broker: options.Broker = None,
    app: options.App = None,
) -> None:
    """Serve Flower for the web; further options are Flower's own, such as `--read_only`."""
    from celeriac.flower import run_flower

    settings = load_settings(host=host, flower_port=flower_port, broker_url=broker, app=app)
    run_flower(settings, context.args)
    # A thread of Flower's that asks a broker which is away would wait until it is back.
    leave_at_once()
