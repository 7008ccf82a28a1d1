"""The home page in a browser: charts that live, lead to runs, and read without a mouse."""

import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Response, expect

from axe import grave_violations
from eventually import eventually
from running_stack import RunningStack
from screenshots import shot

COMES_WITHIN_MS = 30_000
MOST_BYTES = 200_000
INKED = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 200) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
  }
  return [...colours];
}"""
COLOUR = "name => getComputedStyle(document.querySelector(`[data-ink=${name}]`)).color"


def _submit(page: Page, stack: RunningStack, task: str, **args: object) -> str:
    """Submit a run and wait until the history, which home counts, has its end."""
    answer = page.request.post(
        f"{stack.url}/api/v1/tasks/{task}/runs",
        data={"args": args},
        headers={"Prefer": "wait=20"},
    )
    assert answer.ok, answer.text()
    run_id: str = answer.json()["id"]
    eventually(lambda: run_id in _recorded(page, stack), deadline_s=30)
    return run_id


def _recorded(page: Page, stack: RunningStack) -> set[str]:
    newest = page.request.get(f"{stack.url}/api/v1/runs?state=SUCCESS&state=FAILURE").json()
    return {run["id"] for run in newest["runs"]}


def _fail(page: Page, stack: RunningStack) -> str:
    return _submit(page, stack, "chatty.failing")


def _colour(page: Page, ink: str) -> str:
    return re.sub(r"[^\d,]", "", page.evaluate(COLOUR, ink))


def _submitted(page: Page) -> int:
    """Read the number of runs submitted from its tile."""
    tile = page.locator(".tile", has_text="Runs submitted").locator(".tile-value")
    return int(tile.inner_text().replace(",", ""))


def _drawn(page: Page) -> dict[str, Any]:
    """Read what the charts draw now."""
    charts: dict[str, Any] = json.loads(page.locator("#charts").get_attribute("data-points") or "")
    return charts


def test_charts_are_drawn_in_the_legends_colours(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.goto(stack.url)

    # A single run's median is its 95th percentile too, and is drawn below it.
    inks = {"throughput": ["succeeded", "submitted"], "durations": ["p95", "wait"]}
    for name, ink in ((name, ink) for name, each in inks.items() for ink in each):
        canvas = page.locator(f"#plot-{name} canvas")
        expect(canvas).to_be_visible(timeout=COMES_WITHIN_MS)
        assert _colour(page, ink) in canvas.evaluate(INKED), f"no {ink} in {name}"


def test_numbers_change_without_a_reload(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.goto(stack.url)
    before = _submitted(page)
    page.evaluate("window.sameDocument = true")
    canvas = page.locator("#plot-throughput canvas").element_handle()

    _submit(page, stack, "text.reverse", text="ba")

    eventually(lambda: _submitted(page) > before, deadline_s=30)
    assert page.evaluate("window.sameDocument")
    assert canvas.evaluate("canvas => canvas.isConnected"), "the chart was made anew: it flickers"
    eventually(lambda: sum(_drawn(page)["throughput"]["values"][-1]) > before)


def test_range_stays_in_the_address(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.goto(stack.url)

    page.get_by_role("link", name="24h", exact=True).click()

    page.wait_for_url("**/?range=24h")
    page.reload()
    chosen = page.get_by_role("link", name="24h", exact=True)
    expect(chosen).to_have_attribute("aria-current", "true")
    assert len(_drawn(page)["starts"]) == 96


def test_failures_that_look_the_same_lead_to_their_runs(page: Page, stack: RunningStack) -> None:
    made = {_fail(page, stack), _fail(page, stack)}
    page.goto(stack.url)
    row = page.locator(".failure-row", has_text="chatty.failing")
    expect(row).to_be_visible(timeout=COMES_WITHIN_MS)

    row.locator(".failure-link").click()

    page.wait_for_url("**/runs?fingerprint=*")
    for run_id in made:
        expect(page.locator(f'[id="row-{run_id}"]')).to_be_visible(timeout=COMES_WITHIN_MS)
    expect(page.locator(".run-row", has_text="text.reverse")).to_have_count(0)


def test_keys_read_the_chart_and_open_its_runs(page: Page, stack: RunningStack) -> None:
    run_id = _submit(page, stack, "text.reverse", text="ab")
    page.goto(f"{stack.url}/?range=30d")
    chart = page.locator("#plot-throughput")
    expect(chart.locator("canvas")).to_be_visible(timeout=COMES_WITHIN_MS)
    chart.focus()

    page.keyboard.press("End")

    expect(page.locator("#plot-throughput .chart-tip")).to_contain_text("succeeded")
    expect(page.locator("#chart-throughput [data-said]")).to_contain_text("Succeeded")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?finished_since=*finished_until=*")
    expect(page.locator(f'[id="row-{run_id}"]')).to_be_visible(timeout=COMES_WITHIN_MS)


def test_pointer_shows_exact_values_and_a_click_opens_the_runs(
    page: Page, stack: RunningStack
) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.goto(f"{stack.url}/?range=30d")
    over = page.locator("#plot-throughput .u-over")
    expect(over).to_be_visible(timeout=COMES_WITHIN_MS)
    box = over.bounding_box()
    assert box

    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)

    tip = page.locator("#plot-throughput .chart-tip")
    expect(tip).to_be_visible()
    for line in _drawn(page)["throughput"]["values"]:
        expect(tip).to_contain_text(str(line[-1]))
    expect(tip).to_contain_text("Click: those that")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile(r"/runs\?(finished_)?since=.*until="))


def test_bar_of_failures_leads_to_exactly_those_that_it_counts(
    page: Page, stack: RunningStack
) -> None:
    made = _fail(page, stack)
    page.goto(f"{stack.url}/?range=30d")
    eventually(lambda: _drawn(page)["throughput"]["values"][1][-1] > 0, deadline_s=30)
    _point_at(page, "Click: those that failed then")
    failed = _drawn(page)["throughput"]["values"][1][-1]
    page.mouse.down()
    page.mouse.up()

    page.wait_for_url("**/runs?finished_since=*finished_until=*state=FAILURE&state=DEAD")
    expect(page.locator(f'[id="row-{made}"]')).to_be_visible(timeout=COMES_WITHIN_MS)
    expect(page.locator(".runs-total")).to_contain_text(f"{failed:,} run")


def _point_at(page: Page, words: str) -> None:
    """Move the pointer up the last bar until the chart says these words."""
    over = page.locator("#plot-throughput .u-over")
    expect(over).to_be_visible(timeout=COMES_WITHIN_MS)
    box = over.bounding_box()
    assert box
    foot = page.locator("#plot-throughput .chart-tip small")
    for up in range(1, int(box["height"])):
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - up)
        if foot.text_content() == words:
            return
    pytest.fail(f"nowhere does the chart say {words!r}")


def test_dragging_over_bars_opens_the_runs_of_that_time(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.goto(f"{stack.url}/?range=24h")
    over = page.locator("#plot-throughput .u-over")
    expect(over).to_be_visible(timeout=COMES_WITHIN_MS)
    box = over.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2

    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    page.mouse.up()

    page.wait_for_url("**/runs?finished_since=*finished_until=*")
    query = parse_qs(urlsplit(page.url).query)
    since, until = (
        datetime.fromisoformat(query[f"finished_{end}"][0]) for end in ("since", "until")
    )
    assert timedelta(hours=11.5) <= until - since <= timedelta(hours=13)


def test_theme_switch_draws_the_charts_anew(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    page.emulate_media(color_scheme="light")
    page.goto(stack.url)
    canvas = page.locator("#plot-throughput canvas")
    expect(canvas).to_be_visible(timeout=COMES_WITHIN_MS)
    light = set(canvas.evaluate(INKED))

    page.emulate_media(color_scheme="dark")

    dark = eventually(lambda: (colour := _colour(page, "succeeded")) not in light and colour)
    eventually(lambda: dark in page.locator("#plot-throughput canvas").evaluate(INKED))


def test_home_has_the_same_numbers_without_scripts(new_page, stack: RunningStack) -> None:  # type: ignore[no-untyped-def]
    scripted = new_page()
    _submit(scripted, stack, "text.reverse", text="ab")
    page = new_page(java_script_enabled=False)

    def numbers() -> tuple[int, int]:
        page.goto(stack.url)
        expect(page.locator("#plot-throughput")).to_be_hidden()
        expect(page.locator("#chart-throughput")).to_contain_text("Its numbers stand in a table:")
        submitted = _submitted(page)
        page.locator("#chart-throughput").get_by_role("link", name="As a table").click()
        rows = page.locator('[data-points="throughput"] tbody tr')
        expect(rows).to_have_count(60)
        cells = rows.locator("td:last-child").all_text_contents()
        return submitted, sum(int(cell) for cell in cells)

    # An answer serves whoever asks within a second: the two pages may show different instants.
    eventually(lambda: (found := numbers()) and found[0] == found[1] > 0, deadline_s=30)


def test_home_weighs_little(page: Page, stack: RunningStack) -> None:
    _submit(page, stack, "text.reverse", text="ab")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))

    page.goto(f"{stack.url}/?range=30d")
    expect(page.locator("#plot-durations canvas")).to_be_visible(timeout=COMES_WITHIN_MS)

    sizes = {each.url: each.request.sizes()["responseBodySize"] for each in answers}
    assert any("uplot" in url for url in sizes)
    assert sum(sizes.values()) < MOST_BYTES, sizes


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "size"), [(1440, "wide"), (360, "phone")])
def test_home_fits_a_phone_and_a_desk(  # type: ignore[no-untyped-def]
    new_page, stack: RunningStack, scheme: str, width: int, size: str
) -> None:
    page = new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    _fail(page, stack)
    page.goto(f"{stack.url}/?range=15m")
    expect(page.locator("#plot-durations canvas")).to_be_visible(timeout=COMES_WITHIN_MS)
    page.wait_for_load_state("networkidle")
    shot(page, f"{size}-{scheme}-home")
    assert not grave_violations(page)

    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
