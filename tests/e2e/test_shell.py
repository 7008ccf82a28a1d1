"""What every page has, and the pages that stand apart: rail, palette, theme, API docs, errors."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from eventually import eventually
from running_stack import RunningStack

NewPage = Callable[..., Page]
PAGES = {
    "Home": "/",
    "Tasks": "/tasks",
    "Runs": "/runs",
    "Queues": "/queues",
    "Workers": "/workers",
}


@pytest.mark.parametrize("scripts", [True, False])
def test_rail_leads_to_every_page(new_page: NewPage, stack: RunningStack, scripts: bool) -> None:
    page = new_page(java_script_enabled=scripts)
    page.goto(f"{stack.url}/docs")

    for name, path in PAGES.items():
        page.locator(".rail").get_by_role("link", name=name, exact=True).click()
        page.wait_for_url(stack.url + path)
        expect(page.locator(f'.rail a[href="{path}"][aria-current]')).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_theme_is_chosen_and_kept(page: Page, stack: RunningStack) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"{stack.url}/tasks")
    button = page.locator("[data-theme-toggle]")
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    expect(page.locator("[data-theme-word]")).to_have_text("System")

    while page.locator("[data-theme-word]").inner_text() != "Dark":
        button.click()

    dark = page.evaluate(shade)
    assert dark != light
    page.goto(f"{stack.url}/runs")
    assert page.evaluate(shade) == dark


def test_palette_finds_a_run_by_its_identifier(page: Page, stack: RunningStack) -> None:
    run_id = stack.submit("text.reverse", {"text": "abc"})
    page.goto(f"{stack.url}/tasks")
    page.get_by_role("button", name="Go to…").first.click()

    page.keyboard.type(run_id)
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{stack.url}/runs/{run_id}")


def test_documentation_page_submits_a_run(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/docs")
    operation = page.locator(".opblock", has_text="/api/v1/tasks/text.reverse/runs")
    operation.locator(".opblock-summary-control").click()
    operation.locator("textarea").first.fill('{"args": {"text": "by the docs"}}')

    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table")).to_contain_text("202", timeout=20_000)
    found = eventually(lambda: stack.get("/runs?q=by+the+docs")["runs"], deadline_s=20)
    assert found[0]["args"] == {"text": "by the docs"}


def test_documentation_page_without_scripts_leads_to_the_document(
    new_page: NewPage, stack: RunningStack
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{stack.url}/docs")
    expect(page.get_by_role("main")).to_contain_text("This page needs scripts")

    answer = page.request.get(
        stack.url + (page.get_by_role("link", name="openapi.json").get_attribute("href") or "")
    )

    assert answer.json()["openapi"].startswith("3.1")


@pytest.mark.allow_console_error("404")
@pytest.mark.parametrize(
    ("path", "near", "heading"),
    [
        ("/tasks/text.revers", "text.reverse", "text.reverse"),
        ("/queues/report", "reports", "Queues"),
    ],
)
def test_mistyped_name_leads_to_what_was_meant(
    page: Page, stack: RunningStack, path: str, near: str, heading: str
) -> None:
    page.goto(stack.url + path)

    page.get_by_role("main").get_by_role("link", name=near, exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
