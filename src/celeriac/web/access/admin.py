"""The pages of administrators: users, tokens, and the audit trail."""

from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import AuditFilter, Role
from celeriac.errors import InvalidInputError
from celeriac.runs import instant_of
from celeriac.web.access.gate import person
from celeriac.web.access.orders import asked_role, asked_scope, changed_scope
from celeriac.web.context import access
from celeriac.web.public_address import public_address

admin = Blueprint("admin", __name__)

Page = str | tuple[str, int]
FILTERS: Final = ("actor", "action", "target", "since", "until", "q")
WORDS: Final = {
    "disable": "may do nothing any more.",
    "enable": "may sign in again.",
    "sign-out": "is signed out everywhere.",
}


@admin.get("/admin/users")
def users() -> Page:
    """Show the users."""
    return _users_page()


@admin.post("/admin/users")
def add_user() -> Page:
    """Add a user, and show the link by which they choose a password, once."""
    try:
        user = access().users.add(
            person(), request.form.get("name", ""), asked_role(), asked_scope()
        )
    except InvalidInputError as error:
        return _users_page(problems=error.by_field)
    return _users_page(linked=user.name, link=_link(user.name))


@admin.post("/admin/users/<name>")
def change_user(name: str) -> BaseResponse:
    """Change what a user may do."""
    access().users.change(person(), name, asked_role(), changed_scope())
    flash(f"{name} is {asked_role()} from now on.")
    return redirect(url_for("admin.users"), 303)


@admin.post("/admin/users/<name>/<any(disable, enable, 'sign-out', link):change>")
def act_on_user(name: str, change: str) -> BaseResponse | Page:
    """Do what a button beside a user says."""
    who, users = person(), access().users
    match change:
        case "link":
            return _users_page(linked=name, link=_link(name))
        case "disable":
            users.disable(who, name)
        case "enable":
            users.enable(who, name)
        case _:
            access().sessions.end_all(who, users.get(name))
    flash(f"{name} {WORDS[change]}")
    return redirect(url_for("admin.users"), 303)


@admin.get("/admin/tokens")
def tokens() -> str:
    """Show everybody's tokens."""
    return render_template("admin_tokens.html", tokens=access().tokens.all())


@admin.post("/admin/tokens/<token_id>/revoke")
def revoke_token(token_id: str) -> BaseResponse:
    """Let anybody's token open nothing any more."""
    access().tokens.revoke(person(), token_id)
    flash("The token is revoked. It opens nothing any more.")
    return redirect(url_for("admin.tokens"), 303)


@admin.get("/admin/audit")
def audit() -> Page:
    """Show who did what, newest first."""
    given = {name: request.args.get(name, "") for name in FILTERS}
    try:
        found = access().audit.find(_wanted(), request.args.get("cursor"))
    except InvalidInputError as error:
        problem = error.problems[0].detail
        return render_template("admin_audit.html", page=None, given=given, problem=problem), 422
    return render_template("admin_audit.html", page=found, given=given)


@admin.get("/admin/audit.ndjson")
def export_audit() -> Response:
    """Give all entries that match as a file, one a line."""
    lines = access().audit.export(_wanted())
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return Response(lines, mimetype="application/x-ndjson", headers=headers)


def _wanted() -> AuditFilter:
    given = {name: request.args.get(name, "").strip() or None for name in FILTERS}
    now = datetime.now(UTC)
    since, until = (
        instant_of(name, text, now) if (text := given.pop(name)) else None
        for name in ("since", "until")
    )
    return AuditFilter(since=since, until=until, **given)


def _link(name: str) -> str:
    secret = access().links.for_user(person(), name)
    return public_address(url_for("signing.welcome", secret=secret))


def _users_page(*, problems: dict[str, str] | None = None, **more: object) -> Page:
    page = render_template(
        "admin_users.html",
        users=access().users.all(),
        roles=list(Role),
        role_choices=[(role, role) for role in Role],
        problems=problems or {},
        typed=request.form if problems else {},
        **more,
    )
    return (page, 422) if problems else page
