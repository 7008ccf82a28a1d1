"""How a run is to be submitted, apart from its arguments."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from celeriac.catalog.arguments import problems_of
from celeriac.errors import FieldProblem, InvalidInputError


def _rfc_3339(value: object) -> object:
    """Refuse what pydantic would take for seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and WITH_DATE.match(value)):
        return value
    raise ValueError("Write an instant as RFC 3339 has it, such as 2030-01-31T09:00:00Z.")


def _printable(tag: str) -> str:
    if any(unicodedata.category(character) in UNUSABLE for character in tag):
        raise ValueError("A tag holds no control characters.")
    return tag


def _each_once(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(tags)) < len(tags):
        raise ValueError("Give each tag once.")
    return tags


UNUSABLE = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of surrogate pairs, and what breaks a line."""
WITH_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_printable),
]
Tags = Annotated[
    tuple[Tag, ...],
    Field(max_length=20, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class SubmitOptions(BaseModel):
    """Options of one submission, each as Celery's `apply_async` knows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The queue; the task's own where it is not given."
    )
    priority: Annotated[int, Field(ge=0, le=9, strict=True)] | None = Field(
        None, description="0 (the default) to 9; higher goes first."
    )
    countdown: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="Start not before this many seconds from now."
    )
    eta: Instant | None = Field(
        None,
        description="Start not before this instant (RFC 3339 with an offset); a past one is now.",
    )
    expires: Instant | Annotated[Seconds, Field(gt=0)] | None = Field(
        None, description="Do not start after this instant, or this many seconds from now."
    )

    tags: Tags = Field((), description="Words to find the run by.")

    @field_validator("expires", mode="wrap")
    @classmethod
    def _one_of_two(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(
                "Give an instant as RFC 3339 has it, or a number of seconds above 0."
            ) from None

    @model_validator(mode="after")
    def _one_way_to_wait(self) -> Self:
        if self.countdown is not None and self.eta is not None:
            raise ValueError("Give either countdown or eta, not both.")
        return self

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Validate options that came as JSON or from a command line.

        Raises:
            InvalidInputError: one is wrong; each is named by a pointer under `/options`.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InvalidInputError(problems_of(error, values, "/options")) from None

    def eta_at(self, now: datetime, longest: timedelta) -> datetime | None:
        """Give the instant to wait for, or None to run now.

        Raises:
            InvalidInputError: it lies further ahead than `longest`.
        """
        try:
            eta = now + timedelta(seconds=self.countdown) if self.countdown else self.eta
            eta = eta.astimezone(UTC) if eta else None
        except OverflowError:
            eta = datetime.max.replace(tzinfo=UTC)
        if eta is None or eta <= now:
            return None
        if eta - now > longest:
            name = "eta" if self.countdown is None else "countdown"
            limit = (
                f"The limit is {longest.total_seconds():.0f} seconds (CELERIAC_MAX_COUNTDOWN_S)."
            )
            raise InvalidInputError([FieldProblem(f"/options/{name}", f"Too far ahead. {limit}")])
        return eta

    def expires_at(self, now: datetime) -> datetime | None:
        """Give the instant after which the run must not start any more."""
        if isinstance(self.expires, float):
            return now + timedelta(seconds=min(self.expires, 10**9))
        try:
            return self.expires.astimezone(UTC) if self.expires else None
        except OverflowError:
            detail = "No such instant exists in UTC."
            raise InvalidInputError([FieldProblem("/options/expires", detail)]) from None
