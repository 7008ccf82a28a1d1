"""Flower in a browser that has signed in: its tables fill, and its buttons do what one may."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from access_app import PASSWORD, ROOT
from axe import grave_violations
from celeriac.access import Access, Role
from eventually import eventually
from processes import free_port
from running_stack import RunningStack, running_stack
from screenshots import shot
from web_process import running_web
from worker_process import CHATTY_ENVIRONMENT

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run `celeriac up` where everybody has to sign in."""
    environment = {**CHATTY_ENVIRONMENT, "CELERIAC_AUTHENTICATION": "on"}
    with running_stack(tmp_path_factory.mktemp("flower"), environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def access(stack: RunningStack) -> Iterator[Access]:
    """Open the users of the stack, one of each role."""
    access = Access(f"sqlite:///{stack.data_dir}/history.db")
    for role in Role:
        access.users.add(ROOT, f"{role}-f", role)
        access.users.set_password(ROOT, f"{role}-f", PASSWORD)
    yield access
    access.close()


def _sign_in(page: Page, stack: RunningStack, role: Role, then: str) -> None:
    page.goto(stack.url + then)
    page.get_by_label("Name").fill(f"{role}-f")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(stack.url + then)


def _submitted(page: Page, stack: RunningStack, path: Path) -> str:
    """Submit a run that waits for a file, and give its identifier."""
    page.goto(f"{stack.url}/tasks/chatty.until")
    page.locator('[name="args.path"]').fill(str(path))
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator('#run-head[data-state="STARTED"]').wait_for()
    return page.url.rpartition("/")[2]


@pytest.mark.allow_console_error("403")
def test_viewer_sees_workers_and_tasks_and_an_operator_revokes_one(
    new_page: NewPage, stack: RunningStack, access: Access, tmp_path: Path
) -> None:
    theirs = new_page()
    _sign_in(theirs, stack, Role.OPERATOR, "/tasks")
    run_id = _submitted(theirs, stack, tmp_path / "never")

    page = new_page()
    _sign_in(page, stack, Role.VIEWER, "/workers")
    with page.expect_popup() as opened:
        page.get_by_role("link", name=re.compile("Flower")).click()
    flower = opened.value
    worker = flower.locator("#workers-table tbody tr").filter(has_text="worker1@")
    expect(worker).to_contain_text("Online")
    shot(flower, "flower/workers")
    worker.get_by_role("link").first.click()
    expect(flower.locator("#workername")).to_contain_text("worker1@")
    shot(flower, "flower/worker")
    flower.get_by_role("link", name="Tasks", exact=True).first.click()
    row = flower.locator("#tasks-table tbody tr").filter(has_text="chatty.until")
    expect(row).to_contain_text("STARTED")
    shot(flower, "flower/tasks")
    flower.goto(f"{stack.url}/flower/task/{run_id}")
    flower.get_by_role("button", name="Terminate").click()
    expect(flower.get_by_role("alert")).to_contain_text("This asks for the role operator")
    shot(flower, "flower/refused")

    theirs.goto(f"{stack.url}/flower/task/{run_id}")
    theirs.get_by_role("button", name="Terminate").click()
    expect(theirs.get_by_role("status")).to_contain_text("Revoked")
    theirs.goto(f"{stack.url}/runs/{run_id}")
    theirs.locator('#run-head[data-state="REVOKED"]').wait_for()

    def told() -> list[tuple[str, str]]:
        entries = access.audit.find().entries
        return [
            (e.actor, e.outcome) for e in entries if (e.action, e.target) == ("run.cancel", run_id)
        ]

    eventually(lambda: told() == [("operator-f", "ok"), ("viewer-f", "forbidden")], deadline_s=20)


def test_flower_itself_opens_to_nobody_without_its_password(stack: RunningStack) -> None:
    for path in ("/flower/", "/flower/api/workers", "/flower/metrics"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(stack.flower_url + path, timeout=30)
        with caught.value as error:
            assert error.code == 401, path


def test_password_of_flower_is_told_to_nobody(stack: RunningStack) -> None:
    password = (stack.data_dir / "flower.password").read_text().strip()

    assert len(password) >= 32
    assert password not in stack.log
    assert password not in (stack.data_dir / "stack.env").read_text()
    for process in stack.processes():
        assert password not in " ".join(process.cmdline())


@pytest.mark.allow_console_error("503")
def test_page_of_a_flower_that_is_away_says_what_to_do(
    page: Page, stack: RunningStack, tmp_path: Path
) -> None:
    away = {"CELERIAC_FLOWER_URL": f"http://127.0.0.1:{free_port()}"}
    with running_web(tmp_path, stack.broker_url, stack.broker_url, away) as web:
        page.goto(f"http://127.0.0.1:{web.port}/flower/")
        expect(page.get_by_role("heading", name="Flower is away")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("celeriac flower")
        assert not grave_violations(page)
        shot(page, "flower/away")
