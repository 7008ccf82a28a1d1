"""Commands to Redis with no more around them than they need.

Of what a change of a run costs, redis-py's own bookkeeping was the largest part: each of its forty
arguments is looked at a dozen times, and each call is measured, wrapped and tried again by several
layers. Here commands are written at once, and their answers read.
"""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

Command = Sequence[str | bytes | int]


def exchange(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands in one go and give their answers; an error is the answer of its command.

    Nothing is tried again.

    Raises:
        redis.ConnectionError, redis.TimeoutError: any of them may have been carried out.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command([b"".join(map(packed, commands))])
        return [_answer(connection) for _ in commands]
    except BaseException:
        # What is still to come would be taken for the answer of who has the connection next.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def packed(command: Command) -> bytes:
    """Give a command as the protocol of Redis has it."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts]))


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
