import pytest

from eventually import eventually


def test_eventually_gives_the_first_truthy_value() -> None:
    values = iter([None, 0, "", "here", "later"])

    assert eventually(lambda: next(values)) == "here"


def test_eventually_takes_an_exception_for_not_yet() -> None:
    calls: list[int] = []

    def check() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionRefusedError
        return len(calls)

    assert eventually(check) == 3


def test_eventually_tells_the_last_value_at_the_deadline() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: .*last gave \[\]"):
        eventually(lambda: [], deadline_s=0.05)


def test_eventually_tells_the_last_exception_at_the_deadline() -> None:
    def check() -> bool:
        raise ValueError("still closed")

    with pytest.raises(
        AssertionError, match=r"check last raised ValueError.*still closed"
    ) as caught:
        eventually(check, deadline_s=0.05)
    assert isinstance(caught.value.__cause__, ValueError)


def test_eventually_checks_once_even_without_time() -> None:
    assert eventually(lambda: "at once", deadline_s=0) == "at once"
