"""`celeriac up` on this machine's real programs, from the outside."""

from pathlib import Path

from running_stack import running_stack


def test_celeriac_up_gets_ready_and_stops_without_a_trace(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        assert len(stack.left_behind()) >= 4, "web, worker, Flower and the server are processes"
        stack.stop()

    assert not stack.left_behind()
