"""Runs Celery's own integration tests with our transport, and with kombu's; prints what passed.

python tests/celery_suite.py                       a part of them, in which the transport takes part
python tests/celery_suite.py canvas                others, by the names of their modules

They come with the source distribution of the Celery that is installed here, and need libraries
that Celeriac does not: both go into an environment of their own, which is kept for the next time.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from servers import clean_environment, rabbitmq_server, redis_server

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv" / "celery-suite"
SOURCE = FOLDER / f"celery-{version('celery')}"
PARTS = ("worker", "inspect", "loader", "serialization", "redis_backend", "tasks")
EXTRAS = "auth,msgpack,pydantic,pymemcache,redis,sqlalchemy,yaml"
NEEDS = (
    "django", "freezegun", "pytest-celery", "pytest-order", "pytest-rerunfailures",
    "pytest-subtests", "pytest-timeout",
)  # fmt: skip
OURS = """
from celeriac.amqp_transport import use_lean_transport

use_lean_transport()
"""
"""A plugin of pytest's, for the process in which the tests run their worker, too."""


def main() -> None:
    """Prepare, run both, and tell how each ended."""
    prepare()
    with tempfile.TemporaryDirectory(prefix="celery-suite-") as name:
        folder = Path(name)
        (folder / "redis").mkdir()
        with redis_server(folder / "redis") as redis, rabbitmq_server(folder) as rabbitmq:
            results = {}
            for transport in ("kombu's", "ours"):
                redis.flush()
                with rabbitmq.fresh_vhost() as broker_url:
                    results[transport] = suite(broker_url, redis.url, transport, folder)
    for transport, result in results.items():
        print(f"{transport}: {result}")


def prepare() -> None:
    """Make the environment, unless it is there."""
    if (FOLDER / "ready").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "venv", "venv")
    celery = f"celery[{EXTRAS}]=={version('celery')}"
    pip("install", celery, *(f"{name}=={version(name)}" for name in ("amqp", "kombu")), *NEEDS)
    pip("download", "--no-deps", "--no-binary=celery", "--dest=.", f"celery=={version('celery')}")
    run("tar", "--extract", "--gzip", f"--file=celery-{version('celery')}.tar.gz")
    (FOLDER / "ours.py").write_text(OURS)
    (FOLDER / "ready").touch()


def suite(broker_url: str, redis_url: str, transport: str, home: Path) -> str:
    """Run the tests; gives the line with which pytest ends."""
    address = urlsplit(redis_url)
    environment = clean_environment(
        home,
        TEST_BROKER=broker_url,
        TEST_BACKEND=redis_url,
        REDIS_HOST=str(address.hostname),
        REDIS_PORT=str(address.port),
        PYTHONPATH=f"{FOLDER}:{ROOT / 'src'}:{SOURCE}",
    )
    environment["PATH"] = f"{FOLDER / 'venv/bin'}:{environment['PATH']}"
    command = ["pytest", "-v", "-rfE", "--tb=short", "--timeout=600", "-p", "no:cacheprovider"]
    command += ["-p", "ours"] if transport == "ours" else []
    command += [f"t/integration/test_{part}.py" for part in sys.argv[1:] or PARTS]
    print(f"=== {transport}", flush=True)
    with subprocess.Popen(
        command, env=environment, cwd=SOURCE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        last = ""
        for line in tests.stdout:
            print(line, end="", flush=True)
            last = line if " in " in line and line.startswith("=") else last
    return last.strip("= \n") or f"ended with {tests.returncode}"


def pip(*arguments: str) -> None:
    """Use the environment's pip."""
    run("venv/bin/python", "-m", "pip", "--quiet", *arguments)


def run(*command: str) -> None:
    """Run a program where the environment is."""
    subprocess.run(command, cwd=FOLDER, check=True)


if __name__ == "__main__":
    main()
