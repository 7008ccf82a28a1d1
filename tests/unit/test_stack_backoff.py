"""How long `celeriac up` waits before it starts a dead role again."""

import signal

from celeriac.stack.role import Backoff, Pace, ended


def test_backoff_doubles_up_to_the_longest() -> None:
    backoff = Backoff(Pace())

    delays = [backoff.after(ran_s=0.1) for _ in range(7)]

    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_backoff_starts_over_after_a_stable_run() -> None:
    backoff = Backoff(Pace())
    delays = [backoff.after(ran_s) for ran_s in (1, 59.9, 60, 1)]

    assert delays == [1, 2, 1, 2]


def test_ended_names_codes_and_signals() -> None:
    assert ended(3) == "ended with exit code 3"
    assert ended(-signal.SIGKILL) == "was ended by SIGKILL"
    assert ended(-64) == "was ended by SIGRTMAX"
    assert ended(-99) == "was ended by signal 99"
