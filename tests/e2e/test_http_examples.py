"""Every example of the HTTP reference is executed, and answers as the page shows."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventually import eventually
from examples import MORE, Example, difference, examples, json_lines, matches
from running_stack import RunningStack, running_stack
from servers import missing

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
SHOWN_ADDRESS = "http://127.0.0.1:5000"
TRIED_FOR_S = 30
"""What a call waits for may take a while: a run's end, the history, a worker's next sign."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("examples")
    with running_stack(folder, environment={"CELERIAC_CONCURRENCY": "2"}) as running:
        yield running


@pytest.mark.timeout(300)
def test_every_example_answers_as_shown(stack: RunningStack) -> None:
    if not shutil.which("curl"):
        missing("curl", "curl")
    variables: dict[str, str] = {}
    for example in examples(PAGE):
        eventually(lambda e=example: _is_as_shown(e, stack, variables), deadline_s=TRIED_FOR_S)


def _is_as_shown(example: Example, stack: RunningStack, variables: dict[str, str]) -> bool:
    done = subprocess.run(
        ["sh", "-c", example.command.replace(SHOWN_ADDRESS, stack.url)],
        env={**stack.process.env, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = done.stdout.replace("\r", "")
    problem = _difference(example.shown, printed)
    assert problem is None, f"{example.command}{problem}\n{printed}{done.stderr}"
    _remember(printed, variables)
    return True


def _remember(printed: str, variables: dict[str, str]) -> None:
    """Let the page's variables stand for what was just answered."""
    if found := re.search(r"^location: \S*/runs/(\S+)$", printed, re.MULTILINE | re.IGNORECASE):
        variables["RUN"] = found[1]
    if found := re.search(r'"(\w+@[^"]+)"', printed):
        variables["WORKER"] = found[1]


def _difference(shown: str, printed: str) -> str | None:
    """Compare status, the headers that are shown, and the body."""
    head, _, body = shown.partition("\n\n")
    real_head, _, real_body = printed.partition("\n\n")
    status, *headers = head.splitlines()
    if real_head.splitlines()[:1] != [status]:
        return f"{status} is shown, {real_head.splitlines()[:1]} comes"
    real_headers = [line.lower() for line in real_head.splitlines()]
    for header in headers:
        if not any(matches(header.lower(), line) for line in real_headers):
            return f"{header} does not come"
    if "event-stream" in head:
        pattern = " ".join(body.split())
        is_same = matches(pattern, " ".join(real_body.split()))
        return None if is_same else f"the text is not {pattern!r}"
    values, real_values = json_lines(body.removeprefix(f"{MORE}\n")), json_lines(real_body)
    if body.startswith(f"{MORE}\n"):
        real_values = real_values[-len(values) :]
    return difference(values, real_values)
