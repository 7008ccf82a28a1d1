"""The fleet: what each worker tells of itself in Redis, and which queues it leaves alone.

Everything is kept in Redis:

- the hash `celeriac-worker-<name>`, what a worker tells every few seconds, each value as JSON. It
  expires a day after the last sign of life, so the time left tells its age by Redis's own clock;
- the sorted set `celeriac-workers`, the names of those hashes, so that nobody scans for them;
- the set `celeriac-paused-queues`, which survives every worker and every broker.
"""

WORKER_PREFIX = "celeriac-worker-"
WORKERS = "celeriac-workers"
PAUSED_QUEUES = "celeriac-paused-queues"
LOOK_AT_PAUSES = "celeriac_look_at_pauses"
"""The command that has workers follow that set at once."""

BEAT_S = 2.0
"""How often a worker tells of itself."""
LOST_AFTER_S = 15.0
"""A worker that has been silent for longer is taken for lost."""
KEEP_S = 86_400
"""How long a worker that is silent stays known."""
MOST_ACTIVE = 50
"""A worker may execute more runs than its record names."""

STEPS = (
    ("worker", "celeriac.fleet.heartbeat:Heartbeat"),
    ("worker", "celeriac.fleet.resizing:Resizing"),
    ("worker", "celeriac.fleet.watchdog:Watchdog"),
    ("consumer", "celeriac.fleet.holding:Holding"),
    ("consumer", "celeriac.fleet.holding:HoldingAgain"),
)
"""What a Celery app needs (`app.steps`) for its workers to do all this."""
