"""The page of one's own: what one may do, sessions, password, tokens, and what one has done."""

import secrets
from typing import Final

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import AuditFilter, Role, User
from celeriac.access.errors import SignInError
from celeriac.errors import InvalidInputError
from celeriac.web.access import cookie
from celeriac.web.access.gate import me, person
from celeriac.web.access.orders import LIFETIMES, asked_token
from celeriac.web.access.rates import address_key
from celeriac.web.context import access, keeper

account = Blueprint("account", __name__)

Page = str | tuple[str, int]
MADE_BY: Final = "token-form"
LATEST: Final = 20
"""How many entries of one's own audit trail are shown at once."""


@account.get("/account")
def show() -> Page:
    """Show what is one's own."""
    return _page()


@account.post("/account/sign-out-everywhere")
def sign_out_everywhere() -> BaseResponse:
    """End every session, this one too; tokens stay."""
    access().sessions.end_all(person(), _user())
    response = redirect(url_for("signing.show"), 303)
    cookie.take_away(response)  # type: ignore[arg-type]
    return response


@account.post("/account/password")
def change_password() -> BaseResponse | Page:
    """Change the password, given the old one; other browsers are signed out."""
    old, new, again = (request.form.get(name, "") for name in ("old", "password", "again"))
    who = person()
    try:
        with keeper().attempts.one(who.name, address_key(request.remote_addr or "")):
            access().users.check(who.name, old)
    except SignInError:
        return _page(problems={"old": "That is not the password."})
    if new != again:
        return _page(problems={"again": "The two passwords differ."})
    try:
        access().users.set_password(who, who.name, new)
    except InvalidInputError as error:
        return _page(problems={"password": error.problems[0].detail})
    flash("The password is changed. Other browsers are signed out.")
    return redirect(url_for("account.show"), 303)


@account.post("/account/tokens")
def create_token() -> Page | BaseResponse:
    """Make a token, and show it once; the same form sent again, by a reload, makes no other."""
    who, form = person(), request.form.get("form")
    if form and form == session.get(MADE_BY):
        flash("That token was made already, and is not shown again.")
        return redirect(url_for("account.show"), 303)
    try:
        token, text = access().tokens.create(who, _user(), asked_token())
    except InvalidInputError as error:
        return _page(problems=error.by_field)
    session[MADE_BY] = form
    return _page(made=token, text=text)


@account.post("/account/tokens/<token_id>/revoke")
def revoke_token(token_id: str) -> BaseResponse:
    """Let a token of one's own open nothing any more."""
    access().tokens.revoke(person(), token_id, _user().id)
    flash("The token is revoked. It opens nothing any more.")
    return redirect(url_for("account.show"), 303)


def _user() -> User:
    return access().users.get(me().name)


def _page(*, problems: dict[str, str] | None = None, **more: object) -> Page:
    user = _user()
    page = render_template(
        "account.html",
        user=user,
        sessions=access().sessions.of_user(user.id),
        tokens=access().tokens.all(user.id),
        told=access().audit.find(AuditFilter(user.name), request.args.get("cursor"), LATEST),
        role_choices=[(role, role) for role in Role if user.role.includes(role)],
        lifetimes=LIFETIMES,
        form=secrets.token_hex(8),
        problems=problems or {},
        **more,
    )
    return (page, 422) if problems else page
