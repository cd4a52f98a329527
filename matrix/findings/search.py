"""Branch and bound over the largest conjunctions: how several of them cover what was seen, see `cover`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from matrix.findings.question import Literals, Question, limit, terms


@dataclass
class Search:
    """Branch and bound over the largest conjunctions. ``steps`` are those left; 0 when they ran out."""

    question: Question
    steps: int = 0
    _best: tuple[Literals, ...] | None = None
    _best_cost: tuple[Any, ...] = ()
    _around: dict[tuple[int, ...], "_Around"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps = limit(self.question.table)

    def best(self) -> tuple[Literals, ...]:
        """The smallest cover, or the best that the steps allowed."""
        self._cover(self.question.seen, ())
        greedy = self._greedy() if self._best is None or not self.steps else self._best
        if self._best is None or self._cost(greedy) < self._best_cost:
            return greedy
        return self._best

    def _cost(self, cubes: tuple[Literals, ...]) -> tuple[Any, ...]:
        return (len(cubes), *self.question.cost(cubes))

    def _cover(self, open_: int, chosen: tuple[Literals, ...]) -> None:
        if not open_:
            cost = self._cost(chosen)
            if self._best is None or cost < self._best_cost:
                self._best, self._best_cost = chosen, cost
            return
        for literals, rows in self._primes(self.question.table.first(open_)).found:
            left, more = open_ & ~rows, (*chosen, literals)
            if self._worse(more, left):
                continue
            if not self._step():
                return
            self._cover(left, more)

    def _worse(self, chosen: tuple[Literals, ...], open_: int) -> bool:
        """Whether these, and what the open rows take at least, cannot equal the best any more.

        Of rows that no conjunction covers together, each takes one.
        """
        count, named = len(chosen), terms(chosen)
        while self._best is not None and (count, named) <= self._best_cost[:2]:
            if not open_:
                return False
            around = self._primes(self.question.table.first(open_))
            count, named, open_ = count + 1, named + around.terms, open_ & ~around.rows
        return self._best is not None

    def _step(self) -> bool:
        self.steps = max(0, self.steps - 1)
        return self.steps > 0

    def _primes(self, point: tuple[int, ...]) -> "_Around":
        if point not in self._around:
            found = [(literals, self.question.rows(literals)) for literals in self._expanded(point)]
            self._around[point] = _Around(
                found=tuple(sorted(found, key=self._most)),
                rows=reduce(or_, (rows for _, rows in found), 0),
                terms=min((terms([literals]) for literals, _ in found), default=0),
            )
        return self._around[point]

    def _most(self, pair: tuple[Literals, int]) -> tuple[object, ...]:
        literals, rows = pair
        return (-(rows & self.question.seen).bit_count(), terms([literals]), self.question.rank(literals))

    def _expanded(self, point: tuple[int, ...]) -> list[Literals]:
        start = self._forced(point)
        todo, known, done = [(start, self.question.rows(start) & self.question.absent)], {start}, []
        while todo and self._step():
            literals, inside = todo.pop()
            if not inside:
                done.append(literals)
                continue
            for further, left in self._without(literals, point, self.question.table.first(inside, point)):
                if further not in known:
                    known.add(further)
                    todo.append((further, inside & left))
        return self._largest(done)

    def _forced(self, point: tuple[int, ...]) -> Literals:
        """What an absent row demands that differs in one axis: no choice is left there, and little after."""
        literals: list[int | None] = []
        for place, rows in enumerate(self.question.table.beside(point)):
            gone = self.question.table.projected(place, rows & self.question.absent)
            literals.append(self.question.values[place] & ~gone if gone else None)
        return tuple(literals)

    def _without(
        self, literals: Literals, point: tuple[int, ...], intruder: tuple[int, ...]
    ) -> Iterator[tuple[Literals, int]]:
        """The conjunction narrowed in one axis, for each axis that tells the intruder from the point.

        With it the rows that the narrowed term lets in.
        """
        for place, (mine, its) in enumerate(zip(point, intruder, strict=True)):
            if mine != its:
                before = literals[place]
                bits = (self.question.values[place] if before is None else before) & ~(1 << its)
                yield (
                    (*literals[:place], bits, *literals[place + 1 :]),
                    self.question.table.meeting(place, bits),
                )

    def _largest(self, found: Sequence[Literals]) -> list[Literals]:
        """Those that lie in no other. Each is one number, whose ones let a value in, so that is one step."""
        widths = [len(among) + 1 for among in self.question.table.masks]
        codes = {_code(literals, widths): literals for literals in found}
        largest: list[int] = []
        for code in sorted(codes, key=int.bit_count, reverse=True):
            if all(code & ~other for other in largest):
                largest.append(code)
        return [codes[code] for code in largest]

    def _greedy(self) -> tuple[Literals, ...]:
        """A cover without a claim: around each seen row one conjunction, grown as far as it goes."""
        open_, chosen = self.question.seen, []
        while open_:
            literals = self._terse(self._grown(self.question.table.first(open_)))
            chosen.append(literals)
            open_ &= ~self.question.rows(literals)
        for literals in list(chosen):
            others = (self.question.rows(other) for other in chosen if other is not literals)
            if not self.question.seen & ~reduce(or_, others, 0):
                chosen.remove(literals)
        return tuple(chosen)

    def _terse(self, literals: Literals) -> Literals:
        """With only the values that were seen in it, and without the terms that are idle then."""
        shorter = self.question.fewer(self.question.tight(literals), range(len(literals)))
        return literals if shorter == literals else self._terse(shorter)

    def _grown(self, point: tuple[int, ...]) -> Literals:
        literals: Literals = tuple(1 << index for index in point)
        for place, bits in enumerate(self.question.values):
            for wider in (None, bits, *(1 << i for i in range(bits.bit_length()) if bits >> i & 1)):
                old = literals[place]
                if old is None:
                    break
                tried = (*literals[:place], None if wider is None else old | wider, *literals[place + 1 :])
                if not self.question.rows(tried) & self.question.absent:
                    literals = tried
        return literals


class _Around(NamedTuple):
    """The largest conjunctions around a seen row with the rows that they cover, those that cover most first;
    all rows that any of them covers; how many terms the shortest has."""

    found: tuple[tuple[Literals, int], ...]
    rows: int
    terms: int


def _code(literals: Literals, widths: Sequence[int]) -> int:
    code = 0
    for bits, width in zip(literals, widths, strict=True):
        code = code << width | ((1 << width) - 1 if bits is None else bits)
    return code
