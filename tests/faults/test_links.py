"""Links that are cut, slow or half-open: nobody waits for ever, and nothing is lost."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from fault_load import SENT_TWICE
from fault_system import EXECUTED_AT_ONCE, System, running
from link import Link
from ordeal import ordeal

CUT_S = 20
DELAY_S = 0.1
MANY = 60
"""How many runs are accepted while links are slow."""
ADDRESSES = ("CELERIAC_BROKER_URL", "CELERIAC_REDIS_URL")

pytestmark = pytest.mark.timeout(900)


@dataclass
class Linked:
    """A system, the link from its workers to the broker, and the one from its web.

    The embedded server is broker and result backend at once, so there both go through the link.
    """

    system: System
    of_workers: Link
    of_web: Link


@pytest.fixture(scope="module")
def linked(unstarted_system: System) -> Iterator[Linked]:
    """Run a system with links."""
    bare, broker = unstarted_system, unstarted_system.broker
    with Link(broker.port).open() as of_workers, Link(broker.port).open() as of_web:
        system = replace(
            bare,
            worker_environment={name: of_workers.url(bare.environment[name]) for name in ADDRESSES},
            web_environment={name: of_web.url(bare.environment[name]) for name in ADDRESSES},
        )
        with running(system):
            yield Linked(system, of_workers, of_web)


def test_link_of_the_workers_cut(linked: Linked) -> None:
    fault = f"link between workers and broker cut for {CUT_S} s"
    with ordeal(linked.system, fault, again=EXECUTED_AT_ONCE) as load:
        _cut(linked.of_workers, CUT_S)
    assert load.lost() == set()


def test_link_of_the_web_cut(linked: Linked) -> None:
    fault = f"link between web and broker cut for {CUT_S} s"
    with ordeal(linked.system, fault, again=SENT_TWICE) as load:
        _cut(linked.of_web, CUT_S)
    assert load.lost() == set()


def test_links_slow(linked: Linked) -> None:
    fault = f"links to the broker slow, {2 * DELAY_S * 1000:g} ms there and back"
    with ordeal(linked.system, fault, again=EXECUTED_AT_ONCE + SENT_TWICE) as load:
        _slow_down(linked, DELAY_S)
        load.await_more(MANY)
        _slow_down(linked, 0)
    assert load.lost() == set()


def test_link_of_the_workers_half_open(linked: Linked) -> None:
    fault = "half-open connections of the workers"
    with ordeal(linked.system, fault, again=EXECUTED_AT_ONCE) as load:
        linked.of_workers.abandon()
    assert load.lost() == set()


def test_link_of_the_web_half_open(linked: Linked) -> None:
    with ordeal(linked.system, "half-open connections of the web", again=SENT_TWICE) as load:
        linked.of_web.abandon()
    assert load.lost() == set()


def _slow_down(linked: Linked, delay_s: float) -> None:
    """Have everybody connect anew over links that take so long."""
    for link in (linked.of_workers, linked.of_web):
        link.delay_s = delay_s
        link.hang_up()


def _cut(link: Link, cut_s: float) -> None:
    link.cut()
    threading.Event().wait(cut_s)  # That time goes by is the fault.
    link.restore()
