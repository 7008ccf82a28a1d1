"""The controls of a form, as the templates draw them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from celeriac.web.form_shapes import Kind

_NARROW: Final = (
    Kind.NUMBER,
    Kind.DECIMAL,
    Kind.CHECKBOX,
    Kind.SELECT,
    Kind.RADIO,
    Kind.DATE,
    Kind.DATETIME,
    Kind.TIME,
)


@dataclass(frozen=True)
class Choice:
    """One entry of a select or one radio button."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Field:
    """One control with its label, what it holds, and what is wrong with that.

    A group's `children` are its members, a list's are its rows; `blank_row` is the row that the
    "Add" button copies, named `__row0__` (by the list's depth) where the number goes. A text that
    `keeps_empty` is an empty one when it is emptied, and not its default. What is `relaxed` may be
    left out although its schema requires it, being part of something left out.
    """

    kind: Kind
    name: str
    pointer: str
    label: str
    title: str | None = None
    type_words: str = ""
    hint: str = ""
    value: str = ""
    checked: bool = False
    required: bool = False
    nullable: bool = False
    switchable: bool = False
    relaxed: bool = False
    spare: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    children: tuple["Field", ...] = ()
    blank_row: "Field | None" = None
    depth: int = 0
    keeps_empty: bool = False
    problems: tuple[str, ...] = ()

    @property
    def is_wide(self) -> bool:
        """Tell whether the control needs all of a form's width."""
        return self.kind not in _NARROW

    @property
    def id(self) -> str:
        """Give the element id that labels and the problem summary point to."""
        return f"f-{self.name}"
