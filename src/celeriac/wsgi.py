"""Entry point for WSGI servers: `celeriac.wsgi:app`."""

from celeriac.masking import mask_outputs
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.access.ready import make_ready

mask_outputs()
_settings = load_settings()
make_ready(_settings)
app = create_app(_settings, Runs.of(_settings))
