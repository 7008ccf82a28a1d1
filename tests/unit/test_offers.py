"""Pages offer what works for whoever looks at them, and leave out what they would be refused."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest

from access_app import CHEAP, AccessApp, access_app
from celeriac.access import Entry, Role, Scope, passwords
from celeriac.runs import Queue, Runs
from celeriac.settings import load_settings
from celeriac.web.access.gate import may

TASK = "/tasks/text.reverse"
SENDS = 'action="/tasks/text.reverse/runs"'


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccessApp]:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    urls = {"broker_url": "redis://localhost/0", "redis_url": "redis://localhost/1"}
    catalog = Runs.of(load_settings(join_stack=False, **urls)).catalog
    queues = SimpleNamespace(all=lambda: [Queue(name="fast"), Queue(name="slow")])
    letters = SimpleNamespace(known_counts=None)
    runs = SimpleNamespace(catalog=catalog, queues=queues, dead_letters=letters)
    with access_app(tmp_path, runs) as found:
        yield found


def _page(web: AccessApp, path: str, role: Role, scope: Scope | None = None) -> str:
    web.add("ada", role, scope)
    return str(web.signed_in("ada").get(path).text)


def test_task_within_reach_can_be_run(web: AccessApp) -> None:
    assert SENDS in _page(web, TASK, Role.OPERATOR, Scope(tasks=("text.*",)))


def test_task_beyond_reach_has_no_button(web: AccessApp) -> None:
    page = _page(web, TASK, Role.OPERATOR, Scope(tasks=("mail.*",)))

    assert SENDS not in page
    assert "It is not among the tasks that you may run." in page


def test_viewer_is_told_of_the_role(web: AccessApp) -> None:
    assert "You are viewer, so you cannot run it." in _page(web, TASK, Role.VIEWER)


@pytest.mark.parametrize(
    ("scope", "offered"),
    [
        (Scope(), {"fast", "slow"}),
        (Scope(queues=("fast",)), {"fast"}),
        (Scope(tasks=("text.*",)), set()),
        (Scope(tasks=("text.*",), queues=("fast",)), set()),
    ],
    ids=["everything", "a queue", "tasks", "both"],
)
def test_queue_within_reach_can_be_paused(web: AccessApp, scope: Scope, offered: set[str]) -> None:
    page = _page(web, "/queues", Role.OPERATOR, scope)

    assert {
        name for name in ("fast", "slow") if f'action="/queues/{name}/pause"' in page
    } == offered


def test_run_beyond_reach_is_not_offered_to_be_changed(web: AccessApp) -> None:
    web.add("ada", Role.OPERATOR, Scope(tasks=("text.*",), queues=("fast",)))
    asked = ("pages.cancel", "run_list.act", "fleet.change_worker", "admin.users")
    found: list[list[bool]] = []

    def tell() -> str:
        for task, queue in (("text.reverse", "fast"), ("text.reverse", "slow"), ("mail", "fast")):
            found.append([may(each, task=task, queue=queue) for each in asked])
        return ""

    web.app.view_functions["pages.tasks"] = tell
    web.signed_in("ada").get("/tasks")

    assert found == [[True, False, False, False], [False] * 4, [False] * 4]


def test_call_for_the_shell_shows_a_token_where_people_sign_in(web: AccessApp) -> None:
    page = _page(web, TASK, Role.OPERATOR)

    assert "-H &#34;Authorization: Bearer $CELERIAC_TOKEN&#34;" in page


def test_audit_trail_shows_a_filter_as_it_was_sent(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    detail = {"filter": '{"task": ["a"]}', "all": True}
    web.access.audit.record([Entry("eve", "password", "runs.act", detail=detail)])

    page = unescape(web.signed_in("ada").get("/admin/audit").text)

    assert 'filter <code>{"task": ["a"]}</code> all <code>true</code>' in page
