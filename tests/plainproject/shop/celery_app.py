"""The shop's Celery app, with settings of its own."""

import os

from celery import Celery

app = Celery(
    "shop",
    broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("SHOP_RESULTS", "redis://localhost:6379/1"),
    include=["shop.tasks"],
)

app.conf.update(
    task_time_limit=300,
    task_soft_time_limit=240,
    task_routes={"shop.tasks.import_catalogue": {"queue": "slow"}},
    timezone="Europe/Lisbon",
)
