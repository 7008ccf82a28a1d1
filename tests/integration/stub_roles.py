"""The stub roles of `stub_stack.py`: `stub_roles.py web`; `STUB_WEB` names another behaviour."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType
from typing import NoReturn


class Answer(BaseHTTPRequestHandler):
    """Answers 200 to /readyz alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def web() -> NoReturn:
    HTTPServer(
        (os.environ["CELERIAC_HOST"], int(os.environ["CELERIAC_PORT"])), Answer
    ).serve_forever()
    raise AssertionError


def flower() -> None:
    address = (os.environ["CELERIAC_HOST"], int(os.environ["CELERIAC_FLOWER_PORT"]))
    with socket.create_server(address):
        signal.pause()


def recorder() -> None:
    print("The recorder is ready.", flush=True)
    signal.pause()


def worker() -> None:
    """Like prefork: with a child, and a grandchild that ignores SIGTERM."""
    stubborn_sleep = "trap '' TERM; sleep 1000 & wait"
    subprocess.Popen(["sh", "-c", stubborn_sleep])
    _say_ready()
    signal.pause()


def stubborn() -> None:
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _say_ready()
    while True:
        signal.pause()


def hurries() -> None:
    """Ends at SIGQUIT only, as a worker in a cold shutdown."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, _exit_with("handed back"))
    _say_ready()
    while True:
        signal.pause()


def stores_late() -> None:
    """Finishes a run after SIGTERM and stores its result, as a worker in a warm shutdown."""
    import redis

    results = redis.Redis.from_url(os.environ["CELERIAC_REDIS_URL"])

    def finish(*_: object) -> None:
        time.sleep(0.5)
        results.set("result", "stored")
        sys.exit(0)

    signal.signal(signal.SIGTERM, finish)
    _say_ready()
    signal.pause()


def dies() -> int:
    print("worker has a bad day")
    return 1


def misconfigured() -> int:
    print("CELERIAC_TASKS: there is no module named nonsense.", file=sys.stderr)
    return 2


def silent() -> None:
    signal.pause()


def shows_secrets() -> None:
    print("broker is", os.environ["CELERIAC_BROKER_URL"], os.environ["CELERIAC_SECRET_KEY"])
    sys.stdout.buffer.write(b"bad bytes \xff\xfe, a sequence \x1b[2J and " + b"x" * 20_000 + b"\n")
    _say_ready()
    signal.pause()


def _say_ready() -> None:
    print(f"celery@{os.environ['CELERIAC_WORKER_NAME']} ready.", flush=True)


def _exit_with(text: str) -> Callable[[int, FrameType | None], None]:
    def handle(*_: object) -> None:
        print(text, flush=True)
        sys.exit(0)

    return handle


BEHAVIOURS: dict[str, Callable[[], int | None]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        web, flower, recorder, worker, stubborn, hurries, stores_late, dies, misconfigured, silent,
        shows_secrets,
    )
}  # fmt: skip

if __name__ == "__main__":
    name = sys.argv[1]
    behave = BEHAVIOURS[os.environ.get(f"STUB_{name.upper()}", name)]
    sys.exit(behave() or 0)
