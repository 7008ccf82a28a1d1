"""The web role: the HTTP API, the UI and the documents, as one Flask app."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Response, make_response, request
from flask_openapi import Info, OpenAPI
from flask_wtf import CSRFProtect
from pydantic import ValidationError
from whitenoise import WhiteNoise

import celeriac
from celeriac.access import Access
from celeriac.access.attempts import Attempts
from celeriac.access.audit_writer import AuditWriter
from celeriac.catalog.arguments import problems_of
from celeriac.errors import ConfigurationError, InvalidInputError
from celeriac.exposure import require_closed
from celeriac.runs import Runs
from celeriac.settings import Settings
from celeriac.web import access, assets, context, flower_pages, hosts, look, origins, problems
from celeriac.web.access.cookie import FormCookies
from celeriac.web.api import api
from celeriac.web.dead_letter_pages import dead_letters, waiting
from celeriac.web.fleet_pages import fleet
from celeriac.web.headers import add_headers, headers_for, with_headers
from celeriac.web.health import health
from celeriac.web.home import home
from celeriac.web.metrics import metrics
from celeriac.web.openapi import docs
from celeriac.web.proxies import behind_proxies
from celeriac.web.run_list import run_list
from celeriac.web.run_page import pages
from celeriac.web.streams import streams
from celeriac.web.strict_json import StrictJSON

if TYPE_CHECKING:
    from celeriac.access.single_sign_on import SingleSignOn

MOST_FUNCTIONS = 1_024
"""Of how many of Flask's functions it is remembered whether they are coroutines."""
DESCRIPTION = "Submit Celery tasks, watch their runs and read their results."


class App(OpenAPI):
    """The app, which looks once and not at each request whether a function is a coroutine."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plain: set[Callable[..., Any]] = set()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function that can be called as it is."""
        if func in self._plain:
            return func
        found = super().ensure_sync(func)
        if found is func and len(self._plain) < MOST_FUNCTIONS:
            self._plain.add(func)
        return found


def create_app(settings: Settings, runs: Runs) -> OpenAPI:
    """Build the app; it connects to nothing until a request needs it.

    Raises:
        ConfigurationError: strangers could run tasks, `CELERIAC_TRUSTED_HOSTS` names something
            that is no host, or the provider that people sign in by is set in part.
    """
    require_closed(settings)
    app = App(
        __name__,
        info=Info(title="Celeriac", version=celeriac.__version__, description=DESCRIPTION),
        doc_ui=False,
        validation_error_callback=_of_validation_error,
    )
    app.openapi_version = "3.1.0"
    app.json = StrictJSON(app)
    app.session_interface = FormCookies()
    app.config.update(_flask_config(settings))
    app.extensions[context.EXTENSION] = _context(settings, runs)
    app.before_request(partial(hosts.refuse_untrusted_host, hosts.trusted_names(settings)))
    app.before_request(origins.refuse_cross_site)
    access.prepare(app, settings)
    access.install(app)
    _register(app, settings)
    problems.init_app(app)
    look.install(app)
    app.jinja_env.globals.update(letters_waiting=waiting)
    app.after_request(partial(add_headers, headers_for(settings)))
    app.wsgi_app = _wsgi_app(app, settings)  # type: ignore[method-assign]
    return app


def _register(app: OpenAPI, settings: Settings) -> None:
    """Add the API and the pages; only the API and Flower are without forms of ours."""
    csrf = CSRFProtect(app)
    csrf.exempt(api)
    csrf.exempt(flower_pages.flower)
    app.register_api(api)
    app.register_api(streams)
    pages_of = (health, metrics, docs, home, pages, run_list, fleet, dead_letters)
    for blueprint in (*pages_of, *access.BLUEPRINTS):
        app.register_blueprint(blueprint)
    flower_pages.install(app, settings)


def _wsgi_app(app: OpenAPI, settings: Settings) -> Any:
    """Give what answers first: proxies' words are understood, and static files given."""
    with_files = WhiteNoise(
        app.wsgi_app,
        root=assets.STATIC,
        prefix="static/",
        max_age=assets.MAX_AGE_S,
        allow_all_origins=False,
    )
    return behind_proxies(with_headers(with_files, headers_for(settings)), settings)


def _context(settings: Settings, runs: Runs) -> context.Context:
    found = Access.of(settings)
    trail = AuditWriter(found.audit, found.prepare)
    return context.Context(settings, runs, trail, _guard(settings, found))


def _guard(settings: Settings, found: Access) -> context.Guard | None:
    if not settings.authentication:
        if settings.oidc_issuer:
            raise ConfigurationError(
                "CELERIAC_OIDC_ISSUER is set, and nobody has to sign in: set "
                "CELERIAC_AUTHENTICATION=on, too."
            )
        return None
    redis = settings.redis_url
    attempts = Attempts(redis.get_secret_value() if redis else None)
    return context.Guard(found, attempts, _sign_on(settings))


def _sign_on(settings: Settings) -> "SingleSignOn | None":
    """Build the way of signing in by a provider; what it needs takes a second to import."""
    if not (settings.oidc_issuer or settings.oidc_client_id):
        return None
    from celeriac.access.single_sign_on import SingleSignOn

    return SingleSignOn.of(settings)


def _flask_config(settings: Settings) -> dict[str, Any]:
    key = settings.secret_key
    return {
        "SECRET_KEY": key.get_secret_value() if key else secrets.token_hex(32),
        "MAX_CONTENT_LENGTH": settings.max_body_bytes,
        "MAX_FORM_MEMORY_SIZE": settings.max_body_bytes,
        "WTF_CSRF_TIME_LIMIT": None,
    }


def _of_validation_error(error: ValidationError) -> Response:
    return make_response(
        problems.of_invalid_input(
            InvalidInputError(problems_of(error, request.get_json(silent=True) or request.args))
        )
    )
