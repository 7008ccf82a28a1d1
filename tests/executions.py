"""Where `counted_tasks` write down each execution, and how often each run was executed.

This stands apart from the tasks: who imports those has them in every Celery app of its process.
"""

from collections import Counter
from pathlib import Path

COUNTED_IN = "COUNTED_IN"
"""The environment variable that names the file."""


def executions(path: Path) -> Counter[str]:
    """Count how often each run was executed, at least in part."""
    return Counter(path.read_text().split()) if path.exists() else Counter()
