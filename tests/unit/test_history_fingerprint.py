"""Failures are the same when only what varies by run differs."""

import pytest

from celeriac.history.fingerprint import fingerprint, general

TRACEBACK = """Traceback (most recent call last):
  File "/srv/one/site-packages/celery/app/trace.py", line 479, in trace_task
    R = retval = fun(*args, **kwargs)
  File "{folder}/shop/tasks.py", line {line}, in {function}
    client.charge(order)
  File "/usr/lib/python3.11/socket.py", line 836, in create_connection
    sock.connect(sa)
TimeoutError: timed out
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 12 is gone", "order 9313 is gone"),
        ("took 1.5 s", "took 12,000.25 s"),
        ("no key 'alpha'", "no key 'bêta \\' x'"),
        ('no key "alpha"', 'no key ""'),
        ("<Thing at 0x7f3a11>", "<Thing at 0x55ffAB>"),
        ("run 2f1c2a4e-1111-4222-8333-444455556666", "run 019CA9F3-6400-7000-8000-000000000000"),
        ("commit 9f2b6c1d8e lost", "commit 0a1b2c3d4e5f lost"),
        ("no answer from 10.0.1.7:5672", "no answer from 192.168.0.13:443"),
        ("cannot fetch https://a.example/x?y=1", "cannot fetch http://b.example:80/"),
        ("no mailbox ada@example.org", "no mailbox b.o+b@mail.example.com"),
        ("too   many\nlines", "too many lines"),
    ],
)
def test_general_removes_what_varies(one: str, other: str) -> None:
    assert general(one) == general(other)


def test_general_keeps_words() -> None:
    assert general("the cafeteria is added") != general("the bakery is added")


def test_fingerprint_ignores_lines_folders_and_library_frames() -> None:
    one = TRACEBACK.format(folder="/srv/one", line=12, function="pay")
    other = TRACEBACK.format(folder="/home/x", line=99, function="pay")

    assert fingerprint("E", "m", one) == fingerprint("E", "m", other)


def test_fingerprint_tells_types_and_own_functions_apart() -> None:
    pay, ship = (TRACEBACK.format(folder="/a", line=1, function=f) for f in ("pay", "ship"))

    prints = {fingerprint("E", "m", pay), fingerprint("F", "m", pay), fingerprint("E", "m", ship)}
    assert len(prints) == 3


def test_fingerprint_is_stable_between_processes() -> None:
    assert fingerprint("ValueError", "order 7", None) == "4a5f49a538d4fa79"


def test_fingerprint_of_a_huge_message_is_quick() -> None:
    assert len(fingerprint("E", "'" * 1_000_000 + "a" * 1_000_000, "File " * 100_000)) == 16
