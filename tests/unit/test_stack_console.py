"""What `celeriac up` prints: aligned names, colour only on a terminal, no secrets."""

import errno
import io

import pytest
from rich.console import Console as Terminal

from celeriac.masking import know
from celeriac.stack.addresses import web_address, without_password
from celeriac.stack.console import Console


def coloured() -> Terminal:
    return Terminal(file=io.StringIO(), force_terminal=True, color_system="standard")


def test_console_aligns_the_names_of_roles() -> None:
    lines: list[str] = []
    console = Console(lines.append, names=["web", "worker12345"])

    console.role_line("web", "hello")
    console.role_line("worker12345", "hello")

    assert lines == ["web         | hello", "worker12345 | hello"]


def test_console_colours_the_prefix_alone_on_a_terminal() -> None:
    lines: list[str] = []
    console = Console(lines.append, names=["web"], terminal=coloured())

    console.role_line("web", "[red]hello[/red]")

    assert lines == ["\x1b[32mweb      | \x1b[0m[red]hello[/red]"]


def test_console_has_no_colour_where_people_want_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    lines: list[str] = []
    console = Console(lines.append, names=["web"], terminal=coloured())

    console.role_line("web", "hello")

    assert lines == ["web      | hello"]


def test_console_hides_secrets_but_not_ordinary_words() -> None:
    lines: list[str] = []
    console = Console(lines.append, names=["web"])
    know(["correct-horse"])

    console.role_line("web", "correct-horse, redis://:short@host, guest")

    assert lines == ["web      | ***, redis://:***@host, guest"]


def test_console_tells_the_time_since_the_start() -> None:
    lines: list[str] = []

    Console(lines.append, names=["web"], started_s=-1e9).step("starting")

    assert lines[0].startswith("celeriac | ")
    assert lines[0].endswith(" s  starting")


@pytest.mark.parametrize("terminal", [None, coloured()])
def test_console_shows_addresses_in_columns(terminal: Terminal | None) -> None:
    lines: list[str] = []
    console = Console(lines.append, names=["web"], terminal=terminal)

    console.table([("web", "http://localhost:5000"), ("API docs", "http://localhost:5000/docs")])

    text = "".join(lines)
    assert "http://localhost:5000/docs" in text
    assert text.index("web") < text.index("API docs")


def test_console_goes_on_when_the_terminal_is_gone() -> None:
    asked: list[str] = []

    def gone(line: str) -> None:
        asked.append(line)
        raise OSError(errno.EIO, "gone")

    Console(gone, names=["web"]).role_line("web", "hello")

    assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://:***@127.0.0.1:6379/0"),
        ("amqp://user:p%40ss@rabbit:5672//", "amqp://user:***@rabbit:5672//"),
        ("amqp://user@rabbit//", "amqp://user@rabbit//"),
        ("redis://host/0?password=secret", "redis://host/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_without_password_masks_every_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_web_address_is_one_that_a_browser_can_open() -> None:
    assert web_address("0.0.0.0", 80, "/docs") == "http://127.0.0.1:80/docs"  # noqa: S104
    assert web_address("::1", 80) == "http://[::1]:80"
