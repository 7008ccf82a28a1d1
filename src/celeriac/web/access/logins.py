"""Logins of command lines: two calls for the terminal, and a page for whoever approves it."""

from datetime import datetime
from typing import Final

from flask import Response, flash, redirect, render_template, request, url_for
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import Role
from celeriac.access.errors import LoginLostError
from celeriac.web.access.account import account
from celeriac.web.access.gate import person
from celeriac.web.access.me import ACCESS
from celeriac.web.access.orders import asked_role
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import access
from celeriac.web.public_address import public_address

ASK_AGAIN_S: Final = 1
LIFETIMES: Final = {"1": "a day", "7": "7 days", "30": "30 days", "90": "90 days"}
USUAL_DAYS: Final = "30"


class LoginRequest(BaseModel):
    """The body of a request to log in."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(max_length=200, description="What asks, such as the name of the machine.")


class LoginBegun(BaseModel):
    """A login that waits for somebody to approve it."""

    secret: str = Field(description="What the token is fetched by; it stays in the terminal.")
    code: str = Field(description="What the person compares.")
    url: str = Field(description="The page on which they approve it.")
    ask_again_s: int = Field(description="How long to wait between two calls that fetch it.")
    ends_at: datetime


class LoginFetch(BaseModel):
    """The body of a call that fetches the token."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(max_length=200)


class LoginDone(BaseModel):
    """The token, or null as long as nobody has decided."""

    token: str | None = None
    name: str | None = None
    role: Role | None = None
    ends_at: datetime | None = None


@api.post("/logins", tags=[ACCESS], responses={201: LoginBegun})
def begin_login(body: LoginRequest) -> Response:
    """Ask for a token that somebody approves in a browser, as a command line does."""
    login, secret = access().logins.begin(body.label, request.remote_addr or "")
    begun = LoginBegun(
        secret=secret,
        code=login.code,
        url=public_address(url_for("account.show_login", code=login.code)),
        ask_again_s=ASK_AGAIN_S,
        ends_at=login.ends_at,
    )
    return answer(begun, 201)


@api.post("/logins/token", tags=[ACCESS], responses={200: LoginDone, 202: LoginDone})
def fetch_login(body: LoginFetch) -> Response:
    """Fetch the token, once: 202 as long as nobody has decided."""
    found = access().logins.collect(body.secret, request.remote_addr or "")
    if found is None:
        return answer(LoginDone(), 202)
    token, text = found
    done = LoginDone(token=text, name=token.owner, role=token.role, ends_at=token.ends_at)
    return answer(done)


@account.get("/login")
def show_login() -> str:
    """Show who asks, for the person to compare; without a code, ask for it."""
    code = request.args.get("code", "")
    login = access().logins.find(code) if code else None
    role = access().users.get(person().name).role
    choices = [(each, each) for each in Role if role.includes(each)]
    # What a command line does is an operator's; who needs more of a token says so.
    usual_role = Role.OPERATOR if role.includes(Role.OPERATOR) else role
    return render_template(
        "login.html", login=login, role_choices=choices, role=usual_role, lifetimes=LIFETIMES,
        usual=USUAL_DAYS,
    )  # fmt: skip


@account.post("/login")
def decide_login() -> BaseResponse:
    """Approve a login, or refuse it."""
    who, code = person(), request.form.get("code", "")
    if request.form.get("decision") != "approve":
        access().logins.deny(who, code)
        flash("Refused. Nobody was logged in.")
    else:
        days = request.form.get("days", USUAL_DAYS)
        if days not in LIFETIMES:
            raise LoginLostError
        user = access().users.get(who.name)
        login = access().logins.approve(who, user, code, asked_role(), int(days))
        flash(f"{login.label} is logged in as {who.name}. Go on in the terminal.")
    return redirect(url_for("account.show"), 303)
