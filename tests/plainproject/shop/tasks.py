"""The shop's tasks, as somebody writes them who has never heard of Celeriac."""

import time
from datetime import date, timedelta
from typing import Any

from celery import Task, chain
from celery.utils.log import get_task_logger

from shop.celery_app import app
from shop.models import Order, Receipt, Tier

logger = get_task_logger(__name__)

DISCOUNTS = {Tier.BRONZE: 0, Tier.SILVER: 5, Tier.GOLD: 10}


class CardDeclinedError(Exception):
    """The bank said no."""


class WarehouseAwayError(Exception):
    """The warehouse's computer did not answer; it may, a little later."""


@app.task
def add(x: int, y: int = 1) -> int:
    """Add two numbers."""
    return x + y


@app.task
def greet(name, greeting="Hello"):
    """Greet somebody, without type hints."""
    return f"{greeting}, {name}!"


@app.task(name="orders.price", pydantic=True)
def price(order: Order) -> Receipt:
    """Add up what an order costs.

    Takes and gives a pydantic model.
    """
    total = sum(line.quantity * line.price_cents for line in order.lines)
    return Receipt(customer=order.customer, total_cents=total)


@app.task
def discount(amount_cents: int, tier: Tier, member_since: date) -> dict[str, int]:
    """Work out a customer's discount: by tier, and one per cent a year of membership up to five."""
    years = min((date.today() - member_since) // timedelta(days=365), 5)
    percent = DISCOUNTS[Tier(tier)] + years
    return {"percent": percent, "pay_cents": amount_cents * (100 - percent) // 100}


@app.task
def checkout(amounts: list[int]) -> str:
    """Add numbers in a chain of runs; gives the identifier of the last."""
    first, *others = amounts
    return str(chain(add.s(first, 0), *(add.s(amount) for amount in others)).delay().id)


@app.task
def charge(card: str) -> None:
    """Charge a card, which never works."""
    raise CardDeclinedError(f"The card ending in {card[-4:]} was declined.")


@app.task(
    bind=True,
    autoretry_for=(WarehouseAwayError,),
    retry_backoff=False,
    default_retry_delay=1,
    max_retries=3,
)
def reserve(self: "Task[Any, Any]", sku: str, away_times: int = 2) -> str:
    """Reserve an article, once the warehouse answers."""
    if self.request.retries < away_times:
        raise WarehouseAwayError(f"The warehouse did not answer about {sku}.")
    return f"{sku} reserved at attempt {self.request.retries + 1}"


@app.task(bind=True)
def import_catalogue(self: "Task[Any, Any]", articles: int = 20, pause_s: float = 0.1) -> int:
    """Read the supplier's catalogue, telling how far it is."""
    for current in range(1, articles + 1):
        time.sleep(pause_s)
        logger.info("article %d read", current)
        self.update_state(state="PROGRESS", meta={"current": current, "total": articles})
    return articles


@app.task(queue="mail")
def remind(customer: str) -> str:
    """Remind a customer of a full basket; goes to a queue of its own."""
    return f"{customer} reminded"


@app.task(ignore_result=True)
def log_visit(page: str) -> None:
    """Note a visit; nobody waits for the result."""
    logger.info("%s was visited", page)
