"""Lanes are split into shares that take about as long each, and neighbours stay together."""

import random
from collections.abc import Sequence

import pytest

from matrix.shards.lane_split import PlannedCell, PlannedLane, PlanShare, split_lanes
from tests.stopwatch import limit_cpu


def lane(
    arch: str, seconds: Sequence[float | None], *, toolchain: str = "gcc-14", unbuilt: int = 0
) -> PlannedLane:
    """A lane whose cells have these times, and further ones of which nothing is built."""
    name = f"{arch}/{toolchain}/defconfig"
    cells = [
        PlannedCell(id=f"{name}/A={number}", config_sha256=f"{number:064}", seconds=took)
        for number, took in enumerate(seconds)
    ]
    cells += [PlannedCell(id=f"{name}/B={number}") for number in range(unbuilt)]
    weight = 1.4 if toolchain.startswith("clang") else 1.0
    return PlannedLane(arch=arch, toolchain=toolchain, base="defconfig", weight=weight, cells=tuple(cells))


def costs(shares: Sequence[PlanShare]) -> list[float]:
    return [round(share.cost, 1) for share in shares]


def pieces(shares: Sequence[PlanShare]) -> list[list[tuple[str, int]]]:
    return [[(piece.lane.arch, len(piece.cells)) for piece in share.pieces] for share in shares]


def test_one_share_is_the_whole_plan() -> None:
    lanes = [lane("x86", [9, 1, 1], unbuilt=2), lane("arm64", [None] * 3)]
    (share,) = split_lanes(lanes, 1)
    assert share.ids == {cell.id for lane in lanes for cell in lane.cells}


def test_lanes_stay_whole_where_they_fill_the_shares() -> None:
    lanes = [lane(arch, [10.0] * 5) for arch in ("arm64", "powerpc", "s390", "x86")]
    assert pieces(split_lanes(lanes, 4)) == [[(each.arch, 5)] for each in lanes]
    assert pieces(split_lanes(lanes, 2)) == [[("arm64", 5), ("s390", 5)], [("powerpc", 5), ("x86", 5)]]


def test_the_longest_comes_first_so_that_the_shares_end_together() -> None:
    lanes = [lane("arm64", [4]), lane("powerpc", [5]), lane("s390", [8]), lane("x86", [9])]
    assert costs(split_lanes(lanes, 2)) == [13, 13]


def test_a_lane_that_is_larger_than_a_share_is_cut_between_neighbours() -> None:
    whole = lane("x86", [30.0, *[10.0] * 30])
    shares = split_lanes([whole], 3)
    ids = [cell.id for cell in whole.cells]
    cut = [[ids.index(cell.id) for cell in share.pieces[0].cells] for share in shares]
    assert all(places == [*range(places[0], places[-1] + 1)] for places in cut)
    assert sorted(place for places in cut for place in places) == [*range(31)]
    assert max(costs(shares)) < 1.4 * min(costs(shares))


def test_a_piece_that_begins_with_an_empty_directory_takes_longer() -> None:
    shares = split_lanes([lane("x86", [30.0, *[10.0] * 30])], 2)
    assert sum(costs(shares)) == 30 + 300 + 30


def test_a_lane_is_not_cut_where_that_brings_nothing() -> None:
    assert pieces(split_lanes([lane("x86", [100.0, 1, 1])], 3)) == [[("x86", 3)], [], []]


def test_cells_with_one_configuration_are_never_parted() -> None:
    twins = lane("x86", [None] * 12)
    cells = [
        cell.model_copy(update={"config_sha256": f"{number // 4:064}"})
        for number, cell in enumerate(twins.cells)
    ]
    whole = twins.model_copy(update={"cells": tuple(cells)})
    for count in range(1, 13):
        for share in split_lanes([whole], count):
            found = [cell.config_sha256 for piece in share.pieces for cell in piece.cells]
            assert all(found.count(digest) == 4 for digest in found)


def test_without_times_a_cell_of_clang_weighs_more() -> None:
    lanes = [lane("x86", [None] * 10, toolchain=name) for name in ("gcc-14", "clang-19")]
    assert costs(split_lanes(lanes, 2)) == [1.4 * 13, 13]


def test_what_is_not_known_takes_what_is_usual_in_its_lane() -> None:
    lanes = [lane("x86", [60.0, 20.0, 20.0, None, None]), lane("arm64", [None] * 5)]
    arm, x86 = sorted(split_lanes(lanes, 2), key=lambda share: share.pieces[0].lane.arch)
    assert x86.cost == 60 + 4 * 20
    assert arm.cost == (5 + 3) * 20


def test_there_may_be_more_shares_than_cells() -> None:
    shares = split_lanes([lane("x86", [5.0, 5.0])], 7)
    assert sum(bool(share.ids) for share in shares) <= 2
    assert len(shares) == 7
    assert pieces(split_lanes([], 2)) == [[], []]
    assert pieces(split_lanes([lane("x86", [], unbuilt=2)], 2))[0] == [("x86", 1)]


@pytest.mark.parametrize("seed", range(40))
def test_each_cell_is_in_one_share_and_equal_lanes_give_equal_shares(seed: int) -> None:
    chooser = random.Random(seed)
    lanes = [
        lane(
            f"arch{number}",
            [chooser.choice((None, 0.0, chooser.uniform(0.1, 90))) for _ in range(chooser.randrange(25))],
            toolchain=chooser.choice(("gcc-14", "clang-19")),
            unbuilt=chooser.randrange(4),
        )
        for number in range(chooser.randrange(1, 7))
    ]
    for count in (1, 2, 3, 5, 8, 40):
        shares = split_lanes(lanes, count)
        ids = [name for share in shares for name in share.ids]
        assert sorted(ids) == sorted(cell.id for each in lanes for cell in each.cells)
        copies = [PlannedLane.model_validate_json(each.model_dump_json()) for each in lanes]
        assert [share.ids for share in split_lanes(copies, count)] == [share.ids for share in shares]


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_large_plans_end_together(seed: int) -> None:
    chooser = random.Random(seed)
    lanes = [
        lane(f"arch{number}", [30.0, *(chooser.uniform(2, 30) for _ in range(chooser.randrange(20, 60)))])
        for number in range(chooser.randrange(2, 9))
    ]
    for count in (2, 3, 4, 6):
        found = costs(split_lanes(lanes, count))
        assert max(found) <= 1.35 * sum(found) / count


def test_a_large_plan_is_split_at_once() -> None:
    """Cells that are counted anew for each share and each limit take a quarter of an hour."""
    cells = tuple(PlannedCell(id=str(number), config_sha256=str(number)) for number in range(10_000))
    whole = PlannedLane(arch="x86", toolchain="gcc-14", base="defconfig", cells=cells)
    with limit_cpu(30):
        shares = split_lanes([whole], 256)
    assert sum(len(share.ids) for share in shares) == len(cells)
