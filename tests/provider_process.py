"""Runs an OpenID provider whose pages load nothing from other hosts: `provider_process.py PORT`."""

import re
import sys

from flask import Response
from oidc_provider_mock import app as make_app
from werkzeug.serving import make_server

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until somebody ends it."""
    app = make_app(require_nonce=True)
    app.add_url_rule("/favicon.ico", view_func=lambda: ("", 204))
    app.after_request(_without_links)
    make_server(LOOPBACK, int(sys.argv[1]), app, threaded=True).serve_forever()


def _without_links(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.set_data(re.sub(r"<link[^>]*>", "", response.get_data(as_text=True)))
    return response


if __name__ == "__main__":
    main()
