"""A run's page in the browser: its timeline, its log as it comes, its relatives."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, expect

from axe import grave_violations
from eventually import eventually
from running_stack import RunningStack
from screenshots import shot

ENDS_WITHIN_MS = 60_000
IS_AT_END = "e => e.scrollTop + e.clientHeight >= e.scrollHeight - 24"


def _ended(stack: RunningStack, task: str, **args: Any) -> str:
    run_id = stack.submit(task, args)
    eventually(lambda: stack.get(f"/runs/{run_id}")["finished_at"], deadline_s=30)
    attempts = f"/runs/{run_id}/attempts"
    eventually(lambda: stack.get(attempts)["attempts"][-1]["finished_at"], deadline_s=30)
    return run_id


def _expect_end(page: Page, state: str = "SUCCESS") -> None:
    expect(page.locator(f'#run-head[data-state="{state}"]')).to_be_visible(timeout=ENDS_WITHIN_MS)


def test_lines_are_added_while_the_run_goes_on(
    page: Page, stack: RunningStack, tmp_path: Path
) -> None:
    run_id = stack.submit("chatty.until", {"path": str(tmp_path / "go")})
    page.goto(f"{stack.url}/runs/{run_id}")
    lines = page.locator(".log-line")
    expect(lines).to_have_count(1, timeout=ENDS_WITHIN_MS)
    page.evaluate("document.querySelector('.log-line').keptNode = true")

    (tmp_path / "go").touch()

    expect(lines).to_have_count(2, timeout=ENDS_WITHIN_MS)
    _expect_end(page)
    expect(lines.last).to_contain_text("found it")
    assert page.evaluate("document.querySelector('.log-line').keptNode"), "drawn again"


def test_log_follows_its_end_unless_somebody_reads(
    page: Page, stack: RunningStack, tmp_path: Path
) -> None:
    run_id = stack.submit("chatty.steadily", {"path": str(tmp_path / "enough")})
    page.goto(f"{stack.url}/runs/{run_id}")
    log = page.locator("#log-lines")
    expect(page.get_by_text("steady line 60", exact=True)).to_be_attached(timeout=ENDS_WITHIN_MS)
    eventually(lambda: log.evaluate(IS_AT_END))

    log.evaluate("e => { e.scrollTop = 0 }")
    expect(page.locator("#log-follow")).to_be_visible(timeout=ENDS_WITHIN_MS)
    assert log.evaluate("e => e.scrollTop") == 0
    page.locator("#log-follow").click()
    (tmp_path / "enough").touch()

    _expect_end(page)
    written = stack.get(f"/runs/{run_id}")["result"]
    expect(page.locator("#log-count")).to_have_text(str(written))
    eventually(lambda: log.evaluate(IS_AT_END))


def test_lines_are_filtered_by_level_and_text(page: Page, stack: RunningStack) -> None:
    run_id = _ended(stack, "chatty.every_way")
    page.goto(f"{stack.url}/runs/{run_id}")
    lines = page.locator(".log-line")
    visible = page.locator(".log-line:not([hidden])")
    expect(visible).to_have_count(4)
    shot(page, "run-log")

    page.get_by_label("Least level").select_option("Errors")
    expect(visible).to_have_count(1)
    expect(page.locator("#log-count")).to_have_text("1 of 4")

    page.get_by_label("Least level").select_option("All levels")
    page.get_by_label("Filter lines").fill("PLAIN logger")
    expect(visible).to_have_count(1)
    expect(visible.first).to_contain_text("añ👩 <b>")
    page.get_by_label("Filter lines").fill("nowhere")
    expect(page.get_by_text("No line matches.")).to_be_visible()
    expect(lines).to_have_count(4)


def test_log_is_downloaded_as_text(page: Page, stack: RunningStack) -> None:
    run_id = _ended(stack, "chatty.many", lines=3)
    page.goto(f"{stack.url}/runs/{run_id}")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()

    text = download.value.path().read_text()
    assert download.value.suggested_filename == f"run-{run_id}.log"
    assert [line.split(": ", 1)[1] for line in text.splitlines()] == ["line 0", "line 1", "line 2"]


def test_timeline_shows_each_attempt_and_the_wait_between(page: Page, stack: RunningStack) -> None:
    run_id = _ended(stack, "chatty.retried", countdown=1)

    page.goto(f"{stack.url}/runs/{run_id}")

    names = page.locator("#timeline .span-name")
    expect(names).to_have_text(
        [
            *("Submitted", "Waited in the queue", "Attempt 1: Retry"),
            *("Waited to be tried again", "Attempt 2: Success", "Finished"),
        ]
    )
    bars = page.locator("#timeline rect")
    ends = bars.evaluate_all(
        "all => all.map(b => [+b.getAttribute('x'), +b.getAttribute('width')])"
    )
    assert all(x >= 0 and x + width <= 1000.1 for x, width in ends)
    run = stack.get(f"/runs/{run_id}")
    begin, end = (datetime.fromisoformat(run[n]) for n in ("submitted_at", "finished_at"))
    waited_s = ends[2][1] / 1000 * (end - begin).total_seconds()
    assert waited_s > 0.5, "it waited a second for its second attempt"
    expect(page.locator(".log-attempt")).to_have_text("Attempt 2")
    shot(page, "run-retried")


def test_children_appear_while_the_page_is_open(page: Page, stack: RunningStack) -> None:
    run_id = stack.submit("chatty.family", {"children": 3})
    page.goto(f"{stack.url}/runs/{run_id}")

    relatives = page.locator("#lineage")
    children = relatives.get_by_role("link").filter(has_text="chatty.many")
    expect(children).to_have_count(3, timeout=ENDS_WITHIN_MS)
    shot(page, "run-family")
    children.first.click()

    expect(relatives).to_contain_text("Parent")
    expect(relatives.get_by_role("link").filter(has_text="chatty.family")).to_have_count(1)


def test_next_run_of_a_chain_appears_after_this_one_has_ended(
    page: Page, stack: RunningStack, tmp_path: Path
) -> None:
    starter = _ended(stack, "chatty.chained", path=str(tmp_path / "go"))
    first = stack.get(f"/runs/{starter}")["result"]
    eventually(lambda: stack.get(f"/runs/{first}")["started_at"], deadline_s=20)
    page.goto(f"{stack.url}/runs/{first}")
    (tmp_path / "go").touch()
    _expect_end(page)

    child = page.locator("#lineage .outcomes")

    expect(child).to_contain_text("chatty.many", timeout=ENDS_WITHIN_MS)


def test_copied_lines_are_those_that_are_shown(page: Page, stack: RunningStack) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run_id = _ended(stack, "chatty.many", lines=12)
    page.goto(f"{stack.url}/runs/{run_id}")
    page.get_by_label("Filter lines").fill("line 1")

    page.get_by_role("button", name="Copy the lines shown").click()

    expect(page.locator("#toast")).to_have_text("Copied")
    lines = str(page.evaluate("navigator.clipboard.readText()")).split("\n")
    assert [line.split(" INFO ")[1] for line in lines] == ["line 1", "line 10", "line 11"]


def test_resubmit_leads_to_a_new_run_that_names_the_old(page: Page, stack: RunningStack) -> None:
    run_id = _ended(stack, "chatty.many", lines=2)
    page.goto(f"{stack.url}/runs/{run_id}")

    page.get_by_role("button", name="Resubmit").click()
    page.wait_for_url(lambda url: "/runs/" in url and run_id not in url)

    _expect_end(page)
    expect(page.locator("#lineage")).to_contain_text("Resubmitted from")


def test_buttons_of_a_run_work_without_scripts(new_page: Any, stack: RunningStack) -> None:
    page = new_page(java_script_enabled=False)
    waiting = stack.submit("text.reverse", {"text": "abc"}, countdown=3600)
    page.goto(f"{stack.url}/runs/{waiting}")
    page.get_by_role("button", name="Cancel").click()
    assert stack.wait_for(waiting)["state"] == "REVOKED"
    expect(page.locator('#run-head[data-state="REVOKED"]')).to_be_visible()

    page.get_by_role("button", name="Resubmit").click()

    page.wait_for_url(lambda url: "/runs/" in url and waiting not in url)
    assert stack.wait_for(page.url.rpartition("/")[2])["resubmit_of"] == waiting


def test_identifier_is_copied_whole(page: Page, stack: RunningStack) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run_id = _ended(stack, "chatty.many", lines=1)
    page.goto(f"{stack.url}/runs/{run_id}")

    page.get_by_role("button", name="Copy the whole identifier").first.click()

    expect(page.locator("#toast")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == run_id


def test_run_leads_to_its_queue_and_its_worker(page: Page, stack: RunningStack) -> None:
    run_id = _ended(stack, "chatty.many", lines=1)
    page.goto(f"{stack.url}/runs/{run_id}")
    worker = stack.get(f"/runs/{run_id}")["worker"]

    page.locator("#place").get_by_role("link", name=worker).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(worker)
    page.go_back()
    page.locator("#place").get_by_role("link", name="celery_see").click()

    page.wait_for_url("**/queues#queue-celery_see")


def test_json_is_shown_as_it_is_now(page: Page, stack: RunningStack, tmp_path: Path) -> None:
    run_id = stack.submit("chatty.until", {"path": str(tmp_path / "go")})
    page.goto(f"{stack.url}/runs/{run_id}")
    expect(page.locator('#run-head[data-state="STARTED"]')).to_be_visible(timeout=ENDS_WITHIN_MS)
    (tmp_path / "go").touch()
    _expect_end(page)

    page.locator("#raw > summary").click()

    expect(page.locator("#raw-text")).to_contain_text('"state": "SUCCESS"')


def test_page_tells_all_without_scripts(new_page: Any, stack: RunningStack) -> None:
    page = new_page(java_script_enabled=False)
    run_id = _ended(stack, "chatty.every_way")

    page.goto(f"{stack.url}/runs/{run_id}")

    expect(page.locator(".log-line")).to_have_count(4)
    expect(page.locator("#timeline .span-name").nth(2)).to_contain_text("Attempt 1")
    expect(page.get_by_role("link", name="Download the log")).to_be_visible()
    expect(page.get_by_label("Filter lines")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone_and_a_desk_and_is_accessible(
    new_page: Any, stack: RunningStack, scheme: str
) -> None:
    run_ids = {
        "retried": _ended(stack, "chatty.retried", countdown=1),
        "log": _ended(stack, "chatty.every_way"),
        "family": _ended(stack, "chatty.family", children=4),
        "failed": _ended(stack, "chatty.failing"),
    }
    for size, width in (("phone", 360), ("desk", 1280)):
        page = new_page(viewport={"width": width, "height": 780}, color_scheme=scheme)
        for name, run_id in run_ids.items():
            page.goto(f"{stack.url}/runs/{run_id}")
            page.wait_for_load_state("networkidle")
            shot(page, f"run-page/{size}-{scheme}-{name}")
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert overflow <= 0, f"{name} is {overflow} px too wide at {width} px"
            assert not grave_violations(page)


def test_poison_that_is_replayed_shows_it_on_the_open_page(
    page: Page, stack: RunningStack, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    run_id = stack.submit("chatty.poison", {"gate": str(gate)})
    page.goto(f"{stack.url}/runs/{run_id}")
    _expect_end(page, "DEAD")
    lost = page.locator("#timeline .span-name").filter(has_text="worker lost")
    expect(lost.first).to_contain_text("Attempt 1, start", timeout=ENDS_WITHIN_MS)
    shot(page, "run-poison")
    gate.touch()

    letters = eventually(
        lambda: [
            each["id"] for each in stack.get("/dead-letters")["letters"] if each["run_id"] == run_id
        ],
        deadline_s=30,
    )
    replay = json.dumps({"ids": letters}).encode()
    urlopen(
        Request(
            f"{stack.url}/api/v1/dead-letters/replay",
            replay,
            {"Content-Type": "application/json"},
        )
    ).read()

    _expect_end(page)
    names = page.locator("#timeline .span-name")
    expect(names.filter(has_text="Lay as a dead letter")).to_be_visible(timeout=ENDS_WITHIN_MS)
    expect(names.filter(has_text="Replayed")).to_be_visible()
    expect(names.filter(has_text="Attempt 2")).to_contain_text("Success")
    expect(page.locator("[data-live-mark]")).to_have_count(0, timeout=ENDS_WITHIN_MS)
    shot(page, "run-replayed")
    attempts = stack.get(f"/runs/{run_id}/attempts")["attempts"]
    assert {each["state"] for each in attempts} == {"LOST", "DEAD", "SUCCESS"}
    assert attempts[-1]["replayed_at"]


def test_body_of_a_chord_that_was_never_called_is_not_resubmitted(
    page: Page, stack: RunningStack
) -> None:
    starter = _ended(stack, "chatty.chorded")
    body = stack.get(f"/runs/{starter}")["result"]
    eventually(lambda: stack.get(f"/runs/{body}")["finished_at"], deadline_s=30)

    page.goto(f"{stack.url}/runs/{body}")

    expect(page.get_by_text("This is the body of a chord")).to_be_visible()
    expect(page.get_by_role("button", name="Resubmit")).to_have_count(0)
    shot(page, "run-chord-body")
