"""Runs the Flask app under granian: short requests in few threads, live streams in none.

granian speaks HTTP and calls `Gateway`, an ASGI application; docs/adr/0002-web-server.md says why.
Flask still decides everything. Three habits keep short requests quick whatever else goes on:

- a small request body is read before a thread is taken, so a slow client holds none;
- what may last (a large body, an answer made step by step) gets a thread of its own, up to a limit;
- a view that has to wait answers with `live_response` or `answer_later`.

`live` is what views use, `server` starts it all; `wsgi` calls the app, `threads` and `outbox` carry
work and chunks between the event loop and threads, `upload` carries the request's body, `refusals`
has the limits of what is listened to at all.
"""

from celeriac.web.gateway.asgi import Gateway
from celeriac.web.gateway.live import Chunks, LiveStream, answer_later, is_unfinished, live_response
from celeriac.web.gateway.refusals import Patience
from celeriac.web.gateway.server import serve

__all__ = [
    "Chunks",
    "Gateway",
    "LiveStream",
    "Patience",
    "answer_later",
    "is_unfinished",
    "live_response",
    "serve",
]
