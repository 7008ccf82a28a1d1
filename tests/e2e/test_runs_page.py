"""The list of runs: filters, saved filters, selection by mouse and keys, actions on many runs."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from axe import grave_violations
from eventually import eventually
from running_stack import RunningStack
from screenshots import shot

SOON_MS = 15_000
FAILING = "chatty.failing"
NewPage = Callable[..., Page]


def _submit(stack: RunningStack, tag: str, count: int, task: str = "", **options: Any) -> list[str]:
    """Submit runs that wait for an hour, or those of a task."""
    args = {} if task else {"text": f"run of {tag}"}
    given = options or ({} if task else {"countdown": 3600})
    name = task or "text.reverse"
    return [stack.submit(name, args, tags=[tag], **given) for _ in range(count)]


def _states(stack: RunningStack, tag: str) -> list[str]:
    return [run["state"] for run in stack.get(f"/runs?tag={tag}&limit=200")["runs"]]


def _open(page: Page, stack: RunningStack, tag: str, count: int, more: str = "") -> None:
    eventually(lambda: len(_states(stack, tag)) == count, deadline_s=20)
    page.goto(f"{stack.url}/runs?tag={tag}{more}")
    expect(page.locator(".run-row")).to_have_count(min(count, 50))


def _picks(page: Page) -> list[bool]:
    return [box.is_checked() for box in page.locator(".run-pick input").all()]


def test_list_follows_what_happens_and_can_be_paused(page: Page, stack: RunningStack) -> None:
    _submit(stack, "live", 1)
    _open(page, stack, "live", 1)
    expect(page.locator('[data-live-toggle][data-mark="on"]')).to_be_visible()
    page.evaluate("window.sameDocument = true")

    _submit(stack, "live", 2)
    expect(page.locator(".run-row")).to_have_count(3, timeout=SOON_MS)
    expect(page.locator(".runs-total")).to_contain_text("3 runs")
    assert page.evaluate("window.sameDocument")

    page.locator("body").press("p")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    _submit(stack, "live", 1)
    eventually(lambda: len(_states(stack, "live")) == 4)
    page.wait_for_timeout(3000)  # Longer than a list that follows would need.
    expect(page.locator(".run-row")).to_have_count(3)

    page.locator("body").press("p")
    expect(page.locator(".run-row")).to_have_count(4, timeout=SOON_MS)


def test_quiet_list_asks_for_nothing(page: Page, stack: RunningStack) -> None:
    _submit(stack, "quiet", 1)
    _open(page, stack, "quiet", 1, more="&task=text.reverse")
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.endswith("/dead-letters/count.json"):  # Of the menu, not of the list.
            asked.append(request.url)

    page.on("request", note)

    def is_quiet() -> bool:
        asked.clear()
        page.wait_for_timeout(4000)
        return not asked

    eventually(is_quiet, deadline_s=60)  # The page has seen the last of what happened before.
    _submit(stack, "other", 3, task=FAILING)
    page.wait_for_timeout(4000)

    assert asked == []


def test_filter_is_saved_renamed_opened_and_removed(page: Page, stack: RunningStack) -> None:
    page.goto(f"{stack.url}/runs?task=email.send&state=FAILURE")
    menu = page.locator("[data-saved]")
    menu.locator("summary").press("Enter")
    menu.get_by_label("Name for this filter").fill("Mail that failed")
    page.keyboard.press("Enter")
    expect(menu.locator("summary")).to_have_text("Mail that failed")
    shot(page, "runs-saved")

    page.goto(f"{stack.url}/runs")
    expect(menu.locator("summary")).to_have_text("Saved filters")
    menu.locator("summary").click()
    menu.get_by_role("link", name="Mail that failed").click()
    page.wait_for_url(re.compile("task=email.send"))
    expect(page.locator("#state-failure")).to_have_attribute("aria-current", "true")

    menu.locator("summary").click()
    menu.get_by_role("button", name="Rename Mail that failed").click()
    page.keyboard.type("Broken mail")
    page.keyboard.press("Enter")
    expect(menu.get_by_role("link", name="Broken mail")).to_be_visible()
    menu.get_by_role("button", name="Remove Broken mail").click()
    expect(menu.get_by_role("link")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(menu.locator(".saved-panel")).to_be_hidden()


def test_rows_are_selected_by_mouse_and_by_keys(page: Page, stack: RunningStack) -> None:
    _submit(stack, "pick", 6)
    _open(page, stack, "pick", 6)
    boxes = page.locator(".run-pick input")

    boxes.nth(1).click()
    boxes.nth(3).click(modifiers=["Shift"])
    assert _picks(page) == [False, True, True, True, False, False]
    expect(page.locator(".runs-total")).to_contain_text("3 selected")
    expect(page.locator("#act-cancel")).to_have_text("Cancel 3…")

    page.keyboard.press("Escape")
    assert not any(_picks(page))
    page.reload()
    page.locator("body").press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    assert _picks(page) == [False, True, True, True, False, False]
    page.keyboard.press("a")
    assert all(_picks(page))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    shot(page, "runs-keys", full_page=False)
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


def test_selection_stays_while_the_list_changes(page: Page, stack: RunningStack) -> None:
    _submit(stack, "stays", 3)
    _open(page, stack, "stays", 3)
    page.locator(".run-pick input").first.click()

    _submit(stack, "stays", 1)

    expect(page.locator(".run-row")).to_have_count(4, timeout=SOON_MS)
    assert _picks(page) == [False, True, False, False]
    expect(page.locator("#act-cancel")).to_have_text("Cancel 1…")


def test_selected_runs_are_cancelled(page: Page, stack: RunningStack) -> None:
    _submit(stack, "some", 4)
    _open(page, stack, "some", 4)
    page.locator(".run-pick input").nth(0).click()
    page.locator(".run-pick input").nth(2).click()

    page.locator("#act-cancel").click()
    dialog = page.locator("#bulk")
    expect(dialog).to_contain_text("Cancel 2 runs?")
    expect(dialog).to_contain_text("The runs that you selected.")
    assert not grave_violations(page)
    dialog.get_by_role("button", name="Cancel", exact=True).click()

    expect(dialog.locator("h2")).to_have_text("Cancelled 2 runs", timeout=SOON_MS)
    shot(page, "runs-cancelled", full_page=False)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#act-cancel")).to_have_text("Cancel all…")


def test_many_runs_need_a_typed_number_and_can_be_stopped_on_the_way(
    page: Page, stack: RunningStack
) -> None:
    _submit(stack, "many", 110, task=FAILING)
    eventually(lambda: _states(stack, "many") == ["FAILURE"] * 110, deadline_s=60)
    page.goto(f"{stack.url}/runs?tag=many")
    page.locator("[data-pick-all]").click()
    page.get_by_role("button", name="Select all 110 runs that match").click()
    expect(page.locator("#act-resubmit")).to_have_text("Resubmit all…")

    page.locator("#act-resubmit").click()
    dialog = page.locator("#bulk")
    start = dialog.get_by_role("button", name="Resubmit", exact=True)
    expect(dialog).to_contain_text("Resubmit 110 runs?")
    expect(start).to_be_disabled()
    dialog.get_by_label("Type 110 to confirm").fill("109")
    expect(start).to_be_disabled()
    dialog.get_by_label("Type 110 to confirm").fill("110")
    dialog.get_by_label("At most").fill("5")
    shot(page, "runs-ask", full_page=False)
    start.click()

    expect(dialog.locator("[data-bulk-numbers]")).to_contain_text(
        re.compile(r"^[1-9]\d* of 110"), timeout=SOON_MS
    )
    assert 0 < float(dialog.locator("progress").get_attribute("value") or 0) < 110
    shot(page, "runs-progress", full_page=False)
    dialog.get_by_role("button", name="Stop").click()
    expect(dialog).to_contain_text("You stopped it.")
    made = int(re.sub(r"\D", "", dialog.locator("h2").inner_text()))

    assert 0 < made < 110
    dialog.get_by_role("button", name="Close").click()
    wanted = {"tag": ["many"], "state": ["REVOKED"]}
    counted = stack.post("/runs/resubmit", {"filter": wanted, "dry_run": True})
    assert counted == {"matched": 0, "capped": False}


def test_tag_is_typed_into_the_filter_bar(page: Page, stack: RunningStack) -> None:
    _submit(stack, "typed-in", 2)
    _submit(stack, "not-typed", 1)
    _open(page, stack, "not-typed", 1)
    page.goto(f"{stack.url}/runs")
    field = page.get_by_role("combobox", name="Tag")

    field.fill("typed-in")
    field.press("Enter")

    page.wait_for_url("**/runs?tag=typed-in")
    expect(page.locator(".run-row")).to_have_count(2, timeout=SOON_MS)


def test_nothing_to_cancel_says_so(page: Page, stack: RunningStack) -> None:
    _submit(stack, "ended", 1, task=FAILING)
    eventually(lambda: _states(stack, "ended") == ["FAILURE"], deadline_s=30)
    page.goto(f"{stack.url}/runs?tag=ended")

    page.locator("#act-cancel").click()

    expect(page.locator("#bulk")).to_contain_text("All of these runs have ended.")
    page.keyboard.press("Escape")
    expect(page.locator("#bulk")).to_be_hidden()


def test_actions_work_without_scripts(new_page: NewPage, stack: RunningStack) -> None:
    _submit(stack, "plain", 3)
    page = new_page(java_script_enabled=False)
    _open(page, stack, "plain", 3)
    page.locator(".run-pick input").nth(1).check()
    page.locator("#act-cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 1 run?")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancelled 1 run")
    page.get_by_role("link", name="Back to the runs").click()

    page.locator("#act-cancel").click()

    expect(page.get_by_role("main")).to_contain_text("Tag: plain")
    page.get_by_role("link", name="Keep them").click()
    expect(page).to_have_url(re.compile(r"/runs\?tag=plain$"))


def test_all_that_match_are_cancelled(page: Page, stack: RunningStack) -> None:
    _submit(stack, "every", 3)
    _open(page, stack, "every", 3)

    page.locator("#act-cancel").click()
    dialog = page.locator("#bulk")
    expect(dialog).to_contain_text("All that match: Tag: every.")
    dialog.get_by_role("button", name="Cancel", exact=True).click()

    expect(dialog.locator("h2")).to_have_text("Cancelled 3 runs", timeout=SOON_MS)
    eventually(lambda: _states(stack, "every") == ["REVOKED"] * 3, deadline_s=30)


def test_selected_runs_are_resubmitted(page: Page, stack: RunningStack) -> None:
    first, _ = _submit(stack, "again", 2, task=FAILING)
    eventually(lambda: _states(stack, "again") == ["FAILURE"] * 2, deadline_s=30)
    _open(page, stack, "again", 2)
    page.locator(f'[id="pick-{first}"]').click()

    page.locator("#act-resubmit").click()
    page.locator("#bulk").get_by_role("button", name="Resubmit", exact=True).click()

    expect(page.locator("#bulk h2")).to_have_text("Resubmitted 1 run", timeout=SOON_MS)
    page.locator("#bulk").get_by_role("button", name="Close").click()
    expect(page.locator(".run-again")).to_have_count(1, timeout=SOON_MS)
    assert page.locator(".run-again").get_attribute("href") == f"/runs/{first}"


def test_many_runs_are_resubmitted_without_scripts_after_a_typed_number(
    new_page: NewPage, stack: RunningStack
) -> None:
    _submit(stack, "typed", 101, task=FAILING)
    eventually(lambda: _states(stack, "typed") == ["FAILURE"] * 101, deadline_s=60)
    page = new_page(java_script_enabled=False)
    page.goto(f"{stack.url}/runs?tag=typed")
    page.locator("#act-resubmit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Resubmit 101 runs?")
    page.get_by_label("Type 101 to confirm").fill("101")

    page.get_by_role("button", name="Resubmit", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Resubmitted 101 runs")


def test_filters_are_put_together_and_removed_one_by_one(page: Page, stack: RunningStack) -> None:
    _submit(stack, "chips", 1, task=FAILING)
    _submit(stack, "chips", 2)
    eventually(lambda: _states(stack, "chips").count("FAILURE") == 1, deadline_s=30)
    _open(page, stack, "chips", 3)

    page.locator("#state-failure").click()
    expect(page.locator(".run-row")).to_have_count(1)
    page.get_by_label("Task", exact=True).select_option(FAILING)
    page.wait_for_url("**task=chatty.failing*")
    page.get_by_label("Time range").select_option("1h")
    page.wait_for_url("**since=1h*")
    page.get_by_label("Text in arguments, result or error").first.fill("no luck")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=no+luck*")
    expect(page.locator(".run-row")).to_have_count(1)

    page.locator(".chip-remove", has_text="Text").click()
    page.wait_for_url(lambda url: "q=" not in url)
    expect(page.locator(".chip-remove")).to_have_count(3)
    page.get_by_role("link", name="Clear all").click()
    page.wait_for_url("**/runs")


@pytest.mark.parametrize("scripts", [True, False])
def test_pages_of_the_list_lead_to_older_runs_and_back(
    new_page: NewPage, stack: RunningStack, scripts: bool
) -> None:
    tag = f"pages-{scripts}"
    made = _submit(stack, tag, 52)
    page = new_page(java_script_enabled=scripts)
    _open(page, stack, tag, 52)

    page.get_by_role("link", name="Older").click()
    expect(page.locator(".run-row")).to_have_count(2)
    expect(page.locator(f'[id="row-{made[0]}"]')).to_be_visible()
    page.get_by_role("link", name="Newest").click()

    expect(page.locator(".run-row")).to_have_count(50)


def test_filter_is_sent_without_scripts(new_page: NewPage, stack: RunningStack) -> None:
    _submit(stack, "sent", 2)
    eventually(lambda: len(_states(stack, "sent")) == 2, deadline_s=20)
    page = new_page(java_script_enabled=False)
    page.goto(f"{stack.url}/runs")
    page.get_by_label("Tag").fill("sent")
    page.get_by_label("Time range").select_option("1h")

    page.get_by_role("button", name="Filter").click()

    expect(page.locator(".run-row")).to_have_count(2)
    expect(page.locator(".chip-remove")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_list_with_all_of_it_is_accessible_and_fits_a_phone(
    new_page: NewPage, stack: RunningStack, scheme: str
) -> None:
    tag = f"fits-{scheme}"
    first = _submit(stack, tag, 2, task=FAILING)[0]
    stack.post(f"/runs/{first}/resubmit", {})
    _submit(stack, tag, 2)
    for name, width in (("desk", 1280), ("phone", 360)):
        page = new_page(viewport={"width": width, "height": 760}, color_scheme=scheme)
        _open(page, stack, tag, 5)
        page.locator("[data-pick-all]").click()
        page.locator("[data-saved] summary").click()
        shot(page, f"runs-{name}-{scheme}")

        assert not grave_violations(page)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
