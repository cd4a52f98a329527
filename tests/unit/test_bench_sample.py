"""Which cells stand for all of a run."""

from itertools import chain

import pytest

from matrix.bench_sample import compute_sample_size, deal_sample, pick_sample, pick_walk

FOUR_LANES = [[(lane, number) for number in range(13)] for lane in "abcd"]


def places(picked: list[tuple[tuple[str, int], ...]]) -> list[int]:
    return [number for _, number in chain(*picked)]


@pytest.mark.parametrize(
    ("count", "shift", "picked"),
    [
        (0, 0, "abcdefgh"),
        (8, 0, "abcdefgh"),
        (9, 3, "abcdefgh"),
        (1, 0, "e"),
        (2, 0, "cg"),
        (4, 0, "bdfh"),
        (4, 1, "aceg"),
        (3, 0, "beg"),
    ],
)
def test_a_sample_is_spread_evenly_and_keeps_its_order(count: int, shift: int, picked: str) -> None:
    (lane,) = pick_sample(["abcdefgh"], count, shift)
    assert "".join(lane) == picked


def test_a_sample_of_nothing_is_nothing() -> None:
    assert pick_sample([], 3) == []
    assert pick_sample([()], 3) == [()]


@pytest.mark.parametrize("count", [4, 8, 12])
@pytest.mark.parametrize("shift", [0, 1, 2, 7])
def test_lanes_of_the_same_configurations_are_sampled_at_different_ones(count: int, shift: int) -> None:
    picked = pick_sample(FOUR_LANES, count, shift)
    assert [len(lane) for lane in picked] == [count // 4] * 4
    assert len(set(places(picked))) >= min(count, 8)
    assert min(places(picked)) <= 4
    assert max(places(picked)) >= 8


@pytest.mark.parametrize(
    ("sizes", "count", "shares"),
    [
        ((13, 13, 13, 13), 1, [1, 1, 1, 1]),
        ((13, 13, 13, 13), 13, [4, 3, 3, 3]),
        ((40, 10, 2), 10, [7, 2, 1]),
        ((40, 1, 1), 3, [1, 1, 1]),
        ((5, 1), 5, [4, 1]),
    ],
)
def test_each_lane_has_a_share_by_its_size(sizes: tuple[int, ...], count: int, shares: list[int]) -> None:
    assert [len(lane) for lane in pick_sample([range(size) for size in sizes], count)] == shares


@pytest.mark.parametrize("sizes", [(1,), (2, 7), (13,) * 4, (1, 30, 3), (5,) * 9])
@pytest.mark.parametrize("sample", [0, 1, 4, 9, 1000])
@pytest.mark.parametrize("cases", [1, 2, 5])
def test_the_cases_of_a_pool_build_the_sample_together_and_each_lane_at_first(
    sizes: tuple[int, ...], sample: int, cases: int
) -> None:
    lanes = [[(lane, number) for number in range(size)] for lane, size in enumerate(sizes)]
    size = compute_sample_size(sample, len(lanes), cases)
    picked = pick_sample(lanes, size)
    parts = [deal_sample(picked, part, cases) for part in range(cases)]
    assert sorted(chain(*parts)) == sorted(chain(*picked))
    assert len(set(chain(*parts))) == len(list(chain(*parts)))
    assert {lane for lane, _ in parts[0]} == set(range(len(sizes)))
    assert all(parts) or size >= sum(sizes) or size == 0


@pytest.mark.parametrize(
    ("count", "lengths"), [(1, [2, 2, 2, 1]), (4, [2, 2, 2, 1]), (12, [3, 3, 2, 1]), (0, [13, 13, 2, 1])]
)
def test_a_walk_takes_two_neighbours_of_a_lane_at_least(count: int, lengths: list[int]) -> None:
    walked = pick_walk([range(13), range(13), range(2), range(1)], count)
    assert [len(lane) for lane in walked] == lengths
    assert all(tuple(lane) == tuple(range(lane[0], lane[0] + len(lane))) for lane in walked)


def test_walks_begin_at_different_places() -> None:
    assert len({lane[0][1] for lane in pick_walk(FOUR_LANES, 4)}) == 4
    assert pick_walk([range(13)], 4, 0) != pick_walk([range(13)], 4, 1)
