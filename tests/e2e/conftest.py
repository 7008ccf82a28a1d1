"""The whole system from outside: `celeriac up` as a process, and the system's Chromium."""

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import servers
from e2e_stacks import KINDS, stack_of_kind
from eventually import PATIENCE_S
from mail_server import SmtpServer, smtp_server
from page_watch import PageWatch
from running_stack import RunningStack
from screenshots import shot
from worker_process import CHATTY_ENVIRONMENT

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
STACK_FIXTURES = {"stacks", "fresh_stack"}
FIRST_TEST_S = 300
WATCH = pytest.StashKey[PageWatch]()

NewPage = Callable[..., Page]
Stacks = Callable[[str], RunningStack]

expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test on a stack the time that its servers may need: any may be the first to ask."""
    for item in items:
        if STACK_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(FIRST_TEST_S))


@pytest.fixture(scope="package")
def mail() -> Iterator[SmtpServer]:
    """Run the mail server of the stack."""
    with smtp_server() as server:
        yield server


@pytest.fixture(scope="package")
def stacks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mail: SmtpServer
) -> Iterator[Stacks]:
    """Give the stack of a kind, which starts when the first test asks and stops after the last."""
    environment = {
        **CHATTY_ENVIRONMENT,
        "CELERIAC_TASKS": "celeriac.tasks,chatty_tasks",
        "CELERIAC_QUEUES": "reports",
        "CELERIAC_CONCURRENCY": "2",
        "CELERIAC_SMTP_URL": mail.url,
    }
    with ExitStack() as running:

        def start(kind: str) -> RunningStack:
            folder = tmp_path_factory.mktemp("stack")
            return running.enter_context(stack_of_kind(kind, request, folder, environment))

        yield cache(start)


@pytest.fixture(scope="module", params=KINDS)
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> RunningStack:
    """Give `celeriac up` on its embedded server with SQLite, then on servers with PostgreSQL.

    All tests share the two, so none may stop one, and each looks for what it made itself: by a tag,
    an identifier or a text of its own.
    """
    return stacks(str(request.param))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start the Chromium of $CHROMIUM or of the system, without a window.

    While it runs, this thread has a running event loop: no test of another tier may come between.
    """
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
