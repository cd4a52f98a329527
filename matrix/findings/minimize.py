"""The smallest condition under which a finding appears: multi-valued two-level logic minimisation.

The cells of a run are a truth table over the axes: a finding was *seen* in some, is *absent* from some, and
of all others (and of every point of the product that is no cell) nobody knows. A condition is a set of
conjunctions that covers every seen cell and no absent one. Fewest conjunctions win, then fewest terms (an
axis that is constrained in a conjunction is one term, however many values it names). What ties is decided
by: fewest cells of which nobody knows, fewest values named, the conjunctions' axes and values in plan order.

A term names only values at which the finding was seen, so one conjunction for all seen cells has no choice
of values but only of axes: `_alone` tries the sets of axes by size, around those that all of them need. Where
one does not do, `_primes` makes the largest conjunctions around a seen cell: what is absent and differs from
it in one axis is shut out there; then, as long as an absent cell is inside, one of the axes in which the two
differ must shut it out, and each choice is followed. `Search` then picks conjunctions, branch and bound,
always around the first seen cell that is not covered yet; cells of which no conjunction covers two take one
each, and that bounds it. What ties is decided among such covers, by largest conjunctions.

Sets of cells are bit masks, so a step costs a few operations on words of the machine, about 1 µs for each
10,000 cells. Steps are counted and limited (`question.limit`: 20,000, fewer above 10,000 cells): when they
run out, the best cover found so far is completed greedily and says that it is not known to be minimal. The
number of steps does not depend on the machine, nor the answer on the order of the cells.
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
    """Branch and bound over the largest conjunctions. ``steps`` are those left; 0 when they ran out."""

    problem: CoverProblem
    steps_left: int = 0
    _best: tuple[Literals, ...] | None = None
    _best_cost: tuple[Any, ...] = ()
    _primes_by_point: dict[tuple[int, ...], "_PrimeCubes"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps_left = compute_step_limit(self.problem.table)

    def find_best_cover(self) -> tuple[Literals, ...]:
        """The smallest cover, or the best that the steps allowed."""
        self._extend_cover(self.problem.seen, ())
        greedy = self._build_greedy_cover() if self._best is None or not self.steps_left else self._best
        if self._best is None or self._compute_cost(greedy) < self._best_cost:
            return greedy
        return self._best

    def _compute_cost(self, cubes: tuple[Literals, ...]) -> tuple[Any, ...]:
        return (len(cubes), *self.problem.compute_cost(cubes))

    def _extend_cover(self, open_: int, chosen: tuple[Literals, ...]) -> None:
        if not open_:
            cost = self._compute_cost(chosen)
            if self._best is None or cost < self._best_cost:
                self._best, self._best_cost = chosen, cost
            return
        for literals, rows in self._find_primes(self.problem.table.find_first_point(open_)).cubes:
            left, more = open_ & ~rows, (*chosen, literals)
            if self._is_worse_than_best(more, left):
                continue
            if not self._take_step():
                return
            self._extend_cover(left, more)

    def _is_worse_than_best(self, chosen: tuple[Literals, ...], open_: int) -> bool:
        """Whether these, and what the open rows take at least, cannot equal the best any more.

        Of rows that no conjunction covers together, each takes one.
        """
        count, named = len(chosen), count_terms(chosen)
        while self._best is not None and (count, named) <= self._best_cost[:2]:
            if not open_:
                return False
            around = self._find_primes(self.problem.table.find_first_point(open_))
            count, named, open_ = count + 1, named + around.fewest_terms, open_ & ~around.covered_rows
        return self._best is not None

    def _take_step(self) -> bool:
        self.steps_left = max(0, self.steps_left - 1)
        return self.steps_left > 0

    def _find_primes(self, point: tuple[int, ...]) -> "_PrimeCubes":
        if point not in self._primes_by_point:
            found = [
                (literals, self.problem.find_covered_rows(literals)) for literals in self._expand_point(point)
            ]
            self._primes_by_point[point] = _PrimeCubes(
                cubes=tuple(sorted(found, key=self._prime_sort_key)),
                covered_rows=reduce(or_, (rows for _, rows in found), 0),
                fewest_terms=min((count_terms([literals]) for literals, _ in found), default=0),
            )
        return self._primes_by_point[point]

    def _prime_sort_key(self, pair: tuple[Literals, int]) -> tuple[object, ...]:
        literals, rows = pair
        return (
            -(rows & self.problem.seen).bit_count(),
            count_terms([literals]),
            self.problem.sort_key(literals),
        )

    def _expand_point(self, point: tuple[int, ...]) -> list[Literals]:
        start = self._find_forced_terms(point)
        todo, known, done = (
            [(start, self.problem.find_covered_rows(start) & self.problem.absent)],
            {start},
            [],
        )
        while todo and self._take_step():
            literals, inside = todo.pop()
            if not inside:
                done.append(literals)
                continue
            for further, left in self._exclude_intruder(
                literals, point, self.problem.table.find_first_point(inside, point)
            ):
                if further not in known:
                    known.add(further)
                    todo.append((further, inside & left))
        return self._keep_largest(done)

    def _find_forced_terms(self, point: tuple[int, ...]) -> Literals:
        """What an absent row demands that differs in one axis: no choice is left there, and little after."""
        literals: list[int | None] = []
        for place, rows in enumerate(self.problem.table.find_neighbours(point)):
            gone = self.problem.table.project_values(place, rows & self.problem.absent)
            literals.append(self.problem.values[place] & ~gone if gone else None)
        return tuple(literals)

    def _exclude_intruder(
        self, literals: Literals, point: tuple[int, ...], intruder: tuple[int, ...]
    ) -> Iterator[tuple[Literals, int]]:
        """The conjunction narrowed in one axis, for each axis that tells the intruder from the point.

        With it the rows that the narrowed term lets in.
        """
        for place, (mine, its) in enumerate(zip(point, intruder, strict=True)):
            if mine != its:
                before = literals[place]
                bits = (self.problem.values[place] if before is None else before) & ~(1 << its)
                yield (
                    (*literals[:place], bits, *literals[place + 1 :]),
                    self.problem.table.find_rows_with_values(place, bits),
                )

    def _keep_largest(self, found: Sequence[Literals]) -> list[Literals]:
        """Those that lie in no other. Each is one number, whose ones let a value in, so that is one step."""
        widths = [len(among) + 1 for among in self.problem.table.masks]
        codes = {_encode_literals(literals, widths): literals for literals in found}
        largest: list[int] = []
        for code in sorted(codes, key=int.bit_count, reverse=True):
            if all(code & ~other for other in largest):
                largest.append(code)
        return [codes[code] for code in largest]

    def _build_greedy_cover(self) -> tuple[Literals, ...]:
        """A cover without a claim: around each seen row one conjunction, grown as far as it goes."""
        open_, chosen = self.problem.seen, []
        while open_:
            literals = self._shorten_cube(self._grow_cube(self.problem.table.find_first_point(open_)))
            chosen.append(literals)
            open_ &= ~self.problem.find_covered_rows(literals)
        for literals in list(chosen):
            others = (self.problem.find_covered_rows(other) for other in chosen if other is not literals)
            if not self.problem.seen & ~reduce(or_, others, 0):
                chosen.remove(literals)
        return tuple(chosen)

    def _shorten_cube(self, literals: Literals) -> Literals:
        """With only the values that were seen in it, and without the terms that are idle then."""
        shorter = self.problem.drop_idle_terms(self.problem.tighten_terms(literals), range(len(literals)))
        return literals if shorter == literals else self._shorten_cube(shorter)

    def _grow_cube(self, point: tuple[int, ...]) -> Literals:
        literals: Literals = tuple(1 << index for index in point)
        for place, bits in enumerate(self.problem.values):
            for wider in (None, bits, *(1 << i for i in range(bits.bit_length()) if bits >> i & 1)):
                old = literals[place]
                if old is None:
                    break
                tried = (*literals[:place], None if wider is None else old | wider, *literals[place + 1 :])
                if not self.problem.find_covered_rows(tried) & self.problem.absent:
                    literals = tried
        return literals


class _PrimeCubes(NamedTuple):
    """The largest conjunctions around a seen row with the rows that they cover, those that cover most first;
    all rows that any of them covers; how many terms the shortest has."""

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
    """The conjunctions, any of which may hold. ``minimal``: proven that no smaller condition exists."""

    cubes: tuple[dict[str, tuple[str, ...]], ...]
    minimal: bool


def minimize_condition(table: TruthTable, seen: int, absent: int) -> Cover:
    """The smallest condition for what was seen in ``seen`` and is absent from ``absent`` (masks of rows).

    A row in both, or with the very values of a seen one, cannot be told apart: it counts as seen.
    """
    if not seen:
        return Cover((), minimal=True)
    question = CoverProblem(table, seen, absent & ~seen)
    alone = _find_single_cube(question)
    if alone is not None:
        literals, proven = alone
        return Cover((question.to_cube(literals),), minimal=proven)
    search = CoverSearch(question)
    cubes = sorted(search.find_best_cover(), key=question.sort_key)
    return Cover(tuple(question.to_cube(literals) for literals in cubes), minimal=search.steps_left > 0)


def _find_single_cube(question: CoverProblem) -> tuple[Literals, bool] | None:
    """The best single conjunction and whether that is proven, or None where one does not do.

    An axis without which an absent row comes in is in all of them; so the choice is among the others only.
    """
    whole = question.values
    if question.admits_absent(whole):
        return None
    useful = [
        place
        for place, bits in enumerate(whole)
        if question.table.find_rows_with_values(place, bits) != question.table.all_rows
    ]
    needed = [place for place in useful if question.admits_absent(_keep_terms(whole, {*useful} - {place}))]
    rest = [place for place in useful if place not in needed]
    steps = compute_step_limit(question.table)
    for size in range(len(rest) + 1):
        tried = islice(combinations(rest, size), steps)
        among = [_keep_terms(whole, (*needed, *chosen)) for chosen in tried]
        steps -= len(among)
        if not steps:
            return question.drop_idle_terms(_keep_terms(whole, useful), rest), False
        fitting = [literals for literals in among if not question.admits_absent(literals)]
        if fitting:
            return min(fitting, key=lambda literals: question.compute_cost([literals])), True
    raise AssertionError("all terms together exclude every absent row, and some of them do not")


def _keep_terms(whole: Sequence[int], places: Iterable[int]) -> Literals:
    chosen = frozenset(places)
    return tuple(bits if place in chosen else None for place, bits in enumerate(whole))
