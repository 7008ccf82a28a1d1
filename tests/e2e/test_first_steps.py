"""What somebody sees who has just started: pages without a run, and one button."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from axe import grave_violations
from e2e_stacks import KINDS, stack_of_kind
from running_stack import RunningStack
from screenshots import shot

COMES_WITHIN_MS = 30_000
ENVIRONMENT = {"CELERIAC_CONCURRENCY": "1"}
EMPTY = {"/": "Run your first task", "/runs": "No runs yet"}


@pytest.fixture(scope="module", params=KINDS)
def fresh_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """Run a stack on which nothing has happened."""
    folder = tmp_path_factory.mktemp("fresh")
    with stack_of_kind(str(request.param), request, folder, ENVIRONMENT) as running:
        yield running


def test_newcomer_is_shown_the_way_and_runs_a_first_task_with_one_button(
    page: Page, fresh_stack: RunningStack
) -> None:
    for path, words in EMPTY.items():
        page.goto(fresh_stack.url + path)
        expect(page.get_by_role("main")).to_contain_text(words)
        shot(page, f"empty-{path.strip('/') or 'home'}")
        assert not grave_violations(page)
    page.goto(fresh_stack.url)

    page.get_by_role("button", name="Run text.reverse").click()

    expect(page.locator("#result")).to_contain_text("!cairele", timeout=COMES_WITHIN_MS)
    page.get_by_role("link", name="Home", exact=True).click()
    expect(page.locator("#plot-throughput canvas")).to_be_visible(timeout=COMES_WITHIN_MS)
