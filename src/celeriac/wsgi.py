"""Entry point for WSGI servers: `celeriac.wsgi:app`."""

from functools import cache

from celeriac.masking import mask_outputs
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.access.ready import make_ready

mask_outputs()
_settings = load_settings()
make_ready(_settings)
_runs = Runs.of(_settings)
app = create_app(_settings, _runs)
# At the first request of each process: a server may fork after this, and threads stay behind.
app.before_request(cache(_runs.dead_letters.watch))
