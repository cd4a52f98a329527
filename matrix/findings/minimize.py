"""The smallest condition under which a finding appears: multi-valued two-level logic minimisation.

The cells of a run are a truth table over the axes: a finding was *seen* in some, is *absent* from some, and
of all others (and of every point of the product that is no cell) nothing is known. A condition is a set of
conjunctions that covers every seen cell and no absent one. Fewest conjunctions win, then fewest terms (an
axis that is constrained in a conjunction is one term, however many values it names). Ties are decided by:
fewest cells of which nothing is known, fewest values named, the conjunctions' axes and values in plan order.

1. A term names only values at which the finding was seen, so one conjunction for all seen cells has no choice
   of values but only of axes: `_find_single_cube` tries the sets of axes by size, around those that all need.
2. Where one is not enough, `CoverSearch` makes the largest conjunctions around a seen cell. An absent cell
   that differs from it in one axis is shut out there; then, as long as an absent cell is inside, one of the
   axes in which the two differ must shut it out, and each choice is followed.
3. It picks among them, branch and bound, always around the first seen cell that is not covered yet. Cells of
   which no conjunction covers two take one each, and that bounds it.

Sets of cells are bit masks, so a step costs a few operations on words of the machine, about 1 µs for each
10,000 cells. Steps are counted and limited (`compute_step_limit`: 20,000, fewer above 10,000 cells, or
where a run has over a hundred conditions to find). When they run out, the better of the best cover so far
and a greedy one is the answer, marked as not known to be minimal. The number of steps does not depend on
the machine, nor the answer on the order of the cells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations, islice
from operator import or_
from typing import Any, NamedTuple

from matrix.findings.truth_table import CoverProblem, Literals, TruthTable, compute_step_limit, count_terms


@dataclass
class CoverSearch:
    """Branch and bound over the largest conjunctions. ``steps_left`` is 0 when the steps ran out."""

    problem: CoverProblem
    steps_left: int
    _best: tuple[Literals, ...] | None = None
    _best_cost: tuple[Any, ...] = ()
    _primes_by_point: dict[tuple[int, ...], "_PrimeCubes"] = field(default_factory=dict)

    def find_best_cover(self) -> tuple[Literals, ...]:
        """The smallest cover, or the best that the steps allowed."""
        self._extend_cover(self.problem.seen, ())
        greedy = self._build_greedy_cover() if self._best is None or not self.steps_left else self._best
        if self._best is None or self._compute_cost(greedy) < self._best_cost:
            return greedy
        return self._best

    def _compute_cost(self, cubes: tuple[Literals, ...]) -> tuple[Any, ...]:
        return (len(cubes), *self.problem.compute_cost(cubes))

    def _extend_cover(self, uncovered: int, chosen: tuple[Literals, ...]) -> None:
        """Try every way to cover these rows as well. ``chosen`` covers all other seen rows."""
        if not uncovered:
            cost = self._compute_cost(chosen)
            if self._best is None or cost < self._best_cost:
                self._best, self._best_cost = chosen, cost
            return
        # Any cover has a conjunction around this one row, so no other row need be branched on: the choices
        # are the largest conjunctions around it, and not all of the table's.
        for literals, rows in self._find_primes(self.problem.table.find_first_point(uncovered)).cubes:
            left, more = uncovered & ~rows, (*chosen, literals)
            if self._is_worse_than_best(more, left):
                continue
            if not self._take_step():
                return
            self._extend_cover(left, more)

    def _is_worse_than_best(self, chosen: tuple[Literals, ...], uncovered: int) -> bool:
        """Whether these, and what the uncovered rows take at least, cannot equal the best any more.

        Of rows that no conjunction covers together, each takes one. A cover that only equals the best so far
        is followed: ties are decided at its end, where the values that it names are known.
        """
        count, terms = len(chosen), count_terms(chosen)
        while self._best is not None and (count, terms) <= self._best_cost[:2]:
            if not uncovered:
                return False
            primes = self._find_primes(self.problem.table.find_first_point(uncovered))
            # All rows that share a conjunction with this one go, so the next takes another conjunction.
            uncovered &= ~primes.covered_rows
            count, terms = count + 1, terms + primes.fewest_terms
        return self._best is not None

    def _take_step(self) -> bool:
        self.steps_left = max(0, self.steps_left - 1)
        return self.steps_left > 0

    def _find_primes(self, point: tuple[int, ...]) -> "_PrimeCubes":
        if point not in self._primes_by_point:
            cubes = [
                (literals, self.problem.find_covered_rows(literals)) for literals in self._expand_point(point)
            ]
            self._primes_by_point[point] = _PrimeCubes(
                cubes=tuple(sorted(cubes, key=self._prime_sort_key)),
                covered_rows=reduce(or_, (rows for _, rows in cubes), 0),
                fewest_terms=min((count_terms([literals]) for literals, _ in cubes), default=0),
            )
        return self._primes_by_point[point]

    def _prime_sort_key(self, pair: tuple[Literals, int]) -> tuple[object, ...]:
        # What covers most comes first: a good cover found early cuts off most of the search.
        literals, rows = pair
        return (
            -(rows & self.problem.seen).bit_count(),
            count_terms([literals]),
            self.problem.sort_key(literals),
        )

    def _expand_point(self, point: tuple[int, ...]) -> list[Literals]:
        """The largest conjunctions around a point that let no absent row in."""
        start = self._find_forced_terms(point)
        todo = [(start, self.problem.find_covered_rows(start) & self.problem.absent)]
        known, closed = {start}, []
        # Each entry of ``todo`` has the absent rows that it still lets in.
        while todo and self._take_step():
            literals, intruders = todo.pop()
            if not intruders:
                closed.append(literals)
                continue
            # One that agrees with the point wherever it can differs in few axes, and leaves few choices.
            intruder = self.problem.table.find_first_point(intruders, point)
            for narrower, rows in self._exclude_intruder(literals, point, intruder):
                # Several orders of exclusion lead to one conjunction.
                if narrower not in known:
                    known.add(narrower)
                    todo.append((narrower, intruders & rows))
        return self._keep_largest(closed)

    def _find_forced_terms(self, point: tuple[int, ...]) -> Literals:
        """The terms that every conjunction around the point needs.

        An absent row that differs from the point in one axis can only be shut out there. That leaves few
        absent rows for the search.
        """
        literals: list[int | None] = []
        for axis, rows in enumerate(self.problem.table.find_neighbours(point)):
            excluded = self.problem.table.project_values(axis, rows & self.problem.absent)
            literals.append(self.problem.values[axis] & ~excluded if excluded else None)
        return tuple(literals)

    def _exclude_intruder(
        self, literals: Literals, point: tuple[int, ...], intruder: tuple[int, ...]
    ) -> Iterator[tuple[Literals, int]]:
        """The conjunction narrowed in one axis, for each axis in which the intruder differs from the point.

        With it the rows that the narrowed term lets in.
        """
        for axis, (own, other) in enumerate(zip(point, intruder, strict=True)):
            if own != other:
                term = literals[axis]
                bits = (self.problem.values[axis] if term is None else term) & ~(1 << other)
                yield (
                    (*literals[:axis], bits, *literals[axis + 1 :]),
                    self.problem.table.find_rows_with_values(axis, bits),
                )

    def _keep_largest(self, cubes: Sequence[Literals]) -> list[Literals]:
        """Those that lie in no other. Each is one number, whose ones let a value in: comparing two is one
        operation."""
        # One bit more than there are values, which only a missing term sets: it is larger than any term.
        widths = [len(masks) + 1 for masks in self.problem.table.masks]
        codes = {_encode_literals(literals, widths): literals for literals in cubes}
        largest: list[int] = []
        for code in sorted(codes, key=int.bit_count, reverse=True):
            if all(code & ~other for other in largest):
                largest.append(code)
        return [codes[code] for code in largest]

    def _build_greedy_cover(self) -> tuple[Literals, ...]:
        """Some cover, in few steps: around each seen row one conjunction, grown as far as it goes."""
        uncovered, chosen = self.problem.seen, []
        while uncovered:
            literals = self._shorten_cube(self._grow_cube(self.problem.table.find_first_point(uncovered)))
            chosen.append(literals)
            uncovered &= ~self.problem.find_covered_rows(literals)
        # Later conjunctions may cover all that an earlier one was made for.
        for literals in list(chosen):
            others = (self.problem.find_covered_rows(other) for other in chosen if other is not literals)
            if not self.problem.seen & ~reduce(or_, others, 0):
                chosen.remove(literals)
        return tuple(chosen)

    def _shorten_cube(self, literals: Literals) -> Literals:
        """The conjunction with only the values that were seen in it, without the terms that are idle then.

        Fewer terms let more seen rows in, and so more values: it is repeated until nothing changes.
        """
        shorter = self.problem.drop_idle_terms(self.problem.tighten_terms(literals), range(len(literals)))
        return literals if shorter == literals else self._shorten_cube(shorter)

    def _grow_cube(self, point: tuple[int, ...]) -> Literals:
        """The conjunction of a point alone, each term in turn widened as far as no absent row comes in."""
        literals: Literals = tuple(1 << index for index in point)
        for axis, bits in enumerate(self.problem.values):
            # Without the term, with all values at which it was seen, with each of them.
            for addition in (None, bits, *(1 << i for i in range(bits.bit_length()) if bits >> i & 1)):
                term = literals[axis]
                if term is None:
                    break
                wider = None if addition is None else term | addition
                candidate = (*literals[:axis], wider, *literals[axis + 1 :])
                if not self.problem.admits_absent(candidate):
                    literals = candidate
        return literals


class _PrimeCubes(NamedTuple):
    """The largest conjunctions around a seen row with the rows that they cover, those that cover most first.

    ``covered_rows``: all rows that any of them covers; ``fewest_terms``: how many the shortest has.
    """

    cubes: tuple[tuple[Literals, int], ...]
    covered_rows: int
    fewest_terms: int


def _encode_literals(literals: Literals, widths: Sequence[int]) -> int:
    code = 0
    for bits, width in zip(literals, widths, strict=True):
        code = code << width | ((1 << width) - 1 if bits is None else bits)
    return code


@dataclass(frozen=True)
class Cover:
    """The conjunctions, any of which may hold. ``minimal``: it is proven that no smaller condition exists."""

    cubes: tuple[dict[str, tuple[str, ...]], ...]
    minimal: bool


def minimize_condition(table: TruthTable, seen: int, absent: int, *, steps: int | None = None) -> Cover:
    """The smallest condition for what was seen in ``seen`` and is absent from ``absent`` (masks of rows).

    A row in both, or with the very values of a seen one, counts as seen. ``steps`` bounds the search, by
    default as for a single one.
    """
    limit = steps or compute_step_limit(table)
    if not seen:
        return Cover((), minimal=True)
    problem = CoverProblem(table, seen, absent & ~seen)
    single = _find_single_cube(problem, limit)
    if single is not None:
        literals, proven = single
        return Cover((problem.to_cube(literals),), minimal=proven)
    search = CoverSearch(problem, limit)
    cubes = sorted(search.find_best_cover(), key=problem.sort_key)
    return Cover(tuple(problem.to_cube(literals) for literals in cubes), minimal=search.steps_left > 0)


def _find_single_cube(problem: CoverProblem, steps: int) -> tuple[Literals, bool] | None:
    """The best single conjunction and whether that is proven, or None where one is not enough.

    An axis without which an absent row comes in is in all of them; so the choice is among the others only.
    """
    whole = problem.values
    # All terms at all values that were seen: no conjunction for every seen row is narrower.
    if problem.admits_absent(whole):
        return None
    useful = [
        axis
        for axis, bits in enumerate(whole)
        if problem.table.find_rows_with_values(axis, bits) != problem.table.all_rows
    ]
    needed = [axis for axis in useful if problem.admits_absent(_keep_terms(whole, {*useful} - {axis}))]
    rest = [axis for axis in useful if axis not in needed]
    # By size, so the first size at which any fits is the smallest; all of that size are compared.
    for size in range(len(rest) + 1):
        candidates = [
            _keep_terms(whole, (*needed, *chosen)) for chosen in islice(combinations(rest, size), steps)
        ]
        steps -= len(candidates)
        if not steps:
            return problem.drop_idle_terms(_keep_terms(whole, useful), rest), False
        fitting = [literals for literals in candidates if not problem.admits_absent(literals)]
        if fitting:
            return min(fitting, key=lambda literals: problem.compute_cost([literals])), True
    raise AssertionError("all terms together exclude every absent row, and some of them do not")


def _keep_terms(whole: Sequence[int], axes: Iterable[int]) -> Literals:
    kept = frozenset(axes)
    return tuple(bits if axis in kept else None for axis, bits in enumerate(whole))
