"""The cells of a run as a truth table over its axes, in which sets of cells are bit masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, starmap
from operator import and_, or_

Cube = Mapping[str, tuple[str, ...]]
"""A conjunction: axis → the values that it names. An axis that is not constrained is not in it."""


class TruthTable:
    """The cells of a run as a multi-valued truth table. Bit i of a mask is row i.

    ``axes`` are those with two values or more, in plan order; a row has a value for each. ``unique``: no two
    rows have the same.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], rows: Iterable[Mapping[str, str]]) -> None:
        self.axes = {name: tuple(values) for name, values in axes.items()}
        self.masks = [[0] * len(values) for values in self.axes.values()]
        index = [(name, {v: i for i, v in enumerate(values)}) for name, values in self.axes.items()]
        fields = [[bytearray() for _ in values] for values in self.axes.values()]
        self.row_count = 0
        points = set()
        for row in rows:
            points.add(tuple(row[name] for name in self.axes))
            for (name, places), among in zip(index, fields, strict=True):
                field = among[places[row[name]]]
                field.extend(bytes(self.row_count // 8 + 1 - len(field)))
                field[self.row_count // 8] |= 1 << self.row_count % 8
            self.row_count += 1
        self.masks = [[int.from_bytes(field, "little") for field in among] for among in fields]
        self.all_rows = (1 << self.row_count) - 1
        self.has_unique_rows = len(points) == self.row_count
        self._rows_by_values: dict[tuple[int, int], int] = {}

    def find_matching_rows(self, cube: Cube) -> int:
        """The rows that meet a conjunction."""
        found = self.all_rows
        for place, (name, values) in enumerate(self.axes.items()):
            if name in cube:
                wanted = 0
                for value in cube[name]:
                    wanted |= self.masks[place][values.index(value)]
                found &= wanted
        return found

    def find_rows_with_values(self, place: int, bits: int) -> int:
        """The rows that have one of these values of an axis."""
        if (place, bits) not in self._rows_by_values:
            chosen = (mask for index, mask in enumerate(self.masks[place]) if bits >> index & 1)
            self._rows_by_values[place, bits] = reduce(or_, chosen, 0)
        return self._rows_by_values[place, bits]

    def project_values(self, place: int, rows: int) -> int:
        """The values of an axis that these rows have, as bits."""
        return sum(1 << index for index, mask in enumerate(self.masks[place]) if mask & rows)

    def find_first_point(self, rows: int, near: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values (as indices) of the first of these rows, in the order of the axes' values.

        With ``near`` its value comes before the others of each axis.
        """
        point = []
        for place, among in enumerate(self.masks):
            index = near[place] if near and among[near[place]] & rows else 0
            while not among[index] & rows:
                index += 1
            rows &= among[index]
            point.append(index)
        return tuple(point)

    def find_neighbours(self, point: tuple[int, ...]) -> list[int]:
        """For each axis the rows that have all values of a point but in that axis."""
        mine = [among[index] for among, index in zip(self.masks, point, strict=True)]
        before = accumulate(mine, and_, initial=self.all_rows)
        after = [*accumulate(reversed(mine), and_, initial=self.all_rows)][-2::-1]
        return [one & two & ~mask for one, two, mask in zip(before, after, mine, strict=False)]


_STEPS = 20_000
_STEPS_TIMES_ROWS = 200_000_000
_LEAST_STEPS = 100

Literals = tuple[int | None, ...]
"""For each axis the values of a term, as bits in the axis's order; None without a term."""


@dataclass
class CoverProblem:
    """One finding's rows in the table, and the values at which it was seen at all.

    An absent row that has all values of a seen one is not among them: the axes cannot tell the two apart.
    """

    table: TruthTable
    seen: int
    absent: int
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.values = tuple(
            self.table.project_values(place, self.seen) for place in range(len(self.table.axes))
        )
        open_ = 0 if self.table.has_unique_rows else self.seen
        while open_:
            same = self.find_covered_rows(tuple(1 << index for index in self.table.find_first_point(open_)))
            self.absent, open_ = self.absent & ~same, open_ & ~same

    def find_covered_rows(self, literals: Literals) -> int:
        """The rows that meet a conjunction."""
        terms = ((place, bits) for place, bits in enumerate(literals) if bits is not None)
        return reduce(and_, starmap(self.table.find_rows_with_values, terms), self.table.all_rows)

    def admits_absent(self, literals: Literals) -> bool:
        """Whether an absent row meets a conjunction."""
        return self.find_covered_rows(literals) & self.absent != 0

    def drop_idle_terms(self, literals: Literals, places: Iterable[int]) -> Literals:
        """A conjunction without those of these terms that it can do without, one after the other."""
        for place in places:
            tried = (*literals[:place], None, *literals[place + 1 :])
            literals = literals if self.admits_absent(tried) else tried
        return literals

    def tighten_terms(self, literals: Literals) -> Literals:
        """The same rows seen, with only the values that they have."""
        mine = self.find_covered_rows(literals) & self.seen
        return tuple(
            None if bits is None else self.table.project_values(place, mine)
            for place, bits in enumerate(literals)
        )

    def to_cube(self, literals: Literals) -> dict[str, tuple[str, ...]]:
        """A conjunction in the words of the axes."""
        return {
            name: tuple(value for index, value in enumerate(values) if bits >> index & 1)
            for (name, values), bits in zip(
                self.table.axes.items(), self.tighten_terms(literals), strict=True
            )
            if bits is not None
        }

    def sort_key(self, literals: Literals) -> tuple[tuple[int, int], ...]:
        """Where a conjunction stands among others: its axes and values in plan order."""
        return tuple(
            (place, bits) for place, bits in enumerate(self.tighten_terms(literals)) if bits is not None
        )

    def compute_cost(self, cubes: Sequence[Literals]) -> tuple[object, ...]:
        """What decides between two conditions of as many conjunctions; smaller is better."""
        tight = [self.tighten_terms(literals) for literals in cubes]
        met = reduce(or_, map(self.find_covered_rows, tight), 0)
        named = sum(bits.bit_count() for literals in tight for bits in literals if bits is not None)
        unknown = (met & ~(self.seen | self.absent)).bit_count()
        return (count_terms(cubes), unknown, named, sorted(map(self.sort_key, cubes)))


def count_terms(cubes: Iterable[Literals]) -> int:
    """How many terms these conjunctions have together."""
    return sum(bits is not None for literals in cubes for bits in literals)


def compute_step_limit(table: TruthTable) -> int:
    """How many steps a search may take: fewer in large tables, where each costs more."""
    return max(_LEAST_STEPS, min(_STEPS, _STEPS_TIMES_ROWS // (table.row_count + 1)))
