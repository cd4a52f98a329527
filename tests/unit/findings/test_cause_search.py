"""The search for causes: it finds what is planted, in few experiments, and says what it did not prove."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.findings.cause_search import Cause, CauseSearch, Changes, Outcome

MANY = tuple(f"S{number:04}" for number in range(3000))


def plant(*causes: set[str]) -> Callable[[Changes], Outcome]:
    """The problem is there with all changes of any of these."""

    def try_changes(changes: Changes) -> Outcome:
        return Outcome.FAILS if any(cause <= changes for cause in causes) else Outcome.PASSES

    return try_changes


def need(try_changes: Callable[[Changes], Outcome], needs: dict[str, str]) -> Callable[[Changes], Outcome]:
    """As Kconfig does: a change cannot be had without the one that it needs."""

    def try_bound(changes: Changes) -> Outcome:
        had = set(changes)
        while lost := {name for name in had if needs.get(name, name) not in had}:
            had -= lost
        outcome = try_changes(frozenset(had))
        return Outcome.UNRESOLVED if outcome is Outcome.PASSES and had != changes else outcome

    return try_bound


def find(try_changes: Callable[[Changes], Outcome], names: tuple[str, ...], budget: int = 1000) -> Cause:
    return CauseSearch(try_changes, budget).find_cause(names)


def is_proven(cause: Cause) -> bool:
    """Whether each of its changes is needed, shown by an experiment without it."""
    return all(cause.without.get(name) is Outcome.PASSES for name in cause.changes)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_cause_among_three_thousand_takes_some_dozen_experiments(size: int) -> None:
    draw = random.Random(size)
    for _ in range(5):
        planted = set(draw.sample(MANY, size))
        search = CauseSearch(plant(planted), 1000)
        cause = search.find_cause(MANY)
        assert set(cause.changes) == planted
        assert is_proven(cause)
        # Twice the logarithm of 3,000 for each, and each change's own part.
        assert len(search.outcomes) <= size * 24 + size


def test_a_cause_among_the_likely_ones_takes_fewer() -> None:
    search = CauseSearch(plant({"S0002", "S0011"}), 1000)
    assert set(search.find_cause(MANY).changes) == {"S0002", "S0011"}
    # Halving the whole takes 17.
    assert len(search.outcomes) <= 13


def test_each_set_is_tried_once() -> None:
    tried: list[Changes] = []
    planted = plant({"S0001", "S2999"})

    def count(changes: Changes) -> Outcome:
        tried.append(changes)
        return planted(changes)

    find(count, MANY)
    assert len(tried) == len(set(tried))


@given(st.data())
def test_what_is_found_is_planted_whatever_it_is_among(data: st.DataObject) -> None:
    names = MANY[: data.draw(st.integers(1, 60))]
    planted = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=6))
    cause = find(plant(planted), names)
    assert set(cause.changes) == planted
    assert cause.is_whole
    assert is_proven(cause)


@given(st.data())
def test_with_what_kconfig_bends_it_is_a_cause_and_no_change_can_be_left_out(data: st.DataObject) -> None:
    names = MANY[: data.draw(st.integers(2, 40))]
    # Each may need one that stands anywhere, also behind it.
    needs = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(names), max_size=20))
    planted = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=4))
    try_changes = need(plant(planted), needs)
    if try_changes(frozenset(names)) is not Outcome.FAILS:
        return
    cause = find(try_changes, names)
    found = frozenset(cause.changes)
    assert try_changes(found) is Outcome.FAILS
    for name in found:
        assert cause.without[name] is try_changes(found - {name}) is not Outcome.FAILS


def test_what_another_change_needs_is_part_of_the_cause_and_not_proven() -> None:
    names = ("VIRTUALIZATION", "KVM", "VFIO")
    cause = find(need(plant({"KVM", "VFIO"}), {"KVM": "VIRTUALIZATION"}), names)
    assert cause.changes == names
    assert cause.without == {
        "VIRTUALIZATION": Outcome.UNRESOLVED,
        "KVM": Outcome.PASSES,
        "VFIO": Outcome.PASSES,
    }
    assert not is_proven(cause)


def test_several_causes_are_told_as_several() -> None:
    planted = [{"S0003", "S0020"}, {"S0040"}, {"S0007", "S0021", "S0044"}]
    found = CauseSearch(plant(*planted), 10_000).find_causes(MANY[:64], limit=9)
    assert sorted(sorted(cause.changes) for cause in found) == sorted(map(sorted, planted))


def test_there_are_no_more_than_the_limit() -> None:
    planted = [{name} for name in MANY[:8]]
    assert len(CauseSearch(plant(*planted), 10_000).find_causes(MANY[:64], limit=3)) == 3


@pytest.mark.parametrize("budget", [0, 1, 7, 20])
def test_without_experiments_left_the_smallest_failing_set_is_told_as_not_whole(budget: int) -> None:
    planted = {"S0001", "S1500", "S2998"}
    search = CauseSearch(plant(planted), budget)
    (cause,) = search.find_causes(MANY, limit=3)
    assert not cause.is_whole
    assert not is_proven(cause)
    assert planted <= set(cause.changes)
    assert len(search.outcomes) == budget


def test_a_problem_that_needs_no_change_has_an_empty_cause() -> None:
    assert find(plant(set()), MANY[:4]).changes == ()
