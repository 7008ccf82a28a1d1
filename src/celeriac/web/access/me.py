"""Who asks, by HTTP: what a program should know before it tries."""

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, Field

from celeriac.access import Means, Role
from celeriac.web.access.gate import me as asking
from celeriac.web.api.blueprint import answer, api

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
            queues=[list(each.queues) for each in who.scopes if each.queues is not None],
        )
    )
