"""What keeps the tasks of one test module out of the apps of the others."""

from importlib import import_module

from celery import Celery

from task_modules import own_shared_tasks


def _app_with_tasks() -> Celery:
    app = Celery("some", set_as_current=False)
    import_module("cancel_tasks")
    app.finalize()
    return app


def test_tasks_are_imported_again_though_an_app_of_before_lives_on() -> None:
    oldest = Celery("oldest", set_as_current=False)
    oldest.finalize()
    with own_shared_tasks():
        before = _app_with_tasks()
    with own_shared_tasks():
        after = _app_with_tasks()

    assert before.tasks["cancel.plain"] is not after.tasks["cancel.plain"]
    assert "cancel.plain" not in oldest.tasks
    assert "cancel.plain" not in Celery("other", set_as_current=False).tasks
