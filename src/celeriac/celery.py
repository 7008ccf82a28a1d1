"""Entry point of the `celery` command, as in `celery -A celeriac inspect ping`."""

import sys

from celeriac.app import create_app
from celeriac.errors import ConfigurationError
from celeriac.masking import mask_outputs
from celeriac.settings import load_settings

mask_outputs()
try:
    app = create_app(load_settings())
except ConfigurationError as error:
    print(f"celeriac: {error}", file=sys.stderr)
    sys.exit(2)
