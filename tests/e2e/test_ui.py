"""What a person does in the browser with tasks and runs, from the form to the result."""

import re

import pytest
from playwright.sync_api import Page, expect

from mail_server import SmtpServer
from running_stack import RunningStack
from screenshots import shot

ENDS_WITHIN_MS = 60_000
COUNTS_WITHIN_MS = 90_000
"""Counting primes takes as long as the processors are busy with other things."""


def _open_task(page: Page, stack: RunningStack, name: str) -> None:
    page.goto(f"{stack.url}/tasks")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()


def _run(page: Page) -> None:
    page.get_by_role("button", name="Run", exact=True).click()


def _expect_state(page: Page, state: str, within_ms: int = ENDS_WITHIN_MS) -> None:
    """Wait for the state to change on the page that is open, without loading it again."""
    page.evaluate("window.sameDocument = true")
    expect(page.locator(f'#run-head[data-state="{state}"]')).to_be_visible(timeout=within_ms)
    assert page.evaluate("window.sameDocument")


def test_text_reverse_shows_its_result_as_text(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "text.reverse")
    shot(page, "task-text.reverse")
    page.get_by_label("text", exact=False).first.fill("añ👩‍👩‍👧 & <b>")
    _run(page)

    _expect_state(page, "SUCCESS")

    expect(page.locator("#result")).to_contain_text(">b< & 👩‍👩‍👧ña")
    shot(page, "run-text.reverse")


def test_text_sentiment_shows_its_result_as_json(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "text.sentiment")
    page.locator('[name="args.text"]').fill("What a wonderful, happy day!")
    _run(page)

    _expect_state(page, "SUCCESS")

    expect(page.locator("#result")).to_contain_text('"label": "positive"')
    shot(page, "run-text.sentiment")


def test_primes_count_moves_its_bar_and_shows_the_number(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "primes.count")
    page.locator('[name="args.limit"]').fill("600000000")
    _run(page)

    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("value", re.compile(r"[1-9]\d?"), timeout=ENDS_WITHIN_MS)
    shot(page, "run-primes.count-running")

    _expect_state(page, "SUCCESS", COUNTS_WITHIN_MS)
    expect(page.locator("#result")).to_contain_text("31324703")


def test_email_send_sends_a_mail(page: Page, stack: RunningStack, mail: SmtpServer) -> None:
    mail.received.clear()
    _open_task(page, stack, "email.send")
    page.locator('[name="args.to.0"]').fill("ann@example.com")
    page.locator('[name="args.subject"]').fill("Good news")
    page.locator('[name="args.body"]').fill("All is well.\nReally.")
    shot(page, "task-email.send")
    _run(page)

    _expect_state(page, "SUCCESS")

    expect(page.locator("#result")).to_contain_text("ann@example.com")
    assert mail.received[0].message["Subject"] == "Good news"


def test_failed_run_shows_the_servers_words_and_the_traceback(
    page: Page, stack: RunningStack, mail: SmtpServer
) -> None:
    mail.answers["DATA"] = "554 5.7.1 We do not want this"
    try:
        _open_task(page, stack, "email.send")
        page.locator('[name="args.to.0"]').fill("ann@example.com")
        page.locator('[name="args.subject"]').fill("Bad news")
        page.locator('[name="args.body"]').fill("Sorry.")
        _run(page)
        _expect_state(page, "FAILURE")
    finally:
        mail.accept()

    expect(page.locator("#error")).to_contain_text("We do not want this")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.locator("#traceback-text")).to_contain_text("MailRefusedError")
    shot(page, "run-email.send-failed")


def test_running_run_can_be_cancelled(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "primes.count")
    page.locator('[name="args.limit"]').fill("2000000000")
    _run(page)
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("value", re.compile(r"\d"), timeout=ENDS_WITHIN_MS)

    page.get_by_role("button", name="Cancel").click()

    _expect_state(page, "REVOKED")
    shot(page, "run-cancelled")


def test_submit_again_fills_the_form(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "text.reverse")
    page.locator('[name="args.text"]').fill("once more")
    _run(page)
    _expect_state(page, "SUCCESS")

    page.get_by_role("link", name="Edit").click()

    expect(page.locator('[name="args.text"]')).to_have_value("once more")


@pytest.mark.allow_console_error("422")
def test_wrong_input_is_named_beside_the_field_and_kept(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "email.send")
    page.evaluate("document.querySelector('#run-form').noValidate = true")
    page.locator('[name="args.to.0"]').fill("nobody")
    page.locator('[name="args.body"]').fill("I stay.")
    _run(page)

    expect(page.locator("#problems")).to_contain_text("nothing was submitted")
    expect(page.locator('[name="args.to.0"]')).to_have_value("nobody")
    expect(page.locator('[name="args.to.0"]')).to_have_attribute("aria-invalid", "true")
    expect(page.locator('[name="args.subject"]')).to_have_attribute("aria-invalid", "true")
    expect(page.locator('[name="args.body"]')).to_have_value("I stay.")
    shot(page, "task-wrong-input")


def test_runs_page_lists_finds_and_opens_runs(page: Page, stack: RunningStack) -> None:
    for text in ("apple", "banana"):
        _open_task(page, stack, "text.reverse")
        page.locator('[name="args.text"]').fill(text)
        _run(page)
        _expect_state(page, "SUCCESS")
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.get_by_role("heading", level=1, name="Runs")).to_be_visible()
    shot(page, "runs")

    page.goto(f"{stack.url}/runs?q=banana&state=SUCCESS&since=1h")

    expect(page.get_by_role("main")).to_contain_text("banana", timeout=ENDS_WITHIN_MS)
    expect(page.get_by_role("main")).not_to_contain_text("apple")
    page.get_by_role("main").get_by_role("link", name=re.compile("text.reverse")).first.click()
    expect(page.locator("#result")).to_contain_text("ananab")


def test_scheduled_run_starts_by_itself(page: Page, stack: RunningStack) -> None:
    _open_task(page, stack, "text.reverse")
    page.locator('[name="args.text"]').fill("later")
    page.get_by_text("Options", exact=False).first.click()
    page.locator('[name="options.countdown"]').fill("4")
    _run(page)

    expect(page.locator('#run-head[data-state="SCHEDULED"]')).to_be_visible()
    shot(page, "run-scheduled")
    _expect_state(page, "SUCCESS")


def test_keyboard_alone_submits_a_run(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/tasks")
    page.keyboard.press("/")
    page.keyboard.type("reverse")
    expect(page.get_by_role("link", name="text.sentiment", exact=True)).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.type("text.rev")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="text.reverse")).to_be_visible()
    page.locator('[name="args.text"]').focus()
    page.keyboard.type("keys")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/runs/*")

    _expect_state(page, "SUCCESS")

    expect(page.locator("#result")).to_contain_text("syek")


def test_everything_works_without_scripts(new_page, stack: RunningStack) -> None:  # type: ignore[no-untyped-def]
    page = new_page(java_script_enabled=False)
    _open_task(page, stack, "text.reverse")
    page.locator('[name="args.text"]').fill("plain")
    _run(page)

    expect(page.get_by_role("heading", level=1)).to_contain_text("Run")
    for _ in range(20):
        if page.locator('#run-head[data-state="SUCCESS"]').count():
            break
        page.reload()
    expect(page.locator("#result")).to_contain_text("nialp")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_a_desk(  # type: ignore[no-untyped-def]
    new_page, stack: RunningStack, scheme: str
) -> None:
    for size, width in (("phone", 360), ("desk", 1280)):
        page = new_page(viewport={"width": width, "height": 780}, color_scheme=scheme)
        _open_task(page, stack, "text.sentiment")
        page.locator('[name="args.text"]').fill("Fine.")
        _run(page)
        _expect_state(page, "SUCCESS")
        for name, path in (
            ("run", page.url.removeprefix(stack.url)),
            ("tasks", "/tasks"),
            ("runs", "/runs"),
            ("task", "/tasks/email.send"),
            ("docs", "/docs"),
        ):
            page.goto(stack.url + path)
            page.wait_for_load_state("networkidle")
            shot(page, f"{size}-{scheme}-{name}")
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert overflow <= 0, f"{path} is {overflow} px too wide at {width} px"


@pytest.mark.allow_console_error("404")
@pytest.mark.parametrize("path", ["/tasks/no.such", "/runs/no-such", "/no/such/page"])
def test_what_does_not_exist_is_a_helpful_page(page: Page, stack: RunningStack, path: str) -> None:
    answer = page.goto(stack.url + path)

    assert answer is not None and answer.status == 404
    expect(page.get_by_role("main")).to_contain_text("404")
    expect(page.get_by_role("link", name="Tasks").first).to_be_visible()
    shot(page, f"error{path.replace('/', '-')}")


def test_documentation_page_lists_a_typed_operation_for_each_task(
    page: Page, stack: RunningStack
) -> None:
    page.goto(f"{stack.url}/docs")

    for name in ("email.send", "primes.count", "text.reverse", "text.sentiment"):
        expect(page.get_by_text(f"/api/v1/tasks/{name}/runs").first).to_be_visible()


def test_flower_knows_the_worker(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/tasks")

    with page.expect_popup() as opened:
        page.get_by_role("link", name=re.compile("Flower")).click()
    flower = opened.value
    flower.locator("#workers-table tbody tr").filter(has_text="worker1@").wait_for()
    assert flower.url == f"{stack.url}/flower/"


def test_picture_for_the_readme(page: Page, stack: RunningStack) -> None:
    page.set_viewport_size({"width": 1200, "height": 640})
    _open_task(page, stack, "primes.count")
    page.locator('[name="args.limit"]').fill("2000000000")
    _run(page)
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("value", re.compile(r"[1-9]\d"), timeout=COUNTS_WITHIN_MS)

    shot(page, "run", full_page=False)

    page.get_by_role("button", name="Cancel").click()
    _expect_state(page, "REVOKED")
