"""Events that the history will never have.

Most of them left the stream before they were recorded, since it may not fill Redis; a few are no
events, or have values that the database refuses. Redis counts what was ever added to a stream and
what a group has read; what was removed without having been read is the difference. `account` writes
all of it down, so that people are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from celeriac.events import STREAM

LOST = "celeriac-lost-events"
TOLD_FOR_S = 7 * 86_400


@dataclass(frozen=True)
class Losses:
    """How many events of the last week were never recorded, and when that was last noticed."""

    entries: int
    noticed_at: datetime

    @property
    def words(self) -> str:
        """Say it in a sentence."""
        when = f"{self.noticed_at:%Y-%m-%d %H:%M} UTC"
        were = "event was" if self.entries == 1 else "events were"
        return f"{self.entries:,} {were} lost before the history had them (last noticed {when})."

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read what `account` has written."""
        noticed_at = datetime.fromisoformat(fields[b"noticed_at"].decode())
        return cls(int(fields[b"entries"]), noticed_at)


def account(client: Any, entries: int) -> None:
    """Write down that so many more events were lost."""
    with client.pipeline() as pipe:
        pipe.hincrby(LOST, "entries", entries)
        pipe.hset(LOST, "noticed_at", datetime.now(UTC).isoformat())
        pipe.expire(LOST, TOLD_FOR_S)
        pipe.execute()


def read_losses(client: Any) -> Losses | None:
    """Give what was lost of late, or None."""
    fields = client.hgetall(LOST)
    return Losses.of(fields) if fields else None


def removed(stream: Mapping[str, Any]) -> int:
    """Count the entries that were ever removed from the stream; 0 before Redis 7."""
    return int(stream.get("entries-added", stream["length"])) - int(stream["length"])


def removed_unread(client: Any, group_name: str) -> int:
    """Count what was removed before the group read it, and have Redis forget the difference.

    It is 0 where Redis cannot tell: before version 7, or where somebody has moved the group.
    """
    with client.pipeline() as pipe:
        pipe.xinfo_stream(STREAM)
        pipe.xinfo_groups(STREAM)
        stream, groups = pipe.execute()
    group = next((group for group in groups if group["name"] == group_name.encode()), None)
    read = group and group.get("entries-read")
    unread = 0 if read is None else removed(stream) - int(read)
    if group is None or unread <= 0:
        return 0
    # Redis goes on counting from where the group was, as if what is gone were still to come.
    client.xgroup_setid(STREAM, group_name, group["last-delivered-id"], removed(stream))
    return unread
