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

    ``axes`` are those with two values or more, in plan order; a row has a value for each. An axis is given by
    its position among them. ``has_unique_rows``: no two rows have the same values.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], rows: Iterable[Mapping[str, str]]) -> None:
        self.axes = {name: tuple(values) for name, values in axes.items()}
        positions = [(name, {v: i for i, v in enumerate(values)}) for name, values in self.axes.items()]
        # Bytes first, integers at the end: setting a bit of a long integer copies all of it.
        fields = [[bytearray() for _ in values] for values in self.axes.values()]
        self.row_count = 0
        points = set()
        for row in rows:
            points.add(tuple(row[name] for name in self.axes))
            for (name, position_of), fields_of_axis in zip(positions, fields, strict=True):
                field = fields_of_axis[position_of[row[name]]]
                field.extend(bytes(self.row_count // 8 + 1 - len(field)))
                field[self.row_count // 8] |= 1 << self.row_count % 8
            self.row_count += 1
        self.masks = [[int.from_bytes(field, "little") for field in of_axis] for of_axis in fields]
        self.all_rows = (1 << self.row_count) - 1
        self.has_unique_rows = len(points) == self.row_count
        self._rows_by_values: dict[tuple[int, int], int] = {}

    def find_matching_rows(self, cube: Cube) -> int:
        """The rows that meet a conjunction."""
        rows = self.all_rows
        for axis, (name, values) in enumerate(self.axes.items()):
            if name in cube:
                bits = sum(1 << values.index(value) for value in cube[name])
                rows &= self.find_rows_with_values(axis, bits)
        return rows

    def find_rows_with_values(self, axis: int, bits: int) -> int:
        """The rows that have one of these values of an axis."""
        # A search asks for the same few terms again and again.
        if (axis, bits) not in self._rows_by_values:
            chosen = (mask for index, mask in enumerate(self.masks[axis]) if bits >> index & 1)
            self._rows_by_values[axis, bits] = reduce(or_, chosen, 0)
        return self._rows_by_values[axis, bits]

    def project_values(self, axis: int, rows: int) -> int:
        """The values of an axis that these rows have, as bits."""
        return sum(1 << index for index, mask in enumerate(self.masks[axis]) if mask & rows)

    def find_first_point(self, rows: int, near: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values (as indices) of the first of these rows, in the order of the axes' values.

        With ``near`` its value comes before the others of each axis.
        """
        # The first by its values and not by its number: so the order of the cells decides nothing.
        point = []
        for axis, masks in enumerate(self.masks):
            index = near[axis] if near and masks[near[axis]] & rows else 0
            while not masks[index] & rows:
                index += 1
            rows &= masks[index]
            point.append(index)
        return tuple(point)

    def find_neighbours(self, point: tuple[int, ...]) -> list[int]:
        """For each axis the rows that have all values of a point but in that axis."""
        # The rows that agree in all axes before this one, and in all after it: two passes for all axes
        # together, where intersecting the others of each axis anew would be quadratic.
        own = [masks[index] for masks, index in zip(self.masks, point, strict=True)]
        before = accumulate(own, and_, initial=self.all_rows)
        after = [*accumulate(reversed(own), and_, initial=self.all_rows)][-2::-1]
        return [left & right & ~mask for left, right, mask in zip(before, after, own, strict=False)]


# A step's time grows with the rows, so above 10,000 of them their product is what is limited.
_STEPS = 20_000
_STEPS_TIMES_ROWS = 200_000_000
_FULL_SEARCHES = 100
_LEAST_STEPS = 100

Literals = tuple[int | None, ...]
"""For each axis the values of a term, as bits in the axis's order; None without a term."""


@dataclass
class CoverProblem:
    """One finding's rows in the table, and the values at which it was seen at all.

    An absent row that has all values of a seen one is not among them: no condition separates the two.
    """

    table: TruthTable
    seen: int
    absent: int
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.values = tuple(
            self.table.project_values(axis, self.seen) for axis in range(len(self.table.axes))
        )
        # With unique rows, which is the rule, a seen row has no twin.
        unchecked = 0 if self.table.has_unique_rows else self.seen
        while unchecked:
            point = self.table.find_first_point(unchecked)
            twins = self.find_covered_rows(tuple(1 << index for index in point))
            self.absent, unchecked = self.absent & ~twins, unchecked & ~twins

    def find_covered_rows(self, literals: Literals) -> int:
        """The rows that meet a conjunction."""
        terms = ((axis, bits) for axis, bits in enumerate(literals) if bits is not None)
        return reduce(and_, starmap(self.table.find_rows_with_values, terms), self.table.all_rows)

    def admits_absent(self, literals: Literals) -> bool:
        """Whether an absent row meets a conjunction."""
        return self.find_covered_rows(literals) & self.absent != 0

    def drop_idle_terms(self, literals: Literals, axes: Iterable[int]) -> Literals:
        """A conjunction without its idle terms on these axes: those that shut no absent row out.

        They are dropped one after the other, as of two terms each may be idle only beside the other.
        """
        for axis in axes:
            shorter = (*literals[:axis], None, *literals[axis + 1 :])
            literals = literals if self.admits_absent(shorter) else shorter
        return literals

    def tighten_terms(self, literals: Literals) -> Literals:
        """The conjunction with only the values of the seen rows that meet it. No seen row leaves it."""
        rows = self.find_covered_rows(literals) & self.seen
        return tuple(
            None if bits is None else self.table.project_values(axis, rows)
            for axis, bits in enumerate(literals)
        )

    def to_cube(self, literals: Literals) -> dict[str, tuple[str, ...]]:
        """A conjunction by the names of its axes and values."""
        return {
            name: tuple(value for index, value in enumerate(values) if bits >> index & 1)
            for (name, values), bits in zip(
                self.table.axes.items(), self.tighten_terms(literals), strict=True
            )
            if bits is not None
        }

    def sort_key(self, literals: Literals) -> tuple[tuple[int, int], ...]:
        """Where a conjunction stands among others: its axes and values in plan order."""
        tight = self.tighten_terms(literals)
        return tuple((axis, bits) for axis, bits in enumerate(tight) if bits is not None)

    def compute_cost(self, cubes: Sequence[Literals]) -> tuple[object, ...]:
        """What decides between two conditions of as many conjunctions; smaller is better.

        Of as many terms, the one that claims less wins: fewer cells of which nothing is known, then fewer
        values. The order of the plan comes last, only so that there is always one answer.
        """
        tight = [self.tighten_terms(literals) for literals in cubes]
        covered = reduce(or_, map(self.find_covered_rows, tight), 0)
        values = sum(bits.bit_count() for literals in tight for bits in literals if bits is not None)
        unknown = (covered & ~(self.seen | self.absent)).bit_count()
        return (count_terms(cubes), unknown, values, sorted(map(self.sort_key, cubes)))


def count_terms(cubes: Iterable[Literals]) -> int:
    """How many terms these conjunctions have together."""
    return sum(bits is not None for literals in cubes for bits in literals)


def compute_step_limit(table: TruthTable, searches: int = 1) -> int:
    """How many steps a search may take: fewer in large tables, where each costs more.

    Of very many ``searches`` on one table, each may take less: together they take no more than a hundred.
    """
    limit = max(_LEAST_STEPS, min(_STEPS, _STEPS_TIMES_ROWS // (table.row_count + 1)))
    return max(1, min(limit, limit * _FULL_SEARCHES // searches))
