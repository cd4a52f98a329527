"""The order in which a lane visits its configurations."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.builder import visiting_order
from matrix.builder.visiting_order import ConfigSet
from matrix.kconfig.config import Config
from tests.stopwatch import limit_cpu

# A busy machine may take its time.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = "ABCDEFGH"
configs_given = st.lists(
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([*"nmy", "16"]), max_size=8).map(Config),
    max_size=9,
)
weights_given = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 900))


def order_of(configs: Sequence[Config], weights: Mapping[str, int] | None = None) -> tuple[int, ...]:
    known, names = ConfigSet(), [f"{number}" for number in range(len(configs))]
    for name, config in zip(names, configs, strict=True):
        known.add(name, config)
    return known.plan_order(names, weights or {})


def step(one: Config, other: Config, weights: Mapping[str, int]) -> int:
    """What a step costs: each symbol that differs once, and for each object that looks at it."""
    return sum(1 + weights.get(symbol, 0) for symbol in one.diff(other))


def walked(configs: Sequence[Config], weights: Mapping[str, int] | None = None) -> int:
    return sum(step(one, other, weights or {}) for one, other in pairwise(configs))


def test_no_configurations_no_order() -> None:
    assert order_of([]) == ()
    assert order_of([Config({})]) == (0,)
    assert order_of([Config({"A": "y"})] * 3) == (0, 1, 2)


@steady
@given(configs=configs_given, weights=weights_given)
def test_every_configuration_is_visited_once_and_the_first_comes_first(
    configs: list[Config], weights: dict[str, int]
) -> None:
    order = order_of(configs, weights)
    assert sorted(order) == list(range(len(configs)))
    assert order[:1] == ((0,) if configs else ())


@steady
@given(configs=configs_given, weights=weights_given)
def test_each_step_goes_to_the_nearest_that_is_left_where_that_is_no_longer_than_plan_order(
    configs: list[Config], weights: dict[str, int]
) -> None:
    order = order_of(configs, weights)
    if order == tuple(range(len(configs))):
        return
    for place, (here, there) in enumerate(pairwise(order)):
        nearest = min(step(configs[here], configs[index], weights) for index in order[place + 1 :])
        assert step(configs[here], configs[there], weights) == nearest


@steady
@given(configs=configs_given, weights=weights_given)
def test_the_whole_way_is_never_longer_than_in_plan_order(
    configs: list[Config], weights: dict[str, int]
) -> None:
    order = order_of(configs, weights)
    assert walked([configs[index] for index in order], weights) <= walked(configs, weights)


@steady
@given(configs=configs_given, weights=weights_given, block=st.integers(1, 4))
def test_many_are_visited_in_blocks_once_each_and_on_no_longer_way(
    configs: list[Config], weights: dict[str, int], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visiting_order, "_WORK", 0)
        patch.setattr(visiting_order, "_SMALLEST_BLOCK", block)
        order = order_of(configs, weights)
    assert sorted(order) == list(range(len(configs)))
    assert walked([configs[index] for index in order], weights) <= walked(configs, weights)


def test_where_the_nearest_first_would_be_the_longer_way_plan_order_stays() -> None:
    # On a line: 0, -2, 1, 3. The nearest first would come back from 3 to -2.
    rows = [{}, {"A": "y", "B": "y"}, {"C": "y"}, {"C": "y", "D": "y", "E": "y"}]
    assert order_of([Config(row) for row in rows]) == (0, 1, 2, 3)


@steady
@given(configs=configs_given, weights=weights_given, seed=st.integers(0, 9))
def test_equal_plans_are_visited_in_equal_order(
    configs: list[Config], weights: dict[str, int], seed: int
) -> None:
    copies = []
    for config in configs:
        items = list(config.items())
        random.Random(seed).shuffle(items)
        copies.append(Config(dict(items)))
    assert order_of(configs, weights) == order_of(copies, weights)


def test_of_two_equally_near_the_earlier_goes_first() -> None:
    start, one, other = Config({}), Config({"A": "y"}), Config({"B": "y"})
    assert order_of([start, one, other]) == (0, 1, 2)
    assert order_of([start, other, one]) == (0, 1, 2)


def test_twins_are_visited_one_after_the_other() -> None:
    far, near = Config(dict.fromkeys("ABCD", "y")), Config({})
    assert order_of([near, far, near, far]) == (0, 2, 1, 3)


def test_a_name_may_come_twice_and_some_may_be_left_out() -> None:
    known = ConfigSet()
    for name, row in {"none": {}, "one": {"A": "y"}, "two": {"A": "y", "B": "y"}}.items():
        known.add(name, Config(row))
    assert "one" in known
    assert "three" not in known
    assert known.plan_order(["two", "none", "one", "two"], {}) == (0, 3, 2, 1)
    assert known.plan_order(["one"], {}) == (0,)
    assert known.plan_order([], {}) == ()


def test_what_most_objects_look_at_flips_as_seldom_as_can_be() -> None:
    # Measured on x86: flipping MODULES compiles 690 objects, VFIO 3 to 14.
    rows = [
        {"KVM": kvm, "MODULES": modules, "VFIO": vfio}
        | ({"VFIO_PCI": "y", "EVENTFD": "y"} if vfio == "y" else {})
        for kvm, modules, vfio in product("ny", "ny", "ny")
    ]
    order = order_of([Config(row) for row in rows], {"MODULES": 690, "VFIO": 14})
    assert sum(rows[one]["MODULES"] != rows[other]["MODULES"] for one, other in pairwise(order)) == 1


@pytest.mark.parametrize("rare", NAMES)
def test_no_symbol_is_special_but_by_what_looks_at_it(rare: str) -> None:
    rows = [Config(dict(zip(NAMES, values, strict=True))) for values in product("ny", repeat=len(NAMES))]
    order = order_of(rows, {rare: 500})
    assert sum(rows[one][rare] != rows[other][rare] for one, other in pairwise(order)) == 1


def test_a_value_is_as_far_from_one_as_from_any_other() -> None:
    # Not twice as far from m to y as from n to y.
    rows = [{"A": "m"}, {"A": "y"}, {"B": "y", "C": "y"}, {"A": "n"}]
    assert order_of([Config(row) for row in rows]) == (0, 1, 3, 2)


def test_the_way_through_the_story_is_shorter_than_in_plan_order() -> None:
    rows = [Config(dict(zip("KMV", values, strict=True))) for values in product("nmy", "ny", "nmy")]
    order = order_of(rows)
    assert walked([rows[index] for index in order]) < walked(rows)


SYMBOLS = [f"SYMBOL_{number}" for number in range(2000)]


def _a_thousand_alike() -> list[Config]:
    """A product of axes, each of which takes thirty symbols with it."""
    axes = [random.sample(SYMBOLS, 30) for _ in range(10)]
    plain = dict.fromkeys(SYMBOLS, "y")
    rows = [[(axis, value) for axis, value in zip(axes, v, strict=True)] for v in product("ny", repeat=10)]
    return [Config(plain | {name: value for axis, value in row for name in axis}) for row in rows[:1000]]


def _a_thousand_at_random() -> list[Config]:
    return [Config({name: random.choice("nmy") for name in SYMBOLS}) for _ in range(1000)]


@pytest.mark.parametrize("make", [_a_thousand_alike, _a_thousand_at_random])
@pytest.mark.parametrize("is_weighed", [False, True])
def test_a_thousand_large_configurations_are_ordered_in_seconds(make: object, is_weighed: bool) -> None:
    random.seed(7)
    configs = make()  # type: ignore[operator]
    weights = {name: int(random.paretovariate(0.7)) for name in SYMBOLS} if is_weighed else {}
    # Measured: 0.5 and 1.3 s; a busy machine counts more.
    with limit_cpu(3):
        order = order_of(configs, weights)
    assert sorted(order) == list(range(1000))


def test_a_lane_of_a_hundred_thousand_is_ordered_in_seconds_and_walks_like_a_gray_code() -> None:
    values = list(product("0123456789", repeat=5))
    configs = [Config(dict(zip("ABCDE", row, strict=True))) for row in values]
    with limit_cpu(10):
        order = order_of(configs, {"A": 300, "B": 20, "C": 3})
    assert len(set(order)) == 100_000
    flips = [sum(values[one][i] != values[other][i] for one, other in pairwise(order)) for i in range(5)]
    assert flips[0] == 9
    assert sum(flips) < 1.1 * 100_000
