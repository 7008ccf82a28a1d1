"""What a page says of itself: that it no longer hears from the server, and how long ago is."""

import re

import pytest
from playwright.sync_api import Page, expect

from running_stack import RunningStack
from screenshots import shot

SILENT_MS = 25_000
DOWN = "net::ERR_|htmx"
TEN_MINUTES_LATER = "{ const now = Date.now; Date.now = () => now() + 600_000; }"


def _ended(stack: RunningStack) -> str:
    body = {"args": {"text": "abc"}}
    return str(stack.post("/tasks/text.reverse/runs", body, Prefer="wait=20")["id"])


@pytest.mark.parametrize("path", ["/", "/workers"])
def test_page_that_is_not_answered_says_so_and_dims_its_numbers(
    page: Page, stack: RunningStack, path: str
) -> None:
    page.goto(stack.url + path)
    expect(page.locator("[data-live-mark] b")).to_have_text("live")

    page.route("**/*", lambda route: None)
    expect(page.locator("[data-live-mark] b")).to_contain_text("Reconnecting…", timeout=SILENT_MS)
    expect(page.locator("body.stale")).to_be_attached()
    shot(page, f"reconnecting-{path.strip('/') or 'home'}")


@pytest.mark.allow_console_error(DOWN)
def test_page_whose_request_fails_says_so_and_that_it_is_over(
    page: Page, stack: RunningStack
) -> None:
    page.goto(f"{stack.url}/queues")

    page.route("**/queues", lambda route: route.abort())
    expect(page.locator("[data-live-mark] b")).to_contain_text("Reconnecting…", timeout=SILENT_MS)
    page.unroute("**/queues")

    expect(page.locator("[data-live-mark] b")).to_have_text("live", timeout=SILENT_MS)
    expect(page.locator("body.stale")).to_have_count(0)


def test_list_of_runs_that_hears_nothing_says_so(page: Page, stack: RunningStack) -> None:
    _ended(stack)
    page.route("**/runs/changes*", lambda route: None)
    page.goto(f"{stack.url}/runs", wait_until="domcontentloaded")

    expect(page.locator("[data-live-toggle]")).to_have_text("Reconnecting…", timeout=SILENT_MS)
    shot(page, "reconnecting-runs")


def test_times_are_right_after_the_back_button(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/runs/{_ended(stack)}")
    page.goto(f"{stack.url}/tasks")
    page.add_init_script(TEN_MINUTES_LATER)

    page.go_back()

    expect(page.locator(".run-gist time")).to_have_text(re.compile(r"^(9|10) minutes ago$"))
