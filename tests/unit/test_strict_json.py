"""JSON as it is read: nothing that is none."""

import pytest

from celeriac.errors import LineError
from celeriac.runs import strict_loads
from celeriac.runs.lines import Line


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", '{"data":1e400}', "-1e400", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of its numbers|too deep"):
        strict_loads(text)


def test_largest_number_is_read() -> None:
    assert strict_loads("1.7976931348623157e308") == 1.7976931348623157e308


def test_number_beyond_all_bounds_is_refused_in_a_batch() -> None:
    line = Line(1, b'{"task":"a","args":{"data":1e400}}', 1000)

    with pytest.raises(LineError, match="1e400 is none of its numbers"):
        line.body()
