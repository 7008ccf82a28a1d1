"""A broker that is away, or lets nobody in: what was accepted is executed when it is back."""

import os
import threading

import pytest

from eventually import eventually
from fault_load import SENT_TWICE
from fault_system import EXECUTED_AT_ONCE, System
from ordeal import ordeal
from servers import RabbitMQServer

STOPPED_S = float(os.environ.get("STOPPED_S") or 30)
IN_HAND = EXECUTED_AT_ONCE + SENT_TWICE
WATERMARK = "set_vm_memory_high_watermark"
REFUSALS = 10
"""How many submissions an alarm refuses before it is cleared."""

pytestmark = pytest.mark.timeout(900)
on_rabbitmq = pytest.mark.parametrize("unstarted_system", ["RabbitMQ"], indirect=True)


def test_broker_restarted(system: System) -> None:
    with ordeal(system, "broker restarted", again=IN_HAND) as load:
        system.broker.stop()
        system.broker.start()
    assert load.lost() == set()


def test_broker_stopped_for_a_while(system: System) -> None:
    with ordeal(system, f"broker stopped for {STOPPED_S:g} s", again=IN_HAND) as load:
        system.broker.stop()
        threading.Event().wait(STOPPED_S)  # That time goes by is the fault.
        system.broker.start()
    assert load.lost() == set()


def test_broker_killed(system: System) -> None:
    with ordeal(system, "broker killed", again=IN_HAND) as load:
        system.broker.kill()
        system.broker.start()
    assert load.lost() == set()


@on_rabbitmq
def test_memory_alarm(system: System) -> None:
    rabbitmq = system.broker
    assert isinstance(rabbitmq, RabbitMQServer)
    with ordeal(system, "memory alarm of the broker", again=SENT_TWICE) as load:
        rabbitmq.rabbitmqctl(WATERMARK, "0")
        try:
            eventually(lambda: load.refused + len(load.unconfirmed) >= REFUSALS, deadline_s=180)
        finally:
            rabbitmq.rabbitmqctl(WATERMARK, "0.4")
    assert load.lost() == set()


@on_rabbitmq
def test_connections_closed_by_command(system: System) -> None:
    rabbitmq = system.broker
    assert isinstance(rabbitmq, RabbitMQServer)
    with ordeal(system, "connections closed by the broker's command", again=IN_HAND) as load:
        rabbitmq.rabbitmqctl("close_all_connections", "because")
    assert load.lost() == set()
