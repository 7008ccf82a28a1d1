"""What a page must never do, noticed while a test drives it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError, WebSocket

OWN_HOSTS = {"127.0.0.1", "localhost"}
LOCAL_SCHEMES = {"data", "blob", "about"}


@dataclass
class PageWatch:
    """Collects requests to other hosts, console errors and uncaught errors of a browser context."""

    allowed_errors: Sequence[str] = ()
    complaints: list[str] = field(default_factory=list)

    def observe(self, context: BrowserContext) -> None:
        """Watch every page of this context from now on."""
        context.on("request", self._on_request)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("page", self._on_page)

    def _on_page(self, page: Page) -> None:
        page.on("websocket", self._on_websocket)

    def _on_request(self, request: Request) -> None:
        self._check_host(request.url)

    def _on_websocket(self, websocket: WebSocket) -> None:
        self._check_host(websocket.url)

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in LOCAL_SCHEMES and parts.hostname not in OWN_HOSTS:
            self.complaints.append(f"request to another host: {url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or any(re.search(p, message.text) for p in self.allowed_errors):
            return
        self.complaints.append(f"console error: {message.text} ({message.location.get('url')})")

    def _on_error(self, error: WebError) -> None:
        self.complaints.append(f"uncaught error in the page: {error.error}")
