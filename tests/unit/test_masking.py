"""No secret of the settings gets into a line of a log or onto a standard stream."""

import io
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from celeriac import masking
from celeriac.events import error_of
from celeriac.masking import MaskedStream, know_options, masked, masked_record
from celeriac.setting_secrets import know_settings
from celeriac.settings import Settings
from servers import clean_environment

PASSWORD = "p@ss/w0rd & \"more\" 'ü'"
KEY = "0123456789abcdef" * 2
LINK = "/welcome/Pm1cW3k5cGFzc3dvcmQtb2YtbGlua3M"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(masking, "_known", {})
    monkeypatch.setattr(masking, "_hidden", ())
    yield


def know(**values: str) -> None:
    know_settings(Settings(_env_file=None, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("broker_url", f"amqp://ann:{quote(PASSWORD, safe='')}@rabbit//", PASSWORD),
        ("redis_url", f"redis://redis/0?password={quote(PASSWORD, safe='')}", PASSWORD),
        ("history_url", f"postgresql://ann:{quote(PASSWORD, safe='')}@host/db", PASSWORD),
        ("smtp_url", f"smtp://ann:{quote(PASSWORD, safe='')}@mail", PASSWORD),
        ("secret_key", PASSWORD, PASSWORD),
        ("message_keys", f"new:{KEY},old:{KEY[::-1]}", KEY[::-1]),
    ],
)
def test_masked_hides_a_secret_however_it_is_written(name: str, value: str, secret: str) -> None:
    know(**{name: value})
    ways = (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])

    for way in ways:
        assert masked(f"It is {way}, or so") == "It is ***, or so"


def test_masked_hides_what_mail_servers_and_headers_are_given() -> None:
    know(smtp_url="smtp://ann:correct-horse@mail")

    for credentials in ("ann:correct-horse", "\0ann\0correct-horse", "correct-horse"):
        assert masked(f"AUTH {b64encode(credentials.encode()).decode()}") == "AUTH ***"


def test_masked_hides_any_password_in_an_address() -> None:
    text = "no way to amqp://guest:guest@rabbit:5672// and [redis://:x@[::1]:6379/0]"

    assert (
        masked(text) == "no way to amqp://guest:***@rabbit:5672// and [redis://:***@[::1]:6379/0]"
    )


@pytest.mark.parametrize("text", ["http://host:80/path@x", "a://b", "see https://x.example/~ann"])
def test_masked_leaves_addresses_without_a_password(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("word", ["guest", "celeriac", "password", "12345678"])
def test_masked_leaves_words_that_are_passwords_too(word: str) -> None:
    know(broker_url=f"amqp://ann:{word}@rabbit//")

    assert masked(f"{word} stays") == f"{word} stays"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"GET {LINK} failed", "GET /welcome/*** failed"),
        (f"cel_0123456789ab_{'x' * 43} is dead", "cel_0123456789ab_*** is dead"),
        (f"Authorization: Bearer {'x' * 20}", "Authorization: Bearer ***"),
        ("Authorization: Basic YW5uOnNlY3JldA==", "Authorization: Basic ***"),
        (f"Cookie: celeriac_session={'x' * 43}; a=b", "Cookie: celeriac_session=***; a=b"),
        (f"__Host-celeriac-session={'x' * 43}", "__Host-celeriac-session=***"),
    ],
)
def test_logs_show_nothing_that_opens_doors(text: str, shown: str) -> None:
    assert masked_record(text) == shown


def test_streams_show_the_links_that_are_printed_on_purpose() -> None:
    stream = io.StringIO()

    print("Become the first administrator:", LINK, file=MaskedStream(stream))

    assert stream.getvalue() == f"Become the first administrator: {LINK}\n"


def test_options_of_flower_are_masked() -> None:
    know_options(["--port=5555", "--basic_auth=ann:first-secret,eve:second-secret"])

    assert masked("ann:first-secret; second-secret at 5555") == "ann:***; *** at 5555"


def test_an_error_of_a_run_has_no_secret() -> None:
    know(broker_url="amqp://ann:correct-horse@rabbit//")

    error = error_of(
        {
            "result": {"exc_type": "OSError", "exc_message": ["no", "amqp://ann:correct-horse@r"]},
            "traceback": "Traceback: correct-horse",
        }
    )

    assert error == {
        "type": "OSError",
        "message": "no, amqp://ann:***@r",
        "traceback": "Traceback: ***",
    }


def test_a_process_masks_logs_tracebacks_and_what_it_prints(tmp_path: Path) -> None:
    program = """
import logging, sys, threading
from celeriac.masking import know, mask_outputs
early = logging.StreamHandler(open(sys.argv[1], "w"))
mask_outputs()
know(["correct-horse"])
logging.getLogger().addHandler(early)
try:
    raise OSError("correct-horse in an error")
except OSError:
    logging.exception("%s", ["correct-horse in an argument"])
print("printed", "correct-horse", file=sys.__stdout__)
thread = threading.Thread(target=lambda: 1 / len("correct-horse"[:0]))
thread.start()
thread.join()
raise SystemExit("correct-horse at the end")
"""
    log = tmp_path / "log"

    done = subprocess.run(
        [sys.executable, "-c", program, log],
        env=clean_environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip

    said = log.read_text() + done.stdout + done.stderr
    assert "correct-horse" not in said.replace('"correct-horse"[:0]', "")
    for expected in ("*** in an argument", "*** in an error", "printed ***", "*** at the end"):
        assert expected in said
