"""The whole system from outside: `celeriac up` as a process, and the system's Chromium."""

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import running_stack
import servers
from page_watch import PageWatch
from running_stack import RunningStack
from screenshots import shot

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # It needs a user namespace, which root in a container has not.
    "--disable-gpu",
    # The rest keeps it from talking to its maker.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WATCH = pytest.StashKey[PageWatch]()

NewPage = Callable[..., Page]


@pytest.fixture(scope="session")
def celeriac_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run `celeriac up` on its embedded server; all tests share it, so none may stop it."""
    with running_stack.running_stack(tmp_path_factory.mktemp("celeriac-up")) as stack:
        yield stack


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the Chromium of $CHROMIUM or of the system, without a window."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = filter(None, (shutil.which(name) for name in names if name))
    program = next(found, None) or servers.missing("Chromium", "chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[NewPage]:
    """Make pages with Playwright's context options, such as `new_page(java_script_enabled=False)`.

    A test fails on a request to another host, a console error or an uncaught error in any of them;
    errors that it causes on purpose it names by `@pytest.mark.allow_console_error("regex")`.
    """
    marks = request.node.iter_markers("allow_console_error")
    watch = PageWatch([str(mark.args[0]) for mark in marks])
    request.node.stash[WATCH] = watch
    contexts: list[BrowserContext] = []

    def make(**options: object) -> Page:
        defaults = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
        context = browser.new_context(**{**defaults, **options})  # type: ignore[arg-type]
        contexts.append(context)
        watch.observe(context)
        return context.new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """Give a page of a desktop's size."""
    return new_page()


@pytest.fixture
def phone(new_page: NewPage) -> Page:
    """Give a page of the smallest phone that must work: 360 px wide, with a finger for a mouse."""
    return new_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test whose pages misbehaved; keep a picture of what a failing test saw last."""
    try:
        yield
        watch = item.stash.get(WATCH, None)
        if watch and watch.complaints:
            pytest.fail("the page misbehaved:\n" + "\n".join(watch.complaints), pytrace=False)
    except (Exception, pytest.fail.Exception):
        _picture_failure(item)
        raise


def _picture_failure(item: pytest.Item) -> None:
    page = getattr(item, "funcargs", {}).get("page")
    if isinstance(page, Page) and not page.is_closed():
        shot(page, "failed/" + re.sub(r"[^\w.-]+", "-", item.name))
