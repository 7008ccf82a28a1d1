"""axe-core finds nothing serious on any page, in light and in dark."""

from typing import Any

import pytest

from axe import grave_violations
from running_stack import RunningStack


@pytest.mark.allow_console_error("404")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/tasks",
        "/runs",
        "/tasks/email.send",
        "/tasks/primes.count",
        "/docs",
        "/runs/nothing",
        "/queues",
        "/workers",
        "/queues/celery_see/purge",
    ],
)
def test_page_is_accessible(new_page: Any, stack: RunningStack, path: str, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(stack.url + path)
    page.wait_for_load_state("networkidle")

    assert not grave_violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_of_a_run_is_accessible(new_page: Any, stack: RunningStack, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{stack.url}/tasks/text.sentiment")
    page.locator('[name="args.text"]').fill("I like it.")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator('#run-head[data-state="SUCCESS"]').wait_for()

    assert not grave_violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scripts", [True, False])
def test_bar_of_a_phone_holds_what_is_needed_and_more(
    new_page: Any, stack: RunningStack, scheme: str, scripts: bool
) -> None:
    page = new_page(
        viewport={"width": 360, "height": 740},
        color_scheme=scheme,
        has_touch=True,
        is_mobile=True,
        java_script_enabled=scripts,
    )
    page.goto(f"{stack.url}/runs")
    bar = page.locator(".rail")
    for name in ("Home", "Tasks", "Runs", "Queues", "Workers"):
        box = bar.get_by_role("link", name=name, exact=True).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["height"] >= 40
    docs = page.get_by_role("link", name="API docs")
    assert not docs.is_visible()

    page.get_by_role("button", name="More").tap()

    docs.wait_for()
    if scripts:
        assert bar.evaluate("bar => bar.scrollWidth <= bar.clientWidth")
        assert not grave_violations(page)
    docs.tap()
    page.wait_for_url("**/docs")
