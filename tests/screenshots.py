"""Pictures of pages, kept for people to look at after the tests."""

import os
from pathlib import Path

from playwright.sync_api import Page

FOLDER = Path(
    os.environ.get("SCREENSHOTS", Path(__file__).parents[1] / ".ci" / "out" / "screenshots")
)


def shot(page: Page, name: str, *, full_page: bool = True) -> Path:
    """Store a picture of the page as NAME.png in $SCREENSHOTS, or `.ci/out/screenshots/`."""
    path = FOLDER / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=full_page, animations="disabled")
    return path
