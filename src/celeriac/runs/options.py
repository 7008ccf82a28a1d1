"""How a run is to be submitted, apart from its arguments."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from celeriac.catalog.arguments import problems_of
from celeriac.errors import FieldProblem, InvalidInputError


def _only_text(value: object) -> object:
    if isinstance(value, (int, float)):
        raise ValueError("Write an instant as RFC 3339 has it, such as 2030-01-31T09:00:00Z.")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_only_text)]


class SubmitOptions(BaseModel):
    """Options of one submission, each as Celery's `apply_async` knows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The queue; the task's own where it is not given."
    )
    priority: Annotated[int, Field(ge=0, le=9)] | None = Field(
        None, description="0 (the default) to 9; higher goes first."
    )
    countdown: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Start not before this many seconds from now."
    )
    eta: Instant | None = Field(
        None,
        description="Start not before this instant (RFC 3339 with an offset); a past one is now.",
    )
    expires: Instant | Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="Do not start after this instant, or this many seconds from now."
    )

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
            raise InvalidInputError(problems_of(error, "/options")) from None

    def eta_at(self, now: datetime, longest: timedelta) -> datetime | None:
        """Give the instant to wait for, or None to run now.

        Raises:
            InvalidInputError: it lies further ahead than `longest`.
        """
        try:
            eta = now + timedelta(seconds=self.countdown) if self.countdown else self.eta
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
        return eta.astimezone(UTC)

    def expires_at(self, now: datetime) -> datetime | None:
        """Give the instant after which the run must not start any more."""
        if isinstance(self.expires, float):
            return now + timedelta(seconds=min(self.expires, 10**9))
        return self.expires
