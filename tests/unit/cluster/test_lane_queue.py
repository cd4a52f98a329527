"""Which worker is given what: lanes stay with their owners, and nothing is lost or given twice."""

from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.cluster.lane_queue import MAX_FAILURES, MAX_LOSSES, LaneQueue
from matrix.cluster.queued_lane import Unit


def make_units(lane: str, count: int, seconds: float | None = None) -> list[Unit]:
    return [Unit(lane, (f"{lane}{number}",), seconds) for number in range(count)]


def make_queue(**lanes: int) -> LaneQueue:
    made = LaneQueue()
    for name, count in lanes.items():
        made.add_lane(name, make_units(name, count))
    return made


def take(made: LaneQueue, worker: str) -> Unit:
    unit = made.take(worker)
    assert unit is not None
    return unit


def finish(made: LaneQueue, unit: Unit, seconds: float = 1.0) -> None:
    made.finish(unit, seconds)


def list_ids(units: Iterable[Unit]) -> list[str]:
    return [name for unit in units for name in unit.ids]


def test_an_owner_takes_its_lane_in_order() -> None:
    made = make_queue(a=3)
    seen = []
    for _ in range(3):
        unit = take(made, "one")
        seen.append(unit)
        finish(made, unit)
    assert list_ids(seen) == ["a0", "a1", "a2"]
    assert made.is_empty
    assert made.is_lane_done("a")


def test_the_longest_lane_is_taken_first_and_each_by_another() -> None:
    made = make_queue(short=1, long=4, middle=2)
    assert list_ids(take(made, worker) for worker in ("x", "y", "z")) == ["long0", "middle0", "short0"]


def test_a_slow_toolchain_counts_for_more() -> None:
    made = make_queue(gcc=4)
    made.add_lane("clang", make_units("clang", 3), weight=1.4)
    assert take(made, "x").lane == "clang"


def test_a_worker_is_in_a_lane_once_at_a_time() -> None:
    made = make_queue(a=9)
    take(made, "one")
    assert made.take("one") is None


def test_a_thief_takes_the_tail_where_it_saves_time() -> None:
    made = make_queue(a=9)
    take(made, "owner")
    assert take(made, "thief").ids == ("a8",)


def test_a_short_rest_is_left_to_its_owner() -> None:
    made = make_queue(a=4)  # three wait, and a cold lane takes three of them
    take(made, "owner")
    assert made.take("thief") is None


def test_a_warm_thief_takes_what_a_cold_one_leaves() -> None:
    made = make_queue(a=9)
    owned = [take(made, "owner")]
    stolen = take(made, "thief")
    finish(made, stolen)
    for _ in range(4):
        finish(made, owned.pop())
        owned.append(take(made, "owner"))
    assert made.take("stranger") is None
    assert take(made, "thief").ids == ("a7",)


def test_known_times_say_what_is_worth_it() -> None:
    made = LaneQueue()
    made.add_lane("a", [*make_units("a", 3, seconds=1.0), Unit("a", ("long",), seconds=100.0)])
    take(made, "owner")
    assert made.take("thief") is None  # the last one alone takes longer than to wait for it... there
    made.add_units("a", [Unit("a", ("last",), seconds=1.0)])
    assert take(made, "thief").ids == ("last",)


def test_what_is_to_be_resolved_is_not_stolen() -> None:
    made = LaneQueue()
    made.add_lane("a", [Unit("a", tuple("abcdefgh"), resolves=True)])
    unit = take(made, "owner")
    assert made.take("thief") is None
    made.add_units("a", make_units("a", 9))
    finish(made, unit)
    assert take(made, "owner").ids == ("a0",)


def test_what_a_lost_worker_had_is_next_for_another() -> None:
    made = make_queue(a=5, b=5)
    for worker in ("one", "two"):
        take(made, worker)
    assert list_ids(made.lose_worker("one")) == ["a0"]
    finish(made, take(made, "three"))
    assert list_ids([take(made, "three")]) == ["a1"]


def test_a_unit_that_every_worker_is_lost_with_goes_to_no_further_one() -> None:
    made = make_queue(a=1)
    for number in range(MAX_LOSSES):
        take(made, str(number))
        (lost,) = made.lose_worker(str(number))
    assert lost.losses == MAX_LOSSES
    assert made.is_empty


def test_a_worker_that_was_stopped_is_no_loss_of_its_units() -> None:
    made = make_queue(a=1)
    take(made, "one")
    assert [unit.losses for unit in made.lose_worker("one", counts=False)] == [0]
    assert take(made, "two").ids == ("a0",)


def test_a_unit_that_was_not_tried_is_next_in_its_lane_for_the_same_worker() -> None:
    made = make_queue(a=3)
    made.give_back(take(made, "one"))
    assert take(made, "one").ids == ("a0",)


def test_a_unit_that_failed_is_tried_once_on_each_other_worker() -> None:
    made, workers = make_queue(a=1), {"one", "two", "three"}
    assert made.fail(take(made, "one"), workers)
    assert made.take("one") is None
    assert not made.is_lane_done("a")
    assert made.fail(take(made, "two"), workers)
    assert not made.fail(take(made, "three"), workers)
    assert made.is_empty


def test_only_those_cells_that_failed_are_tried_again() -> None:
    made = LaneQueue()
    made.add_lane("a", [Unit("a", ("x", "y"))])
    made.fail(take(made, "one"), {"one", "two"}, ["y"])
    assert take(made, "two").ids == ("y",)


def test_a_worker_that_fails_in_a_row_is_left_alone() -> None:
    made = make_queue(a=9)
    for _ in range(MAX_FAILURES):
        assert not made.is_left_alone("bad")
        made.fail(take(made, "bad"), {"bad", "good"})
    assert made.is_left_alone("bad")
    assert made.take("bad") is None
    assert take(made, "good").ids == ("a0",)


def test_a_success_is_a_new_begin() -> None:
    made = make_queue(a=9)
    for _ in range(MAX_FAILURES):
        made.fail(take(made, "one"), {"one", "two"})
        finish(made, take(made, "one"))
    assert not made.is_left_alone("one")


def test_nobody_waits_for_a_worker_that_is_gone() -> None:
    made = make_queue(a=1)
    made.fail(take(made, "one"), {"one", "two"})
    made.lose_worker("two")
    assert list_ids(made.take_stranded({"one"})) == ["a0"]
    assert made.is_empty


def test_all_that_waits_can_be_taken_out() -> None:
    made = make_queue(a=3, b=2)
    taken = take(made, "one")
    made.fail(take(made, "two"), {"one", "two"})
    left = list_ids(made.drain())
    finish(made, taken)
    assert sorted([*left, *taken.ids]) == ["a0", "a1", "a2", "b0", "b1"]
    assert made.is_empty


def test_an_idle_worker_finds_nothing_where_all_was_taken_out() -> None:
    made = make_queue(a=12, b=12)
    at_work = [take(made, worker) for worker in ("one", "two")]
    assert made.take("three") is not None
    assert len(list_ids(made.drain())) == 21
    assert made.take("four") is None
    for unit in at_work:
        finish(made, unit)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("tdfl")), max_size=120),
)
def test_whatever_happens_each_unit_has_one_end(sizes: list[int], steps: list[tuple[int, str]]) -> None:
    """t: take, d: done, f: fail, l: lose. In the end everything is worked off."""
    made = LaneQueue()
    for number, size in enumerate(sizes):
        made.add_lane(f"lane{number}-", make_units(f"lane{number}-", size))
    ended: Counter[str] = Counter()
    names = [f"w{number}" for number in range(4)]
    for worker, step in [(names[number], step) for number, step in steps]:
        held = made.list_at_work(worker)
        if step == "t":
            made.take(worker)
        elif step == "l":
            ended.update(
                name for unit in made.lose_worker(worker) if unit.losses >= MAX_LOSSES for name in unit.ids
            )
        elif held and step == "d":
            finish(made, held[0])
            ended.update(held[0].ids)
        elif held and not made.fail(held[0], set(names)):
            ended.update(held[0].ids)
    ended.update(list_ids(made.take_stranded(set(names) | {"w9", "w8"})))
    for worker in names:
        for unit in made.list_at_work(worker):
            finish(made, unit)
            ended.update(unit.ids)
        assert made.lose_worker(worker) == []
    while (taken := made.take("w9") or made.take("w8")) is not None:
        finish(made, taken)
        ended.update(taken.ids)
    assert made.is_empty
    assert set(ended.values()) == {1}
    assert len(ended) == sum(sizes)
