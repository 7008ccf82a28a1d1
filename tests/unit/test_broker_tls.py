"""A broker that speaks TLS proves by its name that it is the one that was meant."""

import pytest

from celeriac.app import create_app
from celeriac.settings import load_settings


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("amqps://user:secret@b-1.example.org:5671/%2F", {"server_hostname": "b-1.example.org"}),
        ("amqps://user:secret@localhost/", {"server_hostname": "localhost"}),
        ("amqp://user:secret@b-1.example.org/", False),
    ],
)
def test_certificate_is_looked_at_for_the_name_in_the_address(url: str, wanted: object) -> None:
    settings = load_settings(join_stack=False, broker_url=url, redis_url="redis://localhost:1/0")

    for connection in (
        create_app(settings).connection_for_read(),
        create_app(settings, publisher=True).connection_for_write(),
    ):
        assert connection.ssl == wanted
