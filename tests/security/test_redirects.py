"""Nobody is led to another site, whatever somebody wrote into a link to ours."""

import re

from flask import redirect, request
from hypothesis import given, settings
from hypothesis import strategies as st

from access_app import AccessApp
from attack import Count
from celeriac.web.access.gate import way_back

PIECES = (
    "/", "//", "\\", "\\\\", "\t", "\r\n", "\n", "\x00", " ", "\u2028", "\u3000", "..", ".", ";",
    ":", "@", "?", "#", "[", "]", "%2f", "%5c", "%09", "%0d%0aSet-Cookie: a=b", "%", "http:",
    "https:", "HTTPS://", "javascript:", "data:text/html,", "evil.example", "localhost", "runs",
    "\uff0f", "\u2044", "\u24d4vil.example", "\ufeff", "x" * 300,
)  # fmt: skip
WRITTEN = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
MANY = 1_000


def test_ways_back_are_pages_of_ours(web: AccessApp, count: Count) -> None:
    tried = 0

    @settings(max_examples=MANY, deadline=None, derandomize=True, database=None)
    @given(WRITTEN, st.sampled_from(["", "/", "/\\", "//"]))
    def follow(written: str, before: str) -> None:
        nonlocal tried
        tried += 1
        place = _place_of(before + written)
        assert place.isascii() and place.isprintable(), "nothing that ends a header"
        assert not _leads_elsewhere(place)

    with web.app.test_request_context("/sign-in"):
        follow()
    count("ways back to other sites", tried)


def test_pages_of_ours_are_found_again(web: AccessApp) -> None:
    with web.app.test_request_context("/sign-in"):
        for asked in ("/runs?state=FAILURE&q=a%20b", "/tasks/text.reverse", "/queues#queue-x", "/"):
            assert _place_of(asked) == asked


def test_reader_of_addresses_knows_what_leads_elsewhere() -> None:
    elsewhere = (
        "//evil",
        "/\\evil",
        "\\\\evil",
        "/\t/evil",
        " //evil",
        "https:evil",
        "HTTP://evil",
    )
    assert all(map(_leads_elsewhere, elsewhere))
    assert not any(map(_leads_elsewhere, ("/", "/runs?next=//evil", "/..//evil", "/:x")))


def _place_of(asked: str) -> str:
    """Give the address as the header has it that goes out."""
    answer = redirect(way_back(asked), 303)
    return answer.get_wsgi_headers(request.environ)["Location"]


def _leads_elsewhere(place: str) -> bool:
    """Read an address as browsers do, who forgive much (WHATWG URL Standard, 4.4)."""
    read = re.sub(r"[\t\r\n]", "", place.strip("".join(map(chr, range(33))))).replace("\\", "/")
    return not read.startswith("/") or read.startswith("//")
