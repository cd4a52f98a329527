"""The order in which a lane visits its configurations, and the job budget that lanes share."""

from collections.abc import Sequence
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.builder.lanes import plan_visiting_order
from matrix.builder.run_context import JobBudget
from matrix.kconfig.config import Config

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

configs_given = st.lists(
    st.dictionaries(st.sampled_from("ABCDEFGH"), st.sampled_from("nmy"), max_size=8).map(Config), max_size=9
)


def walked(configs: Sequence[Config]) -> int:
    """How many symbols flip on the way."""
    return sum(one.count_differences(other) for one, other in pairwise(configs))


def test_no_configurations_no_order() -> None:
    assert plan_visiting_order([]) == ()
    assert plan_visiting_order([Config({})]) == (0,)


@steady
@given(configs=configs_given)
def test_every_configuration_is_visited_once_and_the_first_comes_first(configs: list[Config]) -> None:
    order = plan_visiting_order(configs)
    assert sorted(order) == list(range(len(configs)))
    assert order[:1] == ((0,) if configs else ())


@steady
@given(configs=configs_given)
def test_each_step_goes_to_the_nearest_that_is_left(configs: list[Config]) -> None:
    order = plan_visiting_order(configs)
    for place, (here, there) in enumerate(pairwise(order)):
        left = order[place + 1 :]
        nearest = min(configs[here].count_differences(configs[index]) for index in left)
        assert configs[here].count_differences(configs[there]) == nearest


@steady
@given(configs=configs_given)
def test_equal_plans_are_visited_in_equal_order(configs: list[Config]) -> None:
    copies = [Config(dict(reversed(list(config.items())))) for config in configs]
    assert plan_visiting_order(configs) == plan_visiting_order(copies)


def test_of_two_equally_near_the_earlier_goes_first() -> None:
    start, one, other = Config({}), Config({"A": "y"}), Config({"B": "y"})
    assert plan_visiting_order([start, one, other]) == (0, 1, 2)
    assert plan_visiting_order([start, other, one]) == (0, 1, 2)


def test_twins_are_visited_one_after_the_other() -> None:
    far, near = Config(dict.fromkeys("ABCD", "y")), Config({})
    order = plan_visiting_order([near, far, near, far])
    assert order == (0, 2, 1, 3)


def test_what_rebuilds_nearly_everything_flips_as_seldom_as_can_be() -> None:
    # Measured on x86: flipping MODULES compiles 690 objects, VFIO 3 to 14.
    rows = [
        {"KVM": kvm, "MODULES": modules, "VFIO": vfio}
        | ({"VFIO_PCI": "y", "EVENTFD": "y"} if vfio == "y" else {})
        for kvm, modules, vfio in product("ny", "ny", "ny")
    ]
    order = plan_visiting_order([Config(row) for row in rows])
    flips = sum(rows[one]["MODULES"] != rows[other]["MODULES"] for one, other in pairwise(order))
    assert flips == 1


def test_the_way_through_the_story_is_shorter_than_in_plan_order() -> None:
    rows = [Config(dict(zip("KMV", values, strict=True))) for values in product("nmy", "ny", "nmy")]
    order = plan_visiting_order(rows)
    assert walked([rows[index] for index in order]) < walked(rows)


# The job budget


def budget(jobs: int, at_once: int, lanes: int, done: int = 0) -> JobBudget:
    """A budget of so many lanes, of which some are done."""
    made = JobBudget(jobs, at_once, lanes)
    for _ in range(done):
        made.release_lane()
    return made


@pytest.mark.parametrize(
    ("jobs", "lanes", "share"), [(2, 1, 2), (8, 2, 4), (8, 3, 2), (2, 4, 1), (1, 1, 1), (3, 2, 1), (64, 8, 8)]
)
def test_lanes_share_the_jobs_and_each_has_at_least_one(jobs: int, lanes: int, share: int) -> None:
    assert budget(jobs, lanes, lanes).compute_share() == share


def test_a_lane_that_is_done_leaves_its_share_to_the_others() -> None:
    assert [budget(8, 4, 4, done).compute_share() for done in (1, 2, 3, 4)] == [2, 4, 8, 8]


def test_lanes_that_wait_for_their_turn_take_nothing() -> None:
    assert budget(8, 2, 16, 1).compute_share() == 4


@steady
@given(jobs=st.integers(1, 64), lanes=st.integers(1, 64), left=st.integers(0, 64))
def test_all_shares_together_stay_within_the_budget_or_are_one_each(jobs: int, lanes: int, left: int) -> None:
    share = budget(jobs, lanes, 64, 64 - left).compute_share()
    assert share >= 1
    assert share == 1 or share * min(lanes, left) <= jobs
