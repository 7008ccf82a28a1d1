"""Celery's configuration, each value under Celery's own setting name.

Source: Celery 5.7, "Configuration and defaults".
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from celeriac.settings import Settings

PRIORITIES = 10
"""Priorities go from 0 (the default, last) to 9 (first), as in AMQP."""

CONNECT_TIMEOUT_S = 1.0
PUBLISH_RETRIES = {
    "max_retries": 120, "interval_start": 0, "interval_step": 0.2, "interval_max": 1,
}  # fmt: skip
"""How a task publishes while the broker is away; submissions of the web are never repeated."""
REDIS_ANSWERS_WITHIN_S = 10.0
RABBITMQ_ANSWERS_WITHIN_S = 30.0
"""How long a worker waits for an answer before it takes the connection for dead."""
PUBLISHER_CONNECTIONS = 64
"""How many may publish at once in one process; a connection is made when it is needed."""


@dataclass(frozen=True)
class CeleryConfig:
    """What Celeriac sets; all else keeps Celery's own defaults."""

    broker_url: str
    result_backend: str

    accept_content: tuple[str, ...] = ("json",)
    task_serializer: str = "json"
    result_serializer: str = "json"

    timezone: str = "Asia/Dhaka"
    enable_utc: bool = True
    task_default_queue: str = "celery_see"

    # A message leaves its queue when its run has ended, so that a lost worker loses none.
    task_acks_late: bool = True
    task_reject_on_worker_lost: bool = True
    worker_prefetch_multiplier: int = 1
    worker_consumer: str = "celeriac.consumer:Consumer"
    worker_pool: str = "prefork"

    # Flower and the live pages need to hear of each change.
    task_track_started: bool = True
    task_send_sent_event: bool = True
    worker_send_task_events: bool = True

    task_time_limit: float | None = None
    task_soft_time_limit: float | None = None
    worker_max_memory_per_child: int | None = None
    # What follows a run waits for a broker that is away, for two minutes and longer.
    task_publish_retry_policy: dict[str, Any] = field(default_factory=lambda: PUBLISH_RETRIES)

    result_expires: int = 86_400
    result_backend_always_retry: bool = True
    broker_connection_retry_on_startup: bool = True
    # RabbitMQ closes the channel of who holds a message too long; the worker would end of it, and
    # its runs with it.
    broker_channel_error_retry: bool = True
    broker_connection_timeout: float = CONNECT_TIMEOUT_S
    broker_use_ssl: dict[str, str] | bool = False
    broker_heartbeat: int = 10
    broker_pool_limit: int = 10
    broker_transport_options: dict[str, Any] = field(default_factory=dict)
    task_default_priority: int | None = None
    redis_socket_timeout: float = REDIS_ANSWERS_WITHIN_S
    redis_socket_connect_timeout: float = 2.0
    redis_socket_keepalive: bool = True
    redis_backend_health_check_interval: int = 30

    # Of our own: the result backend and the worker's stop read them.
    celeriac_redact: tuple[str, ...] = ()
    celeriac_max_value_bytes: int = 65_536
    celeriac_stop_grace_s: float = 10.0


def celery_config(settings: Settings, *, publisher: bool = False) -> CeleryConfig:
    """Derive Celery's configuration; a `publisher` submits and consumes nothing.

    Raises:
        ConfigurationError: the address of broker or result backend is not set.
    """
    broker_url, redis_url = map(_checking_certificates, settings.require_urls())
    on_redis = not broker_url.startswith("amqp")
    return CeleryConfig(
        broker_url=broker_url,
        broker_use_ssl=_checking_names(broker_url),
        broker_pool_limit=PUBLISHER_CONNECTIONS if publisher else 10,
        result_backend=f"celeriac+{redis_url.removeprefix('redis+')}",
        timezone=settings.timezone,
        task_default_queue=settings.queue,
        # Redis queues have no default of their own, and kombu counts them the other way round.
        task_default_priority=PRIORITIES - 1 if on_redis else None,
        worker_pool=settings.pool,
        task_time_limit=settings.time_limit_s,
        task_soft_time_limit=settings.soft_time_limit_s,
        worker_max_memory_per_child=_kilobytes(settings.child_memory_mb),
        result_expires=settings.result_expires_s,
        celeriac_redact=settings.redacted_names,
        celeriac_max_value_bytes=settings.max_value_bytes,
        celeriac_stop_grace_s=settings.stop_grace_s,
        broker_transport_options=(
            _redis_options(settings, publisher) if on_redis else _amqp_options(settings, publisher)
        ),
    )


def _kilobytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * 1024


def _checking_certificates(url: str) -> str:
    """Ask for what Celery insists on being told: that a rediss:// server proves who it is."""
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def _checking_names(url: str) -> dict[str, str] | bool:
    """Have the server of an amqps:// prove that it has this name, and not just any certificate.

    Source: amqp 5.4, `SSLTransport._wrap_socket_sni`: it looks at no name unless it is given one.
    """
    parts = urlsplit(url)
    return parts.scheme == "amqps" and {"server_hostname": parts.hostname or ""}


def _redis_options(settings: Settings, publisher: bool) -> dict[str, Any]:
    return {
        # Redis hands a message out again after this time, so no ETA may lie beyond it.
        "visibility_timeout": settings.max_countdown_s + 3600,
        "queue_order_strategy": "priority",
        "priority_steps": list(range(PRIORITIES)),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_keepalive": True,
        # A connection whose other end has vanished is noticed by an answer that does not come.
        "health_check_interval": 10,
        "socket_timeout": _answer_within_s(settings) if publisher else REDIS_ANSWERS_WITHIN_S,
    }


def _amqp_options(settings: Settings, publisher: bool) -> dict[str, Any]:
    # Without deadlines on the socket a publisher hangs for as long as RabbitMQ holds an alarm, and
    # for ever on a connection whose other end has vanished. A task that publishes has more time.
    timeout_s = _answer_within_s(settings) if publisher else RABBITMQ_ANSWERS_WITHIN_S
    return {"confirm_publish": True, "read_timeout": timeout_s, "write_timeout": timeout_s}


def _answer_within_s(settings: Settings) -> float:
    """Leave room for connecting, within the time that a submission may take."""
    return max(0.1, settings.publish_timeout_s - CONNECT_TIMEOUT_S)
