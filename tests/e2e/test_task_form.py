"""A task's form in the browser: options, rows of lists, snippets; and the catalog before it."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from mail_server import SmtpServer
from running_stack import RunningStack

ENDS_WITHIN_MS = 60_000
NewPage = Callable[..., Page]


def _expect_end(page: Page, state: str = "SUCCESS") -> None:
    expect(page.locator(f'#run-head[data-state="{state}"]')).to_be_visible(timeout=ENDS_WITHIN_MS)


def _open(page: Page, stack: RunningStack, task: str, query: str = "") -> None:
    page.goto(f"{stack.url}/tasks/{task}{query}")


def _run(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()


def test_options_of_the_form_are_those_of_the_run(page: Page, stack: RunningStack) -> None:
    _open(page, stack, "text.reverse")
    page.locator('[name="args.text"]').fill("abc")
    page.get_by_text("Options", exact=False).first.click()
    page.locator('[name="options.queue"]').fill("reports")
    page.locator('[name="options.priority"]').fill("7")
    tags = page.locator('fieldset[id="f-options.tags"]')
    for number, tag in enumerate(("from-a-form", "second")):
        tags.get_by_role("button", name="Add a row").click()
        page.locator(f'[name="options.tags.{number}"]').fill(tag)
    _run(page)

    _expect_end(page)
    details = page.locator("#place")
    for words in ("reports", "7", "from-a-form", "second"):
        expect(details).to_contain_text(words)
    details.get_by_role("link", name="from-a-form").click()
    page.wait_for_url("**/runs?tag=from-a-form")


def test_rows_of_a_list_are_added_and_removed(
    page: Page, stack: RunningStack, mail: SmtpServer
) -> None:
    mail.received.clear()
    _open(page, stack, "email.send")
    page.locator('[name="args.to.0"]').fill("ann@example.com")
    receivers = page.locator('fieldset[id="f-args.to"]')
    for number, name in enumerate(("bob", "eve"), start=1):
        receivers.get_by_role("button", name="Add a row").click()
        page.locator(f'[name="args.to.{number}"]').fill(f"{name}@example.com")
    receivers.get_by_role("button", name="Remove this row").nth(1).click()
    page.locator('[name="args.subject"]').fill("Rows")
    page.locator('[name="args.body"]').fill("Text")
    _run(page)

    _expect_end(page)
    assert mail.received[0].recipients == ("ann@example.com", "eve@example.com")


def test_rows_of_a_list_are_filled_without_scripts(
    new_page: NewPage, stack: RunningStack, mail: SmtpServer
) -> None:
    mail.received.clear()
    page = new_page(java_script_enabled=False)
    _open(page, stack, "email.send")
    for number, name in enumerate(("ann", "bob")):
        page.locator(f'[name="args.to.{number}"]').fill(f"{name}@example.com")
    page.locator('[name="args.subject"]').fill("Rows")
    page.locator('[name="args.body"]').fill("Text")
    _run(page)

    page.wait_for_url("**/runs/*")
    run_id = page.url.rpartition("/")[2]
    stack.wait_for(run_id)
    assert mail.received[0].recipients == ("ann@example.com", "bob@example.com")


def test_snippets_follow_the_form(page: Page, stack: RunningStack) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    _open(page, stack, "text.reverse")

    page.locator('[name="args.text"]').fill("told elsewhere")

    expect(page.locator(".snippet-http")).to_contain_text("told elsewhere")
    page.locator("label[for=tab-cli]").click()
    shown = page.locator(".snippet-cli")
    expect(shown).to_contain_text("celeriac submit text.reverse")
    shown.get_by_role("button").click()
    expect(page.locator("#toast")).to_have_text("Copied")
    assert "told elsewhere" in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("scripts", [True, False])
def test_edited_input_makes_a_run_that_leads_back(
    new_page: NewPage, stack: RunningStack, scripts: bool
) -> None:
    first = stack.submit("text.reverse", {"text": "before"}, tags=["kept"])
    stack.wait_for(first)
    page = new_page(java_script_enabled=scripts)
    page.goto(f"{stack.url}/runs/{first}")
    page.get_by_role("link", name="Edit").click()
    field = page.locator('[name="args.text"]')
    expect(field).to_have_value("before")

    field.fill("after")
    _run(page)

    page.wait_for_url(lambda url: "/runs/" in url and first not in url)
    made = stack.wait_for(page.url.rpartition("/")[2])
    assert (made["result"], made["resubmit_of"], made["tags"]) == ("retfa", first, ["kept"])


@pytest.mark.parametrize("scripts", [True, False])
def test_catalog_is_filtered_by_words(
    new_page: NewPage, stack: RunningStack, scripts: bool
) -> None:
    page = new_page(java_script_enabled=scripts)
    page.goto(f"{stack.url}/tasks")
    page.get_by_label("Filter tasks").fill("plain-text mail")
    if not scripts:
        page.get_by_role("button", name="Filter").click()

    rows = page.locator(".task-row:not([hidden])")
    expect(rows).to_have_count(1)
    expect(page.locator("[data-filter-count]")).to_have_text(re.compile(r"^1 of \d+$"))
    rows.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("email.send")


def test_filter_that_finds_no_task_says_so(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/tasks?q=no-such-words")
    expect(page.get_by_role("main")).to_contain_text("No task matches")

    page.get_by_role("link", name="Show all tasks").click()

    expect(page.locator(".task-row:not([hidden])").first).to_be_visible()
