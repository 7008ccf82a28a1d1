"""The output of a role as lines, whatever the role writes."""

from celeriac.stack.output import LONGEST_LINE_BYTES, LineSplitter


def lines_of(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*lines, *splitter.flush()]


def test_lines_survive_any_cut() -> None:
    assert lines_of(b"on", b"e\ntwo\n\nth", b"ree\n") == ["one", "two", "", "three"]


def test_a_last_line_without_its_end_is_shown() -> None:
    assert lines_of(b"one\nhalf") == ["one", "half"]


def test_a_letter_cut_in_two_is_put_together() -> None:
    assert lines_of(b"caf\xc3", b"\xa9\n") == ["café"]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert lines_of(b"a\xffb\n") == ["a\N{REPLACEMENT CHARACTER}b"]


def test_terminal_sequences_are_removed_and_tabs_kept() -> None:
    assert lines_of(b"\x1b[31mred\x1b[0m\tand\r\x07 \x1b]0;title\x07\n") == ["red\tand ]0;title"]


def test_a_very_long_line_is_cut_and_says_so() -> None:
    (line,) = lines_of(*[b"x" * 5000] * 4, b"\n")

    assert line == "x" * LONGEST_LINE_BYTES + f" [... {20_000 - LONGEST_LINE_BYTES} more bytes]"


def test_memory_stays_bounded_without_any_line_end() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        assert list(splitter.feed(b"x" * 65_536)) == []

    assert len(splitter._pending) == LONGEST_LINE_BYTES
