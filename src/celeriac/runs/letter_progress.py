"""How far an action on dead letters has come."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

LOOKED_AT = "Somebody else looks at some of the letters just now. Try again shortly."


class LetterProgress(BaseModel):
    """How far an action on dead letters has come."""

    model_config = ConfigDict(frozen=True)

    total: int = Field(description="How many letters there were when it began.")
    seen: int = 0
    done: int = Field(0, description="Letters that were replayed or discarded.")
    unsigned: int = Field(
        0, description="Letters that stay, since their signature is missing or wrong."
    )
    finished: bool = False
    stopped: str | None = Field(None, description="Why it could not go on; ask again later.")

    def plus(self, *, done: bool, unsigned: bool = False) -> Self:
        """Count one more letter."""
        counts = {"done": self.done + done, "unsigned": self.unsigned + unsigned}
        return self.model_copy(update={"seen": self.seen + 1, **counts})

    def ended(self, *, is_looked_at: bool) -> Self:
        """Tell the end: success only where every letter was seen."""
        if is_looked_at or self.seen < self.total:
            return self.model_copy(update={"stopped": LOOKED_AT})
        return self.model_copy(update={"finished": True})
