"""The rows of one finding in the table, and conjunctions over them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import starmap
from operator import and_, or_

from matrix.findings.table import TruthTable

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
