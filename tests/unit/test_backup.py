"""The file of a backup and its parts, as far as no server is needed."""

import errno
import os
import resource
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from celeriac.errors import ConfigurationError, HistoryUnavailableError
from celeriac.runs.backup import broker_part, history_part, redis_part
from celeriac.runs.backup.archive import Archive, Writer


def _random(path: Path) -> str:
    path.write_bytes(os.urandom(50_000))
    return "random"


def _written(file: Path) -> Path:
    with Writer(file) as writer:
        writer.add("part", _random)
    return file


def _no_room(*_: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_file_is_unpacked_where_python_has_no_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract_all(self: tarfile.TarFile, path: Path = Path(), members: object = None) -> None:
        """Take what Python's takes before 3.11.4."""

    monkeypatch.setattr(tarfile.TarFile, "extractall", extract_all)

    with Archive(_written(tmp_path / "backup")) as archive:
        assert archive.parts["part"].stat().st_size == 50_000


def test_file_is_unpacked_beside_itself_since_tmp_may_be_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))

    with Archive(_written(tmp_path / "backup")) as archive:
        assert archive.parts["part"].is_relative_to(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("name", ["../part", "/part", "..", "folder"])
def test_what_leads_out_of_the_folder_is_not_unpacked(tmp_path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE if name == "folder" else tarfile.REGTYPE
    with tarfile.open(tmp_path / "backup", "w:gz") as tar:
        tar.addfile(member)

    with pytest.raises(ConfigurationError), Archive(tmp_path / "backup"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("at", [0.0, 0.3, 0.5, 0.9])
def test_other_bytes_are_told(tmp_path: Path, at: float) -> None:
    file = _written(tmp_path / "backup")
    content = bytearray(file.read_bytes())
    start = round(at * (len(content) - 20))
    content[start : start + 20] = bytes(byte ^ 0xFF for byte in content[start : start + 20])
    file.write_bytes(content)

    with pytest.raises(ConfigurationError, match="is no whole backup"), Archive(file):
        pass


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.99])
def test_file_that_was_cut_is_told(tmp_path: Path, at: float) -> None:
    file = _written(tmp_path / "backup")
    os.truncate(file, round(at * file.stat().st_size))

    with pytest.raises(ConfigurationError, match="is no whole backup"), Archive(file):
        pass


def test_no_room_to_unpack_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path / "backup")
    monkeypatch.setattr(Archive, "_read", _no_room)

    with pytest.raises(ConfigurationError, match=r"cannot be unpacked .*: No space"), Archive(file):
        pass


def test_nothing_is_left_of_what_was_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Archive, "_read", _no_room)

    with pytest.raises(ConfigurationError):
        _written(tmp_path / "backup")

    assert not list(tmp_path.iterdir())


def test_part_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="backup cannot be written: No space left"),
        Writer(tmp_path / "backup") as writer,
    ):
        writer.add("part", _no_room)

    assert not list(tmp_path.iterdir())


@pytest.fixture
def _small_files() -> Iterator[None]:
    """Let no file become larger than some parts together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_small_files")
def test_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="backup cannot be written: File too large"),
        Writer(tmp_path / "backup") as writer,
    ):
        for number in range(4):
            writer.add(f"{number}", _random)

    assert not list(tmp_path.iterdir())


class _Redis:
    """Answers of DUMP and PTTL, in turns."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def pipeline(self, *, transaction: bool) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def dump(self, key: bytes) -> None: ...

    pttl = dump

    def execute(self) -> list[object]:
        return self._answers


def test_key_that_expires_while_it_is_saved_is_left_out() -> None:
    keys = [b"lasts", b"ends", b"gone before", b"gone between", b"goes now"]
    client = _Redis(b"1", -1, b"2", 5, None, -2, b"4", -2, b"5", 0)

    saved = [redis_part._read(line) for line in redis_part._lines(client, keys)]

    assert saved == [(b"lasts", 0, b"1"), (b"ends", 5, b"2")]


@pytest.mark.parametrize("url", ["http://h:abc", "http://u:secret@h:99999", "http://[h", "ftp://h"])
def test_address_that_is_none_of_a_management_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no management") as error:
        broker_part.save(url, "/", tmp_path / "part")

    assert "secret" not in str(error.value)


def test_file_without_a_history_is_told(tmp_path: Path) -> None:
    history = tmp_path / "history.db"
    history.touch()
    with pytest.raises(ConfigurationError, match=f"no history in {history} yet"):
        history_part.save(f"sqlite:///{history}", tmp_path / "copy")

    history.write_bytes(b"something else" * 1000)
    with pytest.raises(HistoryUnavailableError, match="cannot be copied"):
        history_part.save(f"sqlite:///{history}", tmp_path / "copy")


def test_history_that_cannot_be_put_back_leaves_its_place_empty(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(history_part.SQLITE_BEGINS + b"no more of it")
    part = history_part.HistoryPart(f"sqlite:///{tmp_path}/data/history.db", copy)

    with pytest.raises(HistoryUnavailableError):
        part.put_back()

    assert part.check() is None


def test_what_another_program_has_dumped_is_told_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("PGDMP")
    part = history_part.HistoryPart("postgresql://localhost/history", tmp_path / "dump")

    assert "no history that this version of Celeriac reads" in (part.check() or "")
