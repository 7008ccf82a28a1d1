"""What happened over time, by HTTP: counts, durations, and failures that look the same."""

from datetime import UTC, datetime

from flask import Response
from flask_openapi import Tag
from pydantic import BaseModel, Field

from celeriac.runs import FailureList, Stats, instant_of
from celeriac.web.api.blueprint import answer, api
from celeriac.web.context import runs

STATISTICS = Tag(name="statistics", description="What happened over time.")


class StatsQuery(BaseModel):
    since: str = Field("1h", description="An instant (RFC 3339) or an age such as `1h`.")
    until: str | None = Field(None, description="The same; now, where it is not given.")
    buckets: int = Field(60, ge=1, le=1000, description="About how many.")


@api.get("/stats", tags=[STATISTICS], responses={200: Stats})
def show_stats(query: StatsQuery) -> Response:
    """Count what was submitted and how it ended, with times of running and waiting."""
    now = datetime.now(UTC)
    since = instant_of("since", query.since, now)
    until = instant_of("until", query.until, now) if query.until else now
    return answer(runs().overview.stats(since, until, query.buckets))


class FailureQuery(BaseModel):
    since: str = Field("24h", description="An instant (RFC 3339) or an age such as `1h`.")
    limit: int = Field(20, ge=1, le=200)


@api.get("/failures", tags=[STATISTICS], responses={200: FailureList})
def list_failures(query: FailureQuery) -> Response:
    """Group the failures since then by what they have in common."""
    since = instant_of("since", query.since, datetime.now(UTC))
    return answer(FailureList.of(runs().history.failures(since, query.limit)))
