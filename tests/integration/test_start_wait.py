"""Roles wait at their start for what they need, so long and no longer, and say so in the end."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from celeriac.access import Access
from celeriac.errors import HistoryUnavailableError
from celeriac.web.access import ready
from processes import free_port
from servers import clean_environment


@pytest.mark.parametrize(
    ("role", "broker", "missing"),
    [
        ("worker", "amqp", "The broker did not answer"),
        ("worker", "redis", "The broker did not answer"),
        ("web", "amqp", "PostgreSQL"),
    ],
)
def test_role_ends_with_a_line_that_says_what_is_missing(
    role: str, broker: str, missing: str, tmp_path: Path
) -> None:
    nobody = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", role],
        env=clean_environment(
            tmp_path,
            CELERIAC_START_WAIT_S="3",
            CELERIAC_BROKER_URL=f"{broker}://127.0.0.1:{nobody}",
            CELERIAC_REDIS_URL=f"redis://127.0.0.1:{nobody}/0",
            CELERIAC_HISTORY_URL=f"postgresql://celeriac@127.0.0.1:{nobody}/celeriac",
            CELERIAC_AUTHENTICATION="on",
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("celeriac: ") and missing in last, done.stderr
    assert "CELERIAC_START_WAIT_S" in last
    assert "Traceback" not in done.stderr
    assert "Trying again" in done.stdout + done.stderr


def test_web_goes_on_as_soon_as_its_history_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class _Late:
        def prepare(self) -> None:
            asked.append(1)
            if len(asked) < 3:
                raise HistoryUnavailableError("It is away.")

    monkeypatch.setattr(ready, "AGAIN_AFTER_S", 0.01)

    ready._prepare(cast(Access, _Late()), 60)

    assert len(asked) == 3
