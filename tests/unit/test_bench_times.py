"""Estimates from some cells, ratios and their spread."""

import pytest

from matrix.bench_times import (
    CellTime,
    Compilations,
    Estimate,
    Ratio,
    compute_ratio,
    estimate_independent,
    estimate_walk,
)


def times(*seconds: float, lane: str = "a") -> list[CellTime]:
    return [CellTime(f"{lane}{number}", lane, value) for number, value in enumerate(seconds)]


def refused(seconds: float, lane: str = "a") -> CellTime:
    return CellTime("x", lane, seconds, agrees=False)


def estimate(seconds: float, error: float | None = 0.0) -> Estimate:
    return Estimate(seconds, error, built=4, cells=8)


def test_all_cells_are_their_sum_without_an_error() -> None:
    assert estimate_independent(times(1, 2, 6), {"a": 3}) == Estimate(9, 0.0, 3, 3)


def test_a_sample_stands_for_all_with_the_error_of_its_mean() -> None:
    # Standard deviation 2, so 10 · 2 / √4 · √(1 - 4/10).
    found = estimate_independent(times(8, 10, 10, 12), {"a": 10})
    assert found
    assert found.seconds == pytest.approx(100)
    assert found.error == pytest.approx(10 * (8 / 3) ** 0.5 / 2 * 0.6**0.5)


def test_one_cell_of_several_says_nothing_of_its_error() -> None:
    assert estimate_independent(times(5), {"a": 3}) == Estimate(15, None, 1, 3, sampled=True)


def test_a_cell_that_ended_otherwise_is_not_counted() -> None:
    assert estimate_independent([*times(4, 4), refused(1000)], {"a": 4}) == Estimate(
        16, 0.0, 2, 4, sampled=True
    )
    assert estimate_independent([refused(1)], {"a": 4}) is None
    assert estimate_independent([], {"a": 4}) is None


def test_each_lane_has_the_weight_of_its_own_cells() -> None:
    # Nine cells of 10 s and one of 100 s: their mean, 32.5 s, times ten would be wrong by two thirds.
    found = estimate_independent([*times(10, 10, 10), *times(100, lane="b")], {"a": 9, "b": 1})
    assert found
    assert found.seconds == pytest.approx(190)
    assert (found.built, found.cells, found.error) == (4, 10, 0.0)


def test_a_lane_without_a_cell_that_counts_is_not_another_lane_s() -> None:
    assert estimate_independent([*times(10, 10), refused(1, "b")], {"a": 2, "b": 2}) is None
    assert estimate_independent(times(10, 10), {"a": 2, "b": 2}) is None


def test_a_cell_that_was_built_twice_is_one_cell() -> None:
    twice = [CellTime("a0", "a", 10), CellTime("a0", "a", 12), CellTime("a1", "a", 20)]
    found = estimate_independent(twice, {"a": 3})
    assert found
    assert found.seconds == pytest.approx(3 * 15.5)
    assert (found.built, found.sampled) == (3, True)
    assert found.error == pytest.approx(3 * 9 / 2**0.5 / 2**0.5 * (1 / 3) ** 0.5)


def test_the_error_of_a_single_cell_of_a_lane_is_taken_from_all_lanes() -> None:
    found = estimate_independent([*times(10), *times(14, lane="b")], {"a": 4, "b": 1})
    assert found
    assert found.seconds == pytest.approx(54)
    assert found.error == pytest.approx(4 * 8**0.5 * 0.75**0.5)


def test_one_walked_cell_of_several_says_nothing_of_the_others() -> None:
    for fresh in (True, False):
        assert estimate_walk(times(30), {"a": 13}, fresh=fresh) is None
        assert estimate_walk(times(30), {"a": 1}, fresh=fresh) == Estimate(30, 0.0, 1, 1)


def test_the_first_cell_of_a_walk_counts_once_where_the_directory_was_empty() -> None:
    walked = times(30, 5, 5)
    assert estimate_walk(walked, {"a": 11}, fresh=True) == Estimate(30 + 50, 0.0, 3, 11, sampled=True)
    again = estimate_walk(walked, {"a": 12}, fresh=False)
    assert again
    assert again.seconds == pytest.approx(160)


def test_lanes_of_a_walk_add_up() -> None:
    walked = [*times(30, 5), *times(40, 7, 9, lane="b")]
    found = estimate_walk(walked, {"a": 2, "b": 3}, fresh=True)
    assert found == Estimate(35 + 56, 0.0, 5, 5)


def test_a_lane_of_which_nothing_counts_leaves_no_estimate() -> None:
    assert estimate_walk([*times(3), refused(1, "b")], {"a": 1, "b": 1}, fresh=True) is None
    assert estimate_walk(times(3), {"a": 1, "b": 1}, fresh=True) is None
    assert estimate_walk([], {}, fresh=True) is None


def test_a_walk_whose_first_cell_ended_otherwise_rests_on_the_others() -> None:
    assert estimate_walk([refused(99), *times(5, 5)], {"a": 4}, fresh=True) == Estimate(
        20, 0.0, 2, 4, sampled=True
    )


def test_a_walk_with_a_sampled_lane_of_one_later_cell_has_no_error() -> None:
    found = estimate_walk(times(30, 5), {"a": 4}, fresh=True)
    assert found == Estimate(45, None, 2, 4, sampled=True)


def test_a_ratio_is_the_median_of_all_pairs_from_the_lowest_to_the_highest() -> None:
    ratio = compute_ratio([10, 12, 20], [estimate(100)])
    assert ratio
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((0.12, 0.10, 0.20))
    both = compute_ratio([10], [estimate(100), estimate(50)])
    assert both
    assert (both.median, both.low, both.high) == pytest.approx((0.15, 0.1, 0.2))


def test_one_repetition_of_all_cells_has_no_spread() -> None:
    assert compute_ratio([10], [estimate(100)]) == Ratio(0.1, None, None)
    one = compute_ratio([10, 10], [estimate(100)])
    assert one
    assert (one.low, one.high) == pytest.approx((0.1, 0.1))


def test_the_spread_has_the_error_of_a_sample_in_it() -> None:
    ratio = compute_ratio([10], [estimate(100, 20)])
    assert ratio
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((0.1, 10 / 120, 10 / 80))


@pytest.mark.parametrize("error", [None, 100.0, 250.0])
def test_a_spread_that_nothing_bounds_is_not_known(error: float | None) -> None:
    ratio = compute_ratio([10], [estimate(100, error)])
    assert ratio
    assert ratio.median == pytest.approx(0.1)
    assert (ratio.low, ratio.high) == (None, None)


def test_without_times_there_is_no_ratio() -> None:
    assert compute_ratio([], [estimate(1)]) is None
    assert compute_ratio([1], []) is None
    assert compute_ratio([1], [estimate(0)]) is None


def test_compilations_are_compared_with_those_that_differ() -> None:
    assert Compilations(21, 20).ratio == pytest.approx(1.05)
    assert Compilations(21).ratio is None
