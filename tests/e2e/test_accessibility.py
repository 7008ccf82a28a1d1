"""axe-core finds nothing serious on any page, in light and in dark."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from running_stack import RunningStack

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")


@pytest.mark.allow_console_error("404")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    ["/tasks", "/runs", "/tasks/email.send", "/tasks/primes.count", "/docs", "/runs/nothing"],
)
def test_page_is_accessible(
    new_page: Any, celeriac_up: RunningStack, path: str, scheme: str
) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(celeriac_up.url + path)
    page.wait_for_load_state("networkidle")

    assert not _grave_violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_of_a_run_is_accessible(new_page: Any, celeriac_up: RunningStack, scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{celeriac_up.url}/tasks/text.sentiment")
    page.locator('[name="args.text"]').fill("I like it.")
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator('#run-head[data-state="SUCCESS"]').wait_for()

    assert not _grave_violations(page)


def _grave_violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{each['impact']}: {each['help']} ({node['html'][:120]})"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]
