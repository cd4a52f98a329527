"""The stopwatch of the tests: a bound holds for what is done, and not for the machine that does it."""

import pytest

from tests import stopwatch
from tests.stopwatch import KNOWN_SECONDS, limit_cpu, measure_known_work


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that what is watched is said to take."""
    taken = [0.0]
    readings = iter(lambda: sum(taken), None)
    monkeypatch.setattr(stopwatch, "process_time", lambda: next(readings))
    return taken


def let_known_work_take(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    tries = iter(seconds)
    monkeypatch.setattr(stopwatch, "measure_known_work", lambda: next(tries))


@pytest.mark.parametrize(
    ("taken", "slowness", "passes"),
    [(1.9, 1, True), (2.0, 1, False), (5.9, 3, True), (6.0, 3, False), (2.0, 0.5, False)],
)
def test_a_bound_is_as_many_seconds_more_as_the_machine_is_slower(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, taken: float, slowness: float, passes: bool
) -> None:
    let_known_work_take(monkeypatch, *[KNOWN_SECONDS * slowness] * 15)
    try:
        with limit_cpu(2):
            clock.append(taken)
    except AssertionError:
        assert not passes
    else:
        assert passes


def test_a_machine_is_as_slow_as_in_most_tries(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    let_known_work_take(monkeypatch, *(KNOWN_SECONDS * slowness for slowness in (9, 1) * 7 + (1,)))
    with pytest.raises(AssertionError, match=r"2\.50 s, on a machine 1\.0 times as slow"), limit_cpu(2):
        clock.append(2.5)


def test_the_known_work_takes_time() -> None:
    assert measure_known_work() > 0
