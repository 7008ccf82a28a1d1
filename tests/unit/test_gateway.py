"""The gateway's parts that need no server: calling a WSGI app, and views under any other server."""

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from celeriac.errors import RunNotFoundError
from celeriac.web.gateway import answer_later, live_response
from celeriac.web.gateway.live import LiveStream
from celeriac.web.gateway.threads import ShortThreads
from celeriac.web.gateway.wsgi import AppCall, Reply, Steps, make_environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LATE_FAILURE: Any = (ValueError, ValueError("late"), None)


def environ_of(
    raw_path: bytes = b"/", *headers: tuple[bytes, bytes], method: str = "GET"
) -> "WSGIEnvironment":
    scope = {
        "method": method,
        "raw_path": raw_path,
        "query_string": b"a=%20b",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 5000),
        "client": ("10.0.1.9", 40_000),
        "headers": list(headers),
    }
    return make_environ(scope, io.BytesIO())


def reply_of(app: "WSGIApplication", method: str = "GET") -> Reply:
    return AppCall(app, environ_of(method=method)).reply()


def items_of(reply: Reply) -> list[bytes]:
    assert isinstance(reply.body, Steps)
    return [item for item in reply.body.items if item]


class Body:
    """An iterable that remembers whether it was closed."""

    def __init__(self, *items: bytes, error: Exception | None = None) -> None:
        self.items, self.error, self.is_closed = items, error, False

    def __iter__(self) -> Iterator[bytes]:
        yield from self.items
        if self.error:
            raise self.error

    def close(self) -> None:
        self.is_closed = True


def app_of(
    body: Iterable[bytes], *headers: tuple[str, str], status: str = "200 OK"
) -> "WSGIApplication":
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return app


def test_environ_decodes_the_path_as_latin_1() -> None:
    environ = environ_of(b"/a%20b%2Fc/%E9/%C3%A9")
    assert environ["PATH_INFO"] == "/a b/c/\xe9/\xc3\xa9"


def test_environ_joins_repeated_headers() -> None:
    environ = environ_of(
        b"/", (b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a=1"), (b"cookie", b"b=2")
    )
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_environ_names_content_headers_without_a_prefix() -> None:
    environ = environ_of(b"/", (b"content-type", b"text/plain"), (b"content-length", b"3"))
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "3")
    assert "HTTP_CONTENT_TYPE" not in environ


@pytest.mark.parametrize("name", [b"proxy", b"x_forwarded_for"])
def test_environ_leaves_out_headers_that_pose_as_others(name: bytes) -> None:
    assert not [key for key in environ_of(b"/", (name, b"x")) if key.startswith("HTTP_")]


def test_environ_tells_addresses_and_query() -> None:
    environ = environ_of()
    assert environ["REMOTE_ADDR"] == "10.0.1.9"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", "5000")
    assert (environ["QUERY_STRING"], environ["SCRIPT_NAME"]) == ("a=%20b", "")


def test_short_body_is_collected_and_closed() -> None:
    body = Body(b"ab", b"c")
    assert reply_of(app_of(body, ("Content-Length", "3"))).body == b"abc"
    assert body.is_closed


def test_body_of_unknown_length_is_left_to_iterate_over() -> None:
    body = Body(b"ab", b"c")
    reply = reply_of(app_of(body))
    assert not body.is_closed
    assert items_of(reply) == [b"ab", b"c"]


def test_head_has_headers_and_no_body() -> None:
    reply = reply_of(app_of([b"abc"], ("Content-Length", "3")), method="HEAD")
    assert reply.body == b""
    assert (b"content-length", b"3") in reply.headers


def test_not_modified_needs_no_length() -> None:
    body = Body()
    assert reply_of(app_of(body, status="304 NOT MODIFIED")) == Reply(304, [], b"")
    assert body.is_closed


def test_generator_may_start_its_response_late() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("201 Created", [])
        yield b"first"
        yield b"second"

    reply = reply_of(app)
    assert reply.status == 201
    assert items_of(reply) == [b"first", b"second"]


def test_written_data_comes_before_the_items() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"written ")
        return [b"returned"]

    assert b"".join(items_of(reply_of(app))) == b"written returned"


def test_app_may_replace_a_response_that_was_not_sent() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("409 CONFLICT", [("Content-Length", "2")], LATE_FAILURE)
        return [b"no"]

    assert reply_of(app) == Reply(409, [(b"content-length", b"2")], b"no")


def test_app_cannot_replace_a_response_that_was_sent() -> None:
    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"first"
        start_response("500 OOPS", [], LATE_FAILURE)

    with pytest.raises(ValueError, match="late"):
        items_of(reply_of(app))


@pytest.mark.parametrize(
    "app",
    [
        lambda environ, start_response: 1 / 0,
        lambda environ, start_response: [b"never started"],
        app_of(Body(b"ab", error=OSError("/secret/path")), ("Content-Length", "3")),
    ],
    ids=["crashes", "starts nothing", "fails in its body"],
)
def test_failing_app_becomes_a_plain_500(app: Any) -> None:
    reply = reply_of(app)
    assert (reply.status, reply.body) == (500, b"Internal Server Error\n")


def test_body_is_closed_when_it_fails() -> None:
    body = Body(b"ab", error=OSError())
    reply_of(app_of(body, ("Content-Length", "3")))
    assert body.is_closed


def make_app() -> Flask:
    app = Flask(__name__)
    app.register_error_handler(RunNotFoundError, lambda error: ({"code": error.code}, 404))

    @app.get("/live")
    def live() -> Any:
        async def chunks() -> AsyncGenerator[bytes, None]:
            for number in range(3):
                await asyncio.sleep(0)
                yield b"%d" % number

        return live_response(chunks)

    @app.get("/later")
    def later() -> Any:
        waited: list[str] = []

        async def until() -> None:
            waited.append("yes")

        return answer_later(lambda: {"waited": waited}, until)

    @app.get("/missing")
    def missing() -> Any:
        def respond() -> Any:
            raise RunNotFoundError("x")

        return answer_later(respond)

    return app


def test_live_stream_works_under_any_server() -> None:
    response = make_app().test_client().get("/live")
    assert response.mimetype == "text/event-stream"
    assert response.data == b"012"


def test_live_stream_ends_where_any_server_closes_it() -> None:
    ended = []

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            ended.append("yes")

    stream = LiveStream(chunks)
    assert next(iter(stream)) == b"x"
    stream.close()
    assert ended == ["yes"]


def test_later_answer_is_made_at_once_under_any_server() -> None:
    assert make_app().test_client().get("/later").json == {"waited": ["yes"]}


def test_later_answer_reaches_the_error_handlers() -> None:
    assert make_app().test_client().get("/missing").status_code == 404


def test_short_threads_give_results_and_errors() -> None:
    async def run() -> tuple[int, object]:
        threads: ShortThreads[int] = ShortThreads(2)
        fine, broken = threads.run(lambda: 42), threads.run(lambda: int("x"))
        return await fine, (await asyncio.gather(broken, return_exceptions=True))[0]

    result, error = asyncio.run(run())
    assert result == 42
    assert isinstance(error, ValueError)


def test_short_threads_multiply_when_calls_wait() -> None:
    async def run() -> list[bool]:
        threads: ShortThreads[bool] = ShortThreads(8)
        together = threading.Barrier(4)
        calls = [threads.run(lambda: together.wait(timeout=20) >= 0) for _ in range(4)]
        return await asyncio.gather(*calls)

    assert asyncio.run(run()) == [True] * 4
