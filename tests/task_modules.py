"""Keeps the tasks of one test module out of the apps of the others.

A shared task is in every Celery app of its process, those included that were made before and that
nobody has collected yet. So the modules named `*_tasks` are imported by apps alone, and they and
the apps are forgotten when the test module is done.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet

from celery import Celery, _state

# What an app without other tasks has. Where all apps have it, it does not matter who came first.
import celeriac.tasks  # noqa: F401

_MODULES = frozenset(path.stem for path in Path(__file__).parent.glob("*_tasks.py"))


def imported_task_modules() -> frozenset[str]:
    """Tell which modules with tasks for tests this process has imported."""
    return _MODULES & sys.modules.keys()


@contextmanager
def own_shared_tasks() -> Iterator[None]:
    """Share tasks with new apps alone, and forget both afterwards: they can be imported again."""
    # The types know of neither.
    finalizers: set[object] = vars(_state)["_on_app_finalizers"]
    apps: WeakSet[Celery] = vars(_state)["_apps"]
    before, apps_before = set(finalizers), WeakSet(apps)
    apps.clear()
    yield
    finalizers.intersection_update(before)
    apps.clear()
    apps.update(apps_before)
    for name in imported_task_modules():
        del sys.modules[name]
