"""The tests' own servers keep their promises: real, isolated, restartable, gone afterwards."""

import os
import smtplib
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.message import EmailMessage
from pathlib import Path

import pytest
from kombu import Connection
from redis import Redis

import mail_server
import servers
from mail_server import HANG, SmtpServer
from processes import LOOPBACK, free_port, is_listening
from servers import RabbitMQServer, RedisServer

OpenServer = Callable[[Path], AbstractContextManager[RedisServer]]


@pytest.mark.parametrize("open_server", [servers.redis_server, servers.valkey_server])
def test_redis_keeps_port_and_data_over_a_restart(open_server: OpenServer, tmp_path: Path) -> None:
    with open_server(tmp_path) as server:
        with server.client() as client:
            client.set("root", "celeriac")
        server.stop()
        assert not is_listening(server.port)

        server.start()

        with Redis.from_url(server.url) as client:
            assert client.get("root") == b"celeriac"
    assert not is_listening(server.port)


def test_rabbitmq_keeps_ports_and_messages_over_a_restart(tmp_path: Path) -> None:
    with servers.rabbitmq_server(tmp_path) as server:
        _publish(server.url, "leaves")
        pid = server.process.pid
        server.stop()
        assert not is_listening(server.port)

        server.start()

        assert server.process.pid != pid
        assert "leaves\t1" in server.rabbitmqctl("list_queues", "name", "messages")
    assert not any(map(is_listening, (server.port, server.management_port, server.epmd_port)))


def test_rabbitmq_runs_beside_another_with_nothing_shared(
    rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    with servers.rabbitmq_server(tmp_path) as other:
        _publish(other.url, "only-here")

        assert "only-here" in other.rabbitmqctl("list_queues", "name")
        assert "only-here" not in rabbitmq_server.rabbitmqctl("list_queues", "name")


def test_rabbitmq_vhost_is_gone_after_its_block(rabbitmq_server: RabbitMQServer) -> None:
    with rabbitmq_server.fresh_vhost() as url:
        _publish(url, "short-lived")
        name = url.rpartition("/")[2]
        assert name in rabbitmq_server.rabbitmqctl("list_vhosts")

    assert name not in rabbitmq_server.rabbitmqctl("list_vhosts")


def test_services_start_empty(services: tuple[str, str]) -> None:
    broker_url, redis_url = services

    with Connection(broker_url) as connection:
        assert connection.connect()
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_missing_program_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="apt install turnip-server"):
        servers.missing("Turnip", "turnip-server")

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt install turnip-server"):
        servers.missing("Turnip", "turnip-server")


def test_environment_of_servers_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", "amqp://production")

    assert set(servers.clean_environment(Path(os.sep))) == {"PATH", "HOME", "LANG"}


def test_free_port_gives_no_port_twice() -> None:
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == len(ports)


def test_mail_server_takes_what_it_is_sent(smtp_server: SmtpServer) -> None:
    _send(smtp_server)

    [mail] = smtp_server.received
    assert mail.recipients == ("bob@example.test",)
    assert mail.message["Subject"] == "Soup"


@pytest.mark.parametrize("answer", ["451 4.3.0 Try again later", "554 5.7.1 Refused"])
def test_mail_server_refuses_as_told_then_accepts(smtp_server: SmtpServer, answer: str) -> None:
    smtp_server.answers["DATA"] = answer
    with pytest.raises(smtplib.SMTPDataError) as caught:
        _send(smtp_server)
    assert caught.value.smtp_code == int(answer[:3])

    smtp_server.accept()
    _send(smtp_server)

    assert len(smtp_server.received) == 1


def test_mail_server_hangs_as_told(smtp_server: SmtpServer) -> None:
    smtp_server.answers["RCPT"] = HANG

    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        _send(smtp_server, timeout_s=0.3)


def test_mail_server_asks_for_the_password() -> None:
    with mail_server.smtp_server(user="cook", password="p@ss:word") as server:
        with pytest.raises(smtplib.SMTPException):
            _send(server)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            _send(server, login=("cook", "wrong"))

        _send(server, login=("cook", "p@ss:word"))

        assert len(server.received) == 1
        assert server.url.startswith("smtp://cook:p%40ss%3Aword@")


def _publish(url: str, queue: str) -> None:
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        made = connection.SimpleQueue(queue)
        made.put({"soup": True})
        made.close()


def _send(server: SmtpServer, login: tuple[str, str] | None = None, timeout_s: float = 10) -> None:
    message = EmailMessage()
    message["Subject"] = "Soup"
    message.set_content("Is ready.")
    with smtplib.SMTP(LOOPBACK, server.port, timeout=timeout_s) as client:
        if login:
            client.login(*login)
        client.send_message(message, "cook@example.test", "bob@example.test")
