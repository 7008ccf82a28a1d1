"""Signing in and out, and the links that let somebody choose a password."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask import session as form_session
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import Entry, Means, User
from celeriac.access.errors import SignInError, TooManyAttemptsError, UnknownUserError
from celeriac.errors import InvalidInputError
from celeriac.web.access import cookie
from celeriac.web.access.gate import me, way_back, who
from celeriac.web.access.rates import address_key
from celeriac.web.context import access, keeper, settings, trail

signing = Blueprint("signing", __name__)

Page = tuple[str, int]


@signing.get("/sign-in")
def show() -> BaseResponse | str:
    """Ask for name and password; whoever is signed in goes on."""
    asked = way_back(request.args.get("next", ""))
    if who() is not None:
        return redirect(asked, 303)
    return sign_in_page(asked, is_empty=access().users.is_empty())


@signing.post("/sign-in")
def sign_in() -> BaseResponse | Page:
    """Begin a session, always a new one, and go on to where the person wanted to go."""
    name, asked = request.form.get("name", ""), way_back(request.form.get("next", ""))
    try:
        user = _checked(name, request.form.get("password", ""))
    except TooManyAttemptsError as error:
        page = sign_in_page(asked, name=name, problem=str(error))
        response = make_response(page, 429)
        response.headers["Retry-After"] = str(error.retry_after_s)
        return response
    except SignInError as error:
        return sign_in_page(asked, name=name, problem=str(error)), 401
    return begin(user, Means.PASSWORD, asked)


@signing.post("/sign-out")
def sign_out() -> BaseResponse:
    """End the session of this browser."""
    access().sessions.end(me())
    form_session.clear()
    response = redirect(url_for("signing.show"), 303)
    cookie.take_away(response)  # type: ignore[arg-type]
    return response


@signing.get("/welcome/<secret>")
def welcome(secret: str) -> str:
    """Ask for a password, and the first administrator for a name, too."""
    return render_template("welcome.html", name=access().links.name_of(secret), problems={})


@signing.post("/welcome/<secret>")
def follow(secret: str) -> BaseResponse | Page:
    """Keep the password, and sign in."""
    typed = {name: request.form.get(name, "") for name in ("name", "password", "again")}
    name = access().links.name_of(secret)
    if typed["password"] != typed["again"]:
        problems = {"again": "The two passwords differ."}
        return render_template("welcome.html", name=name, typed=typed, problems=problems), 422
    try:
        user = access().links.follow(
            secret, typed["name"], typed["password"], request.remote_addr or ""
        )
    except InvalidInputError as error:
        return render_template("welcome.html", name=name, typed=typed, problems=error.by_field), 422
    return begin(user, Means.LINK, url_for("home.show"))


def sign_in_page(asked: str, **more: object) -> str:
    """Draw the page with each way to sign in."""
    label = settings().oidc_label if keeper().sign_on else ""
    return render_template("sign_in.html", next=asked, provider_label=label, **more)


def begin(user: User, means: Means, asked: str) -> BaseResponse:
    """Begin a session in this browser; what it held before is worth nothing any more."""
    agent, address = request.headers.get("User-Agent", ""), request.remote_addr or ""
    secret = access().sessions.begin(user, means, address, agent, instead_of=cookie.secret())
    form_session.clear()
    response = redirect(asked, 303)
    cookie.give(response, secret, access().sessions.longest)  # type: ignore[arg-type]
    return response


def _checked(name: str, password: str) -> User:
    address = request.remote_addr or ""
    with keeper().attempts.one(name, address_key(address)):
        try:
            return access().users.check(name, password)
        except SignInError:
            _tell_of_failure(name, address)
            raise


def _tell_of_failure(name: str, address: str) -> None:
    """Note an attempt on a user there is; what else was typed may be a password."""
    try:
        target = access().users.get(name).name
    except UnknownUserError:
        target = ""
    entry = Entry("-", Means.PASSWORD, "session.begin", target, address, outcome="sign_in_failed")
    trail().add(entry)
