"""The browser fixtures notice what pages must not do; these pages are the tests' own."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from page_watch import PageWatch
from processes import LOOPBACK
from screenshots import shot


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output short."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "favicon.ico").touch()
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("markup", "complaint"),
    [
        ("<script>console.error('wilted')</script>", "console error: wilted"),
        ("<script>throw new Error('rotten')</script>", "uncaught error in the page: .*rotten"),
        ("<img src='http://example.test/a.png'>", "request to another host: http://example.test"),
    ],
)
def test_page_watch_complains(
    browser: Browser, site: str, tmp_path: Path, markup: str, complaint: str
) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Soup</title>{markup}")
    watch = PageWatch()

    with browser.new_context() as context:
        watch.observe(context)
        context.new_page().goto(site)

    assert any(complaint.split(".*")[0] in entry for entry in watch.complaints), watch.complaints


@pytest.mark.allow_console_error("wilted")
def test_page_watch_allows_what_the_test_expects(page: Page, site: str, tmp_path: Path) -> None:
    markup = "<!doctype html><h1>Soup</h1><script>console.error('wilted')</script>"
    (tmp_path / "index.html").write_text(markup)

    page.goto(site)

    assert page.locator("h1").inner_text() == "Soup"


def test_shot_stores_a_picture(
    page: Page, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><h1>Soup 🥣</h1>")
    monkeypatch.setattr("screenshots.FOLDER", tmp_path / "pictures")
    page.goto(site)

    picture = shot(page, "soup/plain")

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.relative_to(tmp_path) == Path("pictures/soup/plain.png")


def test_phone_is_narrow(phone: Page, site: str, tmp_path: Path) -> None:
    markup = '<!doctype html><meta name="viewport" content="width=device-width">'
    (tmp_path / "index.html").write_text(markup)

    phone.goto(site)

    assert phone.evaluate("innerWidth") == 360
