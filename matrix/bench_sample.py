"""Which cells of a run the other ways of a bench build where they do not build all of them. Pure.

The lanes of a run have the same configurations in the same order. So in each lane the cells are taken from
another place on: the same place in all of them would sample one configuration again and again.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MIN_WALK = 2
"""Cells. The first in an empty directory says nothing of those that come after it."""
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
"""Multiples of it, without their whole part, are spread evenly over 0 to 1, however many there are."""


def pick_sample(lanes: Sequence[Sequence[T]], count: int, shift: int = 0) -> list[tuple[T, ...]]:
    """``count`` items, evenly spread, as those of each lane, in their order; all of them for 0.

    Each lane has a share by its size, and one item at least. Another ``shift`` picks others.
    """
    shares = _divide_count([len(lane) for lane in lanes], count)
    return [
        _pick_evenly(lane, share, _find_offset(number, len(lanes), shift))
        for number, (lane, share) in enumerate(zip(lanes, shares, strict=True))
    ]


def deal_sample(picked: Sequence[Sequence[T]], part: int, parts: int) -> list[T]:
    """What of a sample is for one of so many cases: one item of each lane for the first, and the others dealt
    in turn, from the second on."""
    first = {number: number % len(lane) for number, lane in enumerate(picked) if lane}
    others = [
        item
        for number, lane in enumerate(picked)
        for place, item in enumerate(lane)
        if place != first[number]
    ]
    dealt = others[(part - 1) % parts :: parts]
    return dealt if part else [*(picked[lane][place] for lane, place in first.items()), *dealt]


def compute_sample_size(sample: int, lanes: int, cases: int) -> int:
    """How many cells that is in all: enough for one of each lane in the first case, and one in each other."""
    return max(sample, lanes + cases - 1) if sample else 0


def pick_walk(lanes: Sequence[Sequence[T]], count: int, shift: int = 0) -> list[tuple[T, ...]]:
    """Neighbours of each lane, about ``count`` in all, but two of a lane at least; all of them for 0."""
    if not count or not lanes:
        return [tuple(lane) for lane in lanes]
    length = max(_MIN_WALK, math.ceil(count / len(lanes)))
    starts = (
        int(_find_offset(number, len(lanes), shift) * max(1, len(lane) - length + 1))
        for number, lane in enumerate(lanes)
    )
    return [tuple(lane[start : start + length]) for lane, start in zip(lanes, starts, strict=True)]


def _find_offset(number: int, lanes: int, shift: int) -> float:
    """Where a lane's sample begins, from 0 to below 1."""
    return ((number + 0.5) / lanes + shift * _GOLDEN_RATIO) % 1


def _pick_evenly(items: Sequence[T], count: int, offset: float) -> tuple[T, ...]:
    step = len(items) / count if count else 0.0
    return tuple(items[int((number + offset) * step)] for number in range(count))


def _divide_count(sizes: Sequence[int], count: int) -> list[int]:
    """Each lane's share of a count, as in Webster's method, between one item and all of them."""
    if not 0 < count < sum(sizes):
        return list(sizes)
    shares = [min(1, size) for size in sizes]
    for _ in range(count - sum(shares)):
        _, number = max(
            (size / (2 * share + 1), -number)
            for number, (size, share) in enumerate(zip(sizes, shares, strict=True))
            if share < size
        )
        shares[-number] += 1
    return shares
