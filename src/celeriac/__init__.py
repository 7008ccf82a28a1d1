"""Celeriac: a typed HTTP API, a live UI and runs that are never lost, on plain Celery tasks."""

__version__ = "0.1.0"
