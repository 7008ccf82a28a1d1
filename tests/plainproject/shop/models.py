"""What the shop sells, and to whom."""

from enum import StrEnum

from pydantic import BaseModel, Field


class Tier(StrEnum):
    """How good a customer is."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class Line(BaseModel):
    """One line of an order."""

    sku: str = Field(pattern=r"^[A-Z]{2}-\d{3}$", description="Two letters, a dash, three digits.")
    quantity: int = Field(1, ge=1, le=99)
    price_cents: int = Field(ge=0)


class Order(BaseModel):
    """What somebody buys."""

    customer: str
    lines: list[Line] = Field(min_length=1)
    note: str | None = None


class Receipt(BaseModel):
    """What the customer owes."""

    customer: str
    total_cents: int
