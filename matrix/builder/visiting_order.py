"""The order in which a lane builds its configurations: always on to one that is near. Pure.

A step from one configuration to the next costs what make compiles again. So a symbol weighs as much as the
objects on record that look at it; without a record all symbols weigh alike.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import and_, or_

from matrix.kconfig.config import Config

_WORK = 3_000_000
"""Bit masks that may be counted, in about a second: most thousand configurations are compared in pairs."""
_SMALLEST_BLOCK = 8
_BITS_COUNTED_AT_ONCE = 1000
_ROWS_AT_ONCE = 4096

_Item = tuple[str, str]
"""A symbol that is not n, and its value."""


@dataclass
class ConfigSet:
    """The configurations of a lane, each by a name: its digest.

    What is kept of each is a bit mask of its differences from the first: a lane changes some dozens of
    symbols out of thousands, and a configuration as a value takes a megabyte.
    """

    _first: frozenset[_Item] = frozenset()
    _bits: dict[_Item, int] = field(default_factory=dict)
    _masks: dict[str, int] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._masks

    def add(self, name: str, config: Config) -> None:
        if not self._masks:
            self._first = config.enabled_symbols
        differing = self._first ^ config.enabled_symbols
        self._masks[name] = _build_mask(self._bits.setdefault(item, len(self._bits)) for item in differing)

    def plan_order(self, names: Sequence[str], weights: Mapping[str, int]) -> tuple[int, ...]:
        """Indices into ``names``, starting with the first. The way costs no more than in the order given.

        ``weights``: symbol → how many objects look at it. Of names that are there twice, or of equal
        configurations, the later come right after the first.
        """
        indices: dict[int, list[int]] = {}
        for index, name in enumerate(names):
            indices.setdefault(self._masks[name], []).append(index)
        space = _build_space(self._list_columns(list(indices)), weights, len(indices))
        members = list(indices.values())
        order = [index for place in space.find_way() for index in members[place]]
        # The nearest one now may make the way back to another one long.
        places = {index: place for place, group in enumerate(members) for index in group}
        ways = (order, range(len(names)))
        return tuple(min(ways, key=lambda way: space.measure_way([places[index] for index in way])))

    def _list_columns(self, masks: Sequence[int]) -> Iterator[tuple[str, int]]:
        """For each value of each symbol that changes: the symbol, and a bit mask of who has that value.

        So a change of any symbol, from whichever value to another, is a change in two columns.
        """
        first = sum(1 << bit for item, bit in self._bits.items() if item in self._first)
        columns = _transpose([mask ^ first for mask in masks], len(self._bits))
        rest: dict[str, int] = defaultdict(lambda: (1 << len(masks)) - 1)
        for (symbol, _), bit in self._bits.items():
            rest[symbol] &= ~columns[bit]
            yield symbol, columns[bit]
        yield from rest.items()


@dataclass(frozen=True)
class _Space:
    """Configurations as points: bit masks of columns, the heaviest column first.

    ``planes``: the cost of a step from one to another is the number of bits that differ, in each plane (a bit
    mask of columns) times its factor; of one to another place it is ``least_cost`` at least. ``block_size``:
    of how many each is compared with each.
    """

    points: Sequence[int]
    planes: Sequence[tuple[int, int]]
    least_cost: int
    block_size: int

    def measure_way(self, places: Sequence[int]) -> int:
        return sum(self._measure(self.points[a] ^ self.points[b]) for a, b in pairwise(places))

    def _measure(self, difference: int) -> int:
        cost = 0
        for factor, plane in self.planes:
            cost += factor * (difference & plane).bit_count()
        return cost

    def find_way(self) -> list[int]:
        """All places, each once, from the first on.

        Where they are too many to compare each with each, those that have the heaviest column alike come one
        after the other, and among those the ones with the next alike: its flips are the dearest.
        """
        places = range(len(self.points))
        way, blocks = [*places[:1]], [[*places[1:]]]
        while blocks:
            block = blocks.pop()
            if len(block) <= self.block_size:
                self._extend_way(way, block)
            else:
                blocks += self._split(block, self.points[way[-1]])
        return way

    def _extend_way(self, way: list[int], left: list[int]) -> None:
        """Add those that are left: from the last one always on to the nearest."""
        while left:
            nearest = self._find_nearest(self.points[way[-1]], left)
            way.append(left.pop(nearest))

    def _find_nearest(self, point: int, left: Sequence[int]) -> int:
        """The index in ``left`` of the nearest. Ties go to the first, so that equal plans have equal ways."""
        nearest, nearest_cost = 0, -1
        for index, place in enumerate(left):
            cost = self._measure(point ^ self.points[place])
            if cost < nearest_cost or nearest_cost < 0:
                nearest, nearest_cost = index, cost
                if cost == self.least_cost:
                    break
        return nearest

    def _split(self, block: Sequence[int], point: int) -> tuple[list[int], list[int]]:
        """A block by the heaviest column that differs in it: those that are unlike the point, those alike."""
        points = [self.points[place] for place in block]
        bit = 1 << ((reduce(or_, points) ^ reduce(and_, points)).bit_length() - 1)
        unlike = [place for place in block if (self.points[place] ^ point) & bit]
        return unlike, [place for place in block if not (self.points[place] ^ point) & bit]


def _build_space(columns: Iterable[tuple[str, int]], weights: Mapping[str, int], count: int) -> _Space:
    """The space of so many configurations, from columns with the symbols that they belong to."""
    total: Counter[int] = Counter()
    for symbol, column in columns:
        # Alike, or the other way round: what flips together is one column, as heavy as all of it.
        total[column ^ (1 << count) - 1 if column & 1 else column] += 1 + weights.get(symbol, 0)
    del total[0]
    ordered = sorted(total, key=lambda column: (total[column], column))
    heights = [total[column] for column in ordered]
    planes = [
        (1 << power, sum(1 << bit for bit, height in enumerate(heights) if height >> power & 1))
        for power in range(max(heights, default=0).bit_length())
    ]
    comparison = len(planes) * (1 + len(heights) // _BITS_COUNTED_AT_ONCE)
    return _Space(
        _transpose(ordered, count),
        [(factor, plane) for factor, plane in planes if plane],
        min(heights, default=0),
        max(_SMALLEST_BLOCK, 2 * _WORK // max(1, count * comparison)),
    )


def _build_mask(bits: Iterable[int]) -> int:
    """The mask in which these bits are set."""
    bits = list(bits)
    digits = bytearray(b"0") * (1 + max(bits, default=0))
    for bit in bits:
        digits[-1 - bit] = 49  # "1"; a number of thousands of bits that grew bit by bit would be slow
    return int(digits, 2)


def _transpose(masks: Sequence[int], width: int) -> list[int]:
    """As many bit masks as ``width``: bit ``i`` of mask ``j`` is bit ``j`` of ``masks[i]``."""
    flipped = [0] * width
    # As text, since that is done without a loop over the bits; in parts, since it takes much memory.
    for start in range(0, len(masks) if width else 0, _ROWS_AT_ONCE):
        texts = [format(mask, f"0{width}b") for mask in reversed(masks[start : start + _ROWS_AT_ONCE])]
        for bit, digits in enumerate(zip(*texts, strict=True)):
            flipped[width - 1 - bit] |= int("".join(digits), 2) << start
    return flipped
