"""The page of dead letters: what they died of, replay, and discard after a typed word."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import NewPage
from eventually import eventually
from foreign_client import publish
from running_stack import RunningStack
from screenshots import shot

COMES_MS = 30_000
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def letters(stack: RunningStack, page: Page) -> str:
    """Leave three letters of two groups, and none of an earlier test; gives the page's address."""
    address = f"{stack.url}/dead-letters"
    page.goto(address)
    if page.locator(".letter").count():
        _discard(page, page.locator(".letters-all"))
    for task in ("billing.charge", "billing.charge", "reports.monthly"):
        publish(stack.broker_url, task, amount=12, customer="Ann")
    publish(stack.broker_url, None, b"{no json")
    eventually(lambda: page.goto(address) and page.locator(".letter").count() == 4, deadline_s=30)
    return address


def _discard(page: Page, part: object) -> None:
    part.locator("summary", has_text="Discard").first.click()  # type: ignore[attr-defined]
    field = part.locator("input[name=confirm]").first  # type: ignore[attr-defined]
    field.fill("discard")
    field.press("Enter")
    page.locator(".notice[role=status]").wait_for()


def test_letters_are_grouped_by_what_they_died_of(page: Page, letters: str) -> None:
    first = page.locator(".letters-group").first

    expect(first.locator("h2")).to_have_text("billing.charge")
    expect(first.locator(".letters-count")).to_have_text("2")
    expect(first).to_contain_text("NotRegistered")
    shot(page, "dead-letters")
    first.locator(".letter summary").first.click()
    expect(first.locator(".letter pre").first).to_contain_text("Ann")
    shot(page, "dead-letters-open")


def test_group_is_discarded_once_the_word_is_typed(page: Page, letters: str) -> None:
    group = page.locator(".letters-group").first
    group.locator(".letters-head summary").click()
    button = group.locator(".letters-head .letters-confirm button")
    expect(button).to_be_disabled()
    shot(page, "dead-letters-discard")

    group.locator(".letters-head input[name=confirm]").fill("discard")
    button.click()

    expect(page.locator(".notice[role=status]")).to_contain_text("2 letters were discarded")
    expect(page.locator(".letter")).to_have_count(2)


def test_replayed_letter_goes_back_to_its_queue(page: Page, letters: str) -> None:
    page.locator(".letters-group", has_text="reports.monthly").get_by_role(
        "button", name="Replay this letter"
    ).click()

    expect(page.locator(".notice[role=status]")).to_contain_text("1 letter was replayed")


def test_run_tells_that_it_is_among_the_dead_letters(page: Page, letters: str) -> None:
    page.locator(".letters-group", has_text="reports.monthly").get_by_role(
        "link", name="Run"
    ).click()

    expect(page.locator("#run-head")).to_contain_text("Dead")
    shot(page, "dead-run")
    page.get_by_role("main").get_by_role("link", name="dead letters").click()
    expect(page).to_have_url(letters)


def test_group_is_replayed_once_it_was_asked_with_progress(page: Page, letters: str) -> None:
    group = page.locator(".letters-group", has_text="billing.charge")
    group.get_by_role("button", name="Replay 2… letters of billing.charge").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Replay 2 letters?")
    expect(dialog).to_contain_text("billing.charge in the queue celery_see (NotRegistered)")
    expect(dialog).not_to_contain_text(re.compile(r"\bruns\b"))
    shot(page, "dead-letters-replay")

    dialog.get_by_role("button", name="Replay").click()

    expect(dialog.get_by_role("heading")).to_have_text("Replayed 2 letters", timeout=COMES_MS)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".letters-group", has_text="reports.monthly")).to_be_visible()


def test_replay_keeps_its_rate_and_is_stopped(page: Page, letters: str) -> None:
    page.get_by_role("button", name="Replay all… dead letters").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Replay 4 letters?")
    dialog.get_by_label("At most").fill("0.1")
    dialog.get_by_role("button", name="Replay").click()
    expect(dialog.locator("[data-letters-numbers]")).to_have_text(
        "1 of 4 letters replayed", timeout=COMES_MS
    )
    shot(page, "dead-letters-replaying")

    dialog.get_by_role("button", name="Stop").click()

    expect(dialog.get_by_role("heading")).to_have_text("Replayed 1 letter")
    expect(dialog).to_contain_text("You stopped it.")


def test_page_without_scripts_asks_too(new_page: NewPage, letters: str) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(letters)
    page.get_by_role("button", name="Replay all… dead letters").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Replay 4 letters?")
    shot(page, "dead-letters-question")

    page.get_by_role("main").get_by_role("button", name="Replay").click()

    expect(page.locator(".notice[role=status]")).to_contain_text("4 letters were replayed")


def test_new_letters_are_told_and_shown_when_asked_for(
    page: Page, stack: RunningStack, letters: str
) -> None:
    page.goto(letters)
    publish(stack.broker_url, "newcomer.task")

    news = page.locator("#letters-news")
    expect(news).to_contain_text("1 new letter", timeout=COMES_MS)
    shot(page, "dead-letters-news")
    news.get_by_role("link", name="Show it").click()

    expect(page.locator(".letters-group", has_text="newcomer.task")).to_be_visible()
    expect(news).to_be_hidden()
    expect(page.locator(".letter")).to_have_count(5)


def test_menu_and_home_tell_how_many_there_are(
    page: Page, phone: Page, stack: RunningStack, letters: str
) -> None:
    page.goto(stack.url)
    entry = page.get_by_role("link", name=re.compile(r"Dead letters\s+4\s+waiting"))
    expect(entry).to_be_visible(timeout=COMES_MS)
    expect(page.locator("#letters")).to_contain_text("4 dead letters wait for somebody")
    shot(page, "home-dead-letters")
    phone.goto(stack.url)
    expect(phone.get_by_role("button", name=re.compile(r"More\s+4\s+waiting"))).to_be_visible()
    shot(phone, "home-dead-letters-phone")

    publish(stack.broker_url, "newcomer.task")

    expect(entry).to_have_count(0, timeout=COMES_MS)
    expect(page.locator(".rail-count")).to_have_text("5 waiting")
    expect(page.locator("#letters")).to_contain_text("5 dead letters", timeout=COMES_MS)
    page.get_by_role("link", name="Look at them").click()
    expect(page).to_have_url(letters)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(new_page: object, letters: str, scheme: str) -> None:
    page: Page = new_page(color_scheme=scheme)  # type: ignore[operator]
    page.goto(letters)
    page.locator(".letter summary").first.click()
    page.evaluate(AXE.read_text(encoding="utf-8"))

    violations = page.evaluate("axe.run()")["violations"]

    shot(page, f"dead-letters-{scheme}")
    assert not [each["help"] for each in violations if each["impact"] in ("serious", "critical")]


def test_page_fits_a_phone(phone: Page, letters: str) -> None:
    phone.goto(letters)

    shot(phone, "dead-letters-phone")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
