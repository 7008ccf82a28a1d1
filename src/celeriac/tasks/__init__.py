"""Tasks that come with Celeriac: plain Celery tasks, as a team would write them."""

from celeriac.tasks.email import send
from celeriac.tasks.primes import count
from celeriac.tasks.text import reverse, sentiment

__all__ = ["count", "reverse", "send", "sentiment"]
