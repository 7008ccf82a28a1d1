"""All that differs between machines, read once from the environment into one frozen object.

This is the only module that reads the environment. Sources, strongest first: what the caller passes
(the command line), `CELERIAC_*` variables, the file `.env`, and `stack.env` in the data directory,
which a running `celeriac up` writes so that other commands in the same folder find its servers.
"""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from celeriac.addresses import BrokerUrl, HistoryUrl, PublicUrl, RedisUrl, SmtpUrl
from celeriac.errors import ConfigurationError
from celeriac.setting_secrets import know_settings
from celeriac.setting_values import MessageKeys, Port, QueueNames, TimeZone, keys_in, names_in
from celeriac.topology import FLASK, FLOWER, QUEUE
from celeriac.web_settings import WebSettings

REDACT = (
    "*password,*passwd,*passphrase,*secret,*secret_key,*token,*api_key,*apikey,*access_key,"
    "*private_key,authorization,credentials,cookie"
)
STACK_FILE = "stack.env"
CELERY_VARIABLES = (
    "APP", "LOADER", "CONFIG_MODULE", "BROKER_URL", "RESULT_BACKEND",
    "CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
)  # fmt: skip
"""What the celery command reads from the environment, over any configuration."""


class Settings(WebSettings):
    """One field a setting; the variable is `CELERIAC_` and the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="CELERIAC_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    broker_url: BrokerUrl | None = Field(
        None,
        description="The broker: `amqp://` for RabbitMQ or `redis://`. "
        "`celeriac up` starts an embedded Valkey server where it is unset.",
    )
    redis_url: RedisUrl | None = Field(
        None, description="The result backend and live state: `redis://host:6379/0`."
    )
    history_url: HistoryUrl | None = Field(
        None,
        description="Where the history is kept: `sqlite:////path/history.db` or "
        "`postgresql://user:password@host/database`. Unset, it is a file in the data directory.",
    )
    history_days: int = Field(
        90, ge=1, le=36_500, description="How long the history keeps a finished run, in days."
    )
    history_runs: int | None = Field(
        None, ge=1, description="How many runs the history keeps at most; unset, any number."
    )
    redact: str = Field(
        REDACT,
        description="Names of arguments, separated by commas, whose values only the worker gets; "
        "`*` is any text. They count at any depth and whatever their case.",
    )
    max_value_bytes: int = Field(
        65_536,
        ge=4_096,
        description="The largest arguments, result, error message or traceback that events, live "
        "pages and history keep whole, in bytes.",
    )
    host: str = Field("127.0.0.1", description="The address that the web and Flower listen on.")
    port: Port = Field(FLASK.ports["web"], description="The web's TCP port.")
    flower_port: Port = Field(FLOWER.ports["flower"], description="Flower's TCP port.")
    workers: int = Field(1, ge=0, le=64, description="How many workers `celeriac up` starts.")
    concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=1024,
        description="How many runs one worker executes at once; the number of cores by default.",
    )
    pool: Literal["prefork", "threads", "solo", "hybrid"] = Field(
        "prefork",
        description="What executes a worker's runs: child processes, threads, the worker itself, "
        "or `hybrid`: threads for functions and an event loop for coroutines (`async def`).",
    )
    data_dir: Path = Field(
        Path(".celeriac"), description="Where `celeriac up` keeps its data between starts."
    )
    app: str | None = Field(
        None, description="A Celery app of your own as `module:app`; Celeriac runs its tasks."
    )
    tasks: str | None = Field(
        None,
        description="Modules with tasks, separated by commas. Unset, it is `celeriac.tasks`, "
        "or nothing more where `CELERIAC_APP` names an app.",
    )
    queue: QueueNames = Field(
        QUEUE, min_length=1, description="The queue that tasks go to unless they say otherwise."
    )
    queues: QueueNames | None = Field(
        None,
        description="Further queues that workers listen to and submissions may name, "
        "separated by commas.",
    )
    delivery_limit: int = Field(
        10,
        ge=1,
        le=1000,
        description="How often a run is started again whose worker died of it, before it goes to "
        "the dead letters.",
    )
    time_limit_s: float | None = Field(
        None,
        gt=0,
        description="How long a run may take, in seconds, unless its task says otherwise; its "
        "process is killed then. Unset, there is no limit.",
    )
    soft_time_limit_s: float | None = Field(
        None,
        gt=0,
        description="After how long a run gets `SoftTimeLimitExceeded` raised, so that it can "
        "clean up, in seconds. Unset, never.",
    )
    child_memory_mb: int | None = Field(
        None,
        ge=16,
        description="A worker's child process that has more resident memory after a run is "
        "replaced by a new one, in MB. Unset, none is.",
    )
    stall_timeout_s: float = Field(
        30,
        ge=0,
        description="A worker that has room and was given nothing for so long, though messages "
        "wait, connects to the broker anew, in seconds; 0 is never.",
    )
    timezone: TimeZone = Field("Asia/Dhaka", description="Celery's time zone, an IANA name.")
    result_expires_s: int = Field(
        86_400, ge=60, description="How long Redis keeps a run after its last change, in seconds."
    )
    max_countdown_s: int = Field(
        86_400, ge=1, description="The longest countdown or ETA that a run may have, in seconds."
    )
    idempotency_expires_s: int = Field(
        86_400,
        ge=60,
        description="How long an `Idempotency-Key` is remembered, in seconds.",
    )
    stop_grace_s: float = Field(
        10,
        ge=0,
        le=3600,
        description="How long a role that is told to stop finishes what it has begun: runs in a "
        "worker, requests in the web; in seconds.",
    )
    start_wait_s: int = Field(
        300,
        ge=1,
        le=86_400,
        description="How long a role that starts waits for what it cannot work without, before it "
        "ends: the worker for broker and Redis, the recorder for Redis and the history, Flower for "
        "the broker, a web that people sign in to for the history; in seconds.",
    )
    publish_timeout_s: float = Field(
        2.5, gt=0, le=60, description="How long a submission waits for the broker, in seconds."
    )
    message_keys: MessageKeys | None = Field(
        None,
        description="Keys that sign the messages of runs, as `NAME:SECRET`, separated by commas; "
        "the first signs, all are accepted. Where it is set, workers execute signed messages "
        "alone.",
    )
    url: PublicUrl | None = Field(
        None,
        description="A web that `submit`, `run`, `runs list` and `tasks` ask, instead of servers "
        "that they reach themselves; `celeriac login` gets a token for it.",
    )
    token: SecretStr | None = Field(
        None, description="The token that they show to `CELERIAC_URL`; unset, that of the login."
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        description="The mail server of `email.send`: `smtp://`, `smtp+starttls://` or "
        "`smtps://user:password@host:port`.",
    )
    smtp_from: str = Field(
        "celeriac@localhost", description="The sender of `email.send` unless the run names one."
    )
    smtp_timeout_s: float = Field(
        20, gt=0, le=600, description="How long `email.send` waits for the mail server, in seconds."
    )
    log_lines: int = Field(
        1000,
        ge=0,
        le=100_000,
        description="How many lines are kept that one attempt of a run logs; 0 keeps none.",
    )
    log_level: str = Field(
        "INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$",
        description="The least level that is logged.",
    )

    @property
    def task_modules(self) -> tuple[str, ...]:
        """Give the modules to import tasks from, in order."""
        if self.tasks is None:
            return () if self.app else ("celeriac.tasks",)
        return names_in(self.tasks)

    @property
    def extra_queues(self) -> tuple[str, ...]:
        """Give the queues beside those that tasks are routed to."""
        return names_in(self.queues or "")

    @property
    def redacted_names(self) -> tuple[str, ...]:
        """Give the names of arguments that are redacted."""
        return names_in(self.redact)

    @property
    def message_key_names(self) -> tuple[str, ...]:
        """Give the names of the keys that sign messages; the first signs."""
        return tuple(keys_in(self.message_keys.get_secret_value())) if self.message_keys else ()

    @property
    def history_address(self) -> str:
        """Give the address of the history, the file in the data directory where none is set."""
        if self.history_url is None:
            return f"sqlite:///{self._history_file}"
        return self.history_url.get_secret_value()

    @property
    def has_history(self) -> bool:
        """Tell whether a history is set, or one is in the data directory already."""
        return self.history_url is not None or self._history_file.exists()

    @property
    def _history_file(self) -> Path:
        return self.data_dir.absolute() / "history.db"

    def require_urls(self) -> tuple[str, str]:
        """Give the addresses of broker and result backend.

        Raises:
            ConfigurationError: one of them is not set.
        """
        for name, url in (("BROKER_URL", self.broker_url), ("REDIS_URL", self.redis_url)):
            if url is None:
                raise ConfigurationError(
                    f"CELERIAC_{name} is not set. Set it, or start everything with `celeriac up`."
                )
        assert self.broker_url is not None and self.redis_url is not None
        return self.broker_url.get_secret_value(), self.redis_url.get_secret_value()


def load_settings(*, join_stack: bool = True, **given: Any) -> Settings:
    """Read the settings; `given` values that are not None win over every other source.

    `join_stack` takes the addresses of a `celeriac up` that runs in the same folder. The secrets
    are masked from then on, in all that the process prints or logs.

    Raises:
        ConfigurationError: a value is wrong; the message names its variable and never shows it.
    """
    given = {name: value for name, value in given.items() if value not in (None, "")}
    data_dir = Path(given.get("data_dir") or os.environ.get("CELERIAC_DATA_DIR") or ".celeriac")
    files = (data_dir / STACK_FILE, Path(".env")) if join_stack else (Path(".env"),)
    try:
        settings = Settings(_env_file=files, **given)
    except ValidationError as error:
        raise ConfigurationError(_first_problem(error)) from None
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read: {error.strerror}. Check who owns it, and its folder."
        ) from None
    know_settings(settings)
    return settings


def drop_celery_variables() -> list[str]:
    """Remove what the celery command reads and prefers to our settings; gives their names."""
    found = [name for name in CELERY_VARIABLES if name in os.environ]
    for name in found:
        del os.environ[name]
    return found


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in problem["loc"]).upper()
    return f"CELERIAC_{name}: {problem['msg'].removeprefix('Value error, ')}"
