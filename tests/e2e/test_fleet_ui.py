"""The pages of queues and workers in a browser, with the worker of the stack."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from eventually import eventually
from running_stack import RunningStack
from screenshots import shot

NewPage = Callable[..., Page]
FOLLOWS_WITHIN_MS = 20_000
LAST_PRIME = {"limit": 2_000_000_000}


def _submit(stack: RunningStack) -> str:
    return stack.submit("text.reverse", {"text": "abc"}, queue="reports")


def _held_back(stack: RunningStack) -> bool:
    return any("reports" in worker["paused"] for worker in stack.get("/workers")["workers"])


@pytest.fixture
def waiting(stack: RunningStack) -> Iterator[str]:
    """Hold the queue `reports` back with three runs in it; gives one of them."""
    stack.post("/queues/reports/pause")
    eventually(lambda: _held_back(stack), deadline_s=20)
    first, *_ = (_submit(stack) for _ in range(3))
    yield first
    stack.post("/queues/reports/purge", {"confirm": "reports"})
    stack.post("/queues/reports/resume")


def test_queue_is_paused_and_resumed_by_its_button(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/queues")

    page.get_by_role("button", name="Pause reports").click()
    expect(page.locator(".notice[role=status]")).to_contain_text("reports is paused")
    row = page.locator('[data-queue="reports"]')
    expect(row).to_contain_text("Paused")

    page.get_by_role("button", name="Resume reports").click()
    expect(row).to_contain_text("Consumed", timeout=FOLLOWS_WITHIN_MS)


def test_queues_page_follows_what_waits(page: Page, stack: RunningStack, waiting: str) -> None:
    page.goto(f"{stack.url}/queues")
    depth = page.locator('[data-queue="reports"] .depth-number')
    expect(depth).to_have_text("3", timeout=FOLLOWS_WITHIN_MS)

    _submit(stack)

    expect(depth).to_have_text("4", timeout=FOLLOWS_WITHIN_MS)
    expect(page.locator('[data-queue="reports"] [data-spark] polyline')).to_be_attached()
    shot(page, "queues")


def test_purge_waits_for_the_queues_name(page: Page, stack: RunningStack, waiting: str) -> None:
    page.goto(f"{stack.url}/queues")
    page.get_by_role("link", name="Purge reports").click()
    dialog = page.get_by_role("dialog")
    button = dialog.get_by_role("button", name="Purge", exact=True)
    expect(button).to_be_disabled()
    shot(page, "queues-purge", full_page=False)

    dialog.get_by_role("textbox").fill("reports")
    button.click()

    expect(page.locator(".notice[role=status]")).to_contain_text("3 purged from reports")
    page.goto(f"{stack.url}/runs/{waiting}")
    expect(page.locator('#run-head[data-state="REVOKED"]')).to_be_visible()


@pytest.mark.allow_console_error("422")
def test_purge_works_without_scripts(new_page: NewPage, stack: RunningStack, waiting: str) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{stack.url}/queues")
    page.get_by_role("link", name="Purge reports").click()
    page.get_by_role("textbox").fill("report")
    page.get_by_role("button", name="Purge", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was purged")

    page.get_by_role("textbox").fill("reports")
    page.get_by_role("button", name="Purge", exact=True).click()

    expect(page.locator(".notice[role=status]")).to_contain_text("3 purged from reports")


def test_worker_shows_the_run_in_its_slot(page: Page, stack: RunningStack) -> None:
    run_id = stack.submit("primes.count", LAST_PRIME)
    page.goto(f"{stack.url}/workers")
    worker = page.locator("[data-worker]")
    slot = worker.locator(f'.slot-used[href$="{run_id}"]')
    expect(slot).to_be_visible(timeout=FOLLOWS_WITHIN_MS)
    expect(worker).to_contain_text(re.compile("[12] of 2"))
    shot(page, "workers")

    slot.click()

    expect(page).to_have_url(f"{stack.url}/runs/{run_id}")
    stack.post(f"/runs/{run_id}/cancel")


def test_worker_grows_by_its_button(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/workers")
    worker = page.locator("[data-worker]")
    expect(worker).to_contain_text("of 2")

    worker.get_by_role("button", name="Add a slot").click()

    expect(worker).to_contain_text("of 3", timeout=FOLLOWS_WITHIN_MS)
    worker.get_by_role("button", name="Give up a slot").click()
    expect(worker).to_contain_text("of 2", timeout=FOLLOWS_WITHIN_MS)


def test_queue_is_paused_and_resumed_without_scripts(
    new_page: NewPage, stack: RunningStack
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{stack.url}/queues")

    page.get_by_role("button", name="Pause reports").click()
    expect(page.locator(".notice[role=status]")).to_contain_text("reports is paused")
    page.get_by_role("button", name="Resume reports").click()

    expect(page.locator(".notice[role=status]")).to_contain_text("reports is resumed")


def test_messages_of_cancelled_runs_are_told_apart(
    page: Page, stack: RunningStack, waiting: str
) -> None:
    page.goto(f"{stack.url}/queues")
    row = page.locator('[data-queue="reports"]')
    expect(row.locator(".depth-number")).to_have_text("3", timeout=FOLLOWS_WITHIN_MS)

    stack.post(f"/runs/{waiting}/cancel")

    expect(row).to_contain_text("1 of cancelled runs", timeout=FOLLOWS_WITHIN_MS)


def test_purge_can_be_left_alone(page: Page, stack: RunningStack, waiting: str) -> None:
    page.goto(f"{stack.url}/queues")
    page.get_by_role("link", name="Purge reports").click()

    page.get_by_role("dialog").get_by_role("button", name="Keep them").click()

    expect(page.get_by_role("dialog")).to_have_count(0)
    assert stack.get("/queues/reports")["ready"] == 3


@pytest.mark.parametrize("scripts", [True, False])
def test_worker_grows_and_shrinks_on_its_own_page(
    new_page: NewPage, stack: RunningStack, scripts: bool
) -> None:
    (worker,) = (each for each in stack.get("/workers")["workers"] if each["state"] == "online")
    name, slots = worker["name"], worker["concurrency"]
    page = new_page(java_script_enabled=scripts)
    page.goto(f"{stack.url}/workers/{name}")

    for button, expected in (("Add a slot", slots + 1), ("Give up a slot", slots)):
        page.get_by_role("button", name=button).click()
        expect(page.locator(".notice[role=status]")).to_contain_text(name)
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        eventually(lambda n=expected: _slots(stack, name) == n, deadline_s=20)


def _slots(stack: RunningStack, worker: str) -> int:
    return int(stack.get(f"/workers/{worker}")["concurrency"])


def test_worker_has_a_page_of_its_own(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/workers")
    name = page.locator("[data-worker]").get_attribute("data-worker")
    page.get_by_role("link", name=str(name)).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(str(name))
    expect(page.locator("#worker-details")).to_contain_text("prefork")
    page.get_by_text("Shut this worker down").click()
    button = page.get_by_role("button", name="Shut down", exact=True)
    expect(button).to_be_disabled()
    page.get_by_label(f"Type {name} to confirm").fill(f"{name}x")
    expect(button).to_be_disabled()


def test_worker_that_is_shut_down_is_started_again_by_the_stack(
    page: Page, stack: RunningStack
) -> None:
    page.goto(f"{stack.url}/workers")
    before = page.locator("[data-worker]").get_attribute("data-worker")
    started_at = stack.get(f"/workers/{before}")["started_at"]
    page.get_by_role("link", name=str(before)).click()
    page.get_by_text("Shut this worker down").click()
    page.get_by_label(f"Type {before} to confirm").fill(str(before))

    page.get_by_role("button", name="Shut down", exact=True).click()

    expect(page.locator(".notice[role=status]")).to_contain_text("finishes what it executes")
    eventually(
        lambda: any(
            worker["state"] == "online" and worker["started_at"] > started_at
            for worker in stack.get("/workers")["workers"]
        ),
        deadline_s=60,
    )


@pytest.mark.parametrize("path", ["/queues", "/workers"])
def test_page_fits_a_phone(phone: Page, stack: RunningStack, waiting: str, path: str) -> None:
    phone.goto(stack.url + path)
    phone.wait_for_load_state("networkidle")

    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    shot(phone, f"phone{path.replace('/', '-')}")
