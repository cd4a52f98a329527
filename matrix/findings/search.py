"""Branch and bound over the largest conjunctions: how several of them cover what was seen, see `cover`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from matrix.findings.question import CoverProblem, Literals, compute_step_limit, count_terms


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
