"""Who asks, by HTTP: what a program should know before it tries."""

from datetime import datetime

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, Field

from celeriac.access import Means, Role
from celeriac.access.errors import ForbiddenError
from celeriac.web.access.gate import me as asking
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import access

ACCESS = Tag(name="access", description="Who may do what.")


class Me(BaseModel):
    """Who asks, and what they may do."""

    name: str
    role: Role
    means: Means = Field(description="How they have shown who they are.")
    tasks: list[list[str]] = Field(
        description="Patterns of the tasks that they may operate; each list has to match."
    )
    queues: list[list[str]] = Field(description="The same of queues.")
    token: str | None = Field(description="The identifier of the token that was sent, if any.")
    ends_at: datetime | None = Field(description="When that token ends, if it ever does.")


@api.get("/me", tags=[ACCESS], responses={200: Me})
def show_me() -> Response:
    """Show who asks, and what they may do."""
    who = asking()
    return answer(
        Me(
            name=who.name,
            role=who.role,
            means=who.means,
            tasks=[list(each.tasks) for each in who.scopes if each.tasks is not None],
            token=who.token_id,
            ends_at=who.ends_at,
            queues=[list(each.queues) for each in who.scopes if each.queues is not None],
        )
    )


@api.post("/me/log-out", tags=[ACCESS], responses={204: None})
def log_out() -> Response:
    """Let the token that was sent open nothing any more."""
    who = asking()
    if who.token_id is None:
        raise ForbiddenError("Send the token that is to end; a browser signs out on its page.")
    access().tokens.revoke(who, who.token_id, who.user_id)
    return Response(status=204)
