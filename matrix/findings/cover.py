"""The smallest condition under which a finding appears: multi-valued two-level logic minimisation.

The cells of a run are a truth table over the axes: a finding was *seen* in some, is *absent* from some, and
of all others (and of every point of the product that is no cell) nobody knows. A condition is a set of
conjunctions that covers every seen cell and no absent one. Fewest conjunctions win, then fewest terms (an
axis that is constrained in a conjunction is one term, however many values it names). What ties is decided
by: fewest cells of which nobody knows, fewest values named, the conjunctions' axes and values in plan order.

A term names only values at which the finding was seen, so one conjunction for all seen cells has no choice
of values but only of axes: `_alone` tries the sets of axes by size. Where one does not do, `_primes` makes
the largest conjunctions around a seen cell: as long as an absent cell is inside, one of the axes in which
the two differ must shut it out, and each choice is followed. `_Search` then picks conjunctions, branch and
bound, always around the first seen cell that is not covered yet.

Sets of cells are bit masks, so a step costs a few operations on words of the machine, about 1 µs for each
10,000 cells. Steps are counted and limited (`_STEPS`, fewer in large tables): when they run out, the best
cover found so far is completed greedily and says that it is not known to be minimal. The number of steps
does not depend on the machine, nor the answer on the order of the cells.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

Cube = Mapping[str, tuple[str, ...]]
"""A conjunction: axis → the values that it names. An axis that is not constrained is not in it."""

_STEPS = 20_000
_STEPS_TIMES_ROWS = 200_000_000
_LEAST_STEPS = 100

_Literals = tuple[int | None, ...]
"""For each axis the values of a term, as bits in the axis's order; None without a term."""


@dataclass(frozen=True)
class Cover:
    """The conjunctions, any of which may hold. ``minimal``: proven that no smaller condition exists."""

    cubes: tuple[dict[str, tuple[str, ...]], ...]
    minimal: bool


class Table:
    """The cells of a run as a multi-valued truth table. Bit i of a mask is row i.

    ``axes`` are those with two values or more, in plan order; a row has a value for each.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], rows: Iterable[Mapping[str, str]]) -> None:
        self.axes = {name: tuple(values) for name, values in axes.items()}
        self.masks = [[0] * len(values) for values in self.axes.values()]
        index = [(name, {v: i for i, v in enumerate(values)}) for name, values in self.axes.items()]
        fields = [[bytearray() for _ in values] for values in self.axes.values()]
        self.rows = 0
        for row in rows:
            for (name, places), among in zip(index, fields, strict=True):
                field = among[places[row[name]]]
                field.extend(bytes(self.rows // 8 + 1 - len(field)))
                field[self.rows // 8] |= 1 << self.rows % 8
            self.rows += 1
        self.masks = [[int.from_bytes(field, "little") for field in among] for among in fields]
        self.all = (1 << self.rows) - 1

    def matching(self, cube: Cube) -> int:
        """The rows that meet a conjunction."""
        found = self.all
        for place, (name, values) in enumerate(self.axes.items()):
            if name in cube:
                wanted = 0
                for value in cube[name]:
                    wanted |= self.masks[place][values.index(value)]
                found &= wanted
        return found

    def meeting(self, place: int, bits: int) -> int:
        """The rows that have one of these values of an axis."""
        found = 0
        for index, mask in enumerate(self.masks[place]):
            if bits >> index & 1:
                found |= mask
        return found

    def projected(self, place: int, rows: int) -> int:
        """The values of an axis that these rows have, as bits."""
        return sum(1 << index for index, mask in enumerate(self.masks[place]) if mask & rows)

    def first(self, rows: int) -> tuple[int, ...]:
        """The values (as indices) of the first of these rows, in the order of the axes' values."""
        point = []
        for among in self.masks:
            index = next(i for i, mask in enumerate(among) if mask & rows)
            rows &= among[index]
            point.append(index)
        return tuple(point)


def smallest(table: Table, seen: int, absent: int) -> Cover:
    """The smallest condition for what was seen in ``seen`` and is absent from ``absent`` (masks of rows).

    A row in both, or with the very values of a seen one, cannot be told apart: it counts as seen.
    """
    if not seen:
        return Cover((), minimal=True)
    problem = _Problem(table, seen, absent & ~seen)
    alone = _alone(problem)
    if alone is not None:
        return Cover((problem.cube(alone),), minimal=True)
    search = _Search(problem)
    chosen = search.best()
    cubes = sorted(chosen, key=problem.rank)
    return Cover(tuple(problem.cube(literals) for literals in cubes), minimal=search.steps > 0)


@dataclass
class _Problem:
    """One finding's rows in the table, and the values at which it was seen at all."""

    table: Table
    seen: int
    absent: int
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.values = tuple(self.table.projected(place, self.seen) for place in range(len(self.table.axes)))

    def rows(self, literals: _Literals) -> int:
        found = self.table.all
        for place, bits in enumerate(literals):
            if bits is not None:
                found &= self.table.meeting(place, bits)
        return found

    def disregard(self, point: tuple[int, ...]) -> None:
        """An absent row that has all values of a seen one says nothing that the axes could tell apart."""
        self.absent &= ~self.rows(tuple(1 << index for index in point))

    def tight(self, literals: _Literals) -> _Literals:
        """The same rows seen, with only the values that they have."""
        mine = self.rows(literals) & self.seen
        return tuple(
            None if bits is None else self.table.projected(place, mine) for place, bits in enumerate(literals)
        )

    def cube(self, literals: _Literals) -> dict[str, tuple[str, ...]]:
        """A conjunction in the words of the axes."""
        return {
            name: tuple(value for index, value in enumerate(values) if bits >> index & 1)
            for (name, values), bits in zip(self.table.axes.items(), self.tight(literals), strict=True)
            if bits is not None
        }

    def rank(self, literals: _Literals) -> tuple[tuple[int, int], ...]:
        """Where a conjunction stands among others: its axes and values in plan order."""
        return tuple((place, bits) for place, bits in enumerate(self.tight(literals)) if bits is not None)

    def cost(self, cubes: Sequence[_Literals]) -> tuple[object, ...]:
        """What decides between two conditions of as many conjunctions; smaller is better."""
        tight = [self.tight(literals) for literals in cubes]
        met = 0
        for literals in tight:
            met |= self.rows(literals)
        named = sum(bits.bit_count() for literals in tight for bits in literals if bits is not None)
        unknown = (met & ~(self.seen | self.absent)).bit_count()
        return (terms(cubes), unknown, named, sorted(map(self.rank, cubes)))


def terms(cubes: Iterable[_Literals]) -> int:
    """How many terms these conjunctions have together."""
    return sum(bits is not None for literals in cubes for bits in literals)


def _alone(problem: _Problem) -> _Literals | None:
    """The best single conjunction, or None where one does not do."""
    places = range(len(problem.values))
    whole = tuple(problem.values)
    if problem.rows(whole) & problem.absent:
        return None
    useful = [place for place in places if problem.rows(_only(whole, (place,))) != problem.table.all]
    for size in range(len(useful) + 1):
        fitting = [
            literals
            for chosen in combinations(useful, size)
            if not problem.rows(literals := _only(whole, chosen)) & problem.absent
        ]
        if fitting:
            return min(fitting, key=lambda literals: problem.cost([literals]))
    raise AssertionError("all terms together exclude every absent row, and some of them do not")


def _only(whole: Sequence[int], places: Iterable[int]) -> _Literals:
    return tuple(bits if place in set(places) else None for place, bits in enumerate(whole))


@dataclass
class _Search:
    """Branch and bound over the largest conjunctions. ``steps`` are those left; 0 when they ran out."""

    problem: _Problem
    steps: int = 0
    _best: tuple[_Literals, ...] | None = None
    _best_cost: tuple[object, ...] = ()
    _around: dict[tuple[int, ...], list[_Literals]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.steps = max(_LEAST_STEPS, min(_STEPS, _STEPS_TIMES_ROWS // (self.problem.table.rows + 1)))

    def best(self) -> tuple[_Literals, ...]:
        """The smallest cover, or the best that the steps allowed."""
        self._cover(self.problem.seen, ())
        greedy = self._greedy() if self._best is None or not self.steps else self._best
        if self._best is None or self._cost(greedy) < self._best_cost:
            return greedy
        return self._best

    def _cost(self, cubes: tuple[_Literals, ...]) -> tuple[object, ...]:
        return (len(cubes), *self.problem.cost(cubes))

    def _cover(self, open_: int, chosen: tuple[_Literals, ...]) -> None:
        if not open_:
            cost = self._cost(chosen)
            if self._best is None or cost < self._best_cost:
                self._best, self._best_cost = chosen, cost
            return
        if self._worse(chosen):
            return
        for literals in self._primes(self.problem.table.first(open_)):
            if not self._step():
                return
            self._cover(open_ & ~self.problem.rows(literals), (*chosen, literals))

    def _worse(self, chosen: tuple[_Literals, ...]) -> bool:
        """Whether one more conjunction, of one term at least, cannot equal the best any more."""
        if self._best is None:
            return False
        return (len(chosen) + 1, terms(chosen) + 1) > self._best_cost[:2]

    def _step(self) -> bool:
        self.steps = max(0, self.steps - 1)
        return self.steps > 0

    def _primes(self, point: tuple[int, ...]) -> list[_Literals]:
        """The largest conjunctions around a seen row, those that cover most first."""
        if point not in self._around:
            found = self._expanded(point)
            key = {
                c: (-(self.problem.rows(c) & self.problem.seen).bit_count(), terms([c]), self.problem.rank(c))
                for c in found
            }
            self._around[point] = sorted(found, key=key.__getitem__)
        return self._around[point]

    def _expanded(self, point: tuple[int, ...]) -> list[_Literals]:
        free: _Literals = (None,) * len(point)
        todo, known, done = [free], {free}, []
        while todo and self._step():
            literals = todo.pop()
            inside = self.problem.rows(literals) & self.problem.absent
            if not inside:
                done.append(literals)
                continue
            intruder = self.problem.table.first(inside)
            if intruder == point:
                self.problem.disregard(point)
                todo.append(literals)
                continue
            for further in self._without(literals, point, intruder):
                if further not in known:
                    known.add(further)
                    todo.append(further)
        return [a for a in done if not any(a != b and _within(a, b) for b in done)]

    def _without(
        self, literals: _Literals, point: tuple[int, ...], intruder: tuple[int, ...]
    ) -> Iterator[_Literals]:
        """The conjunction narrowed in one axis, for each axis that tells the intruder from the point."""
        for place, (mine, its) in enumerate(zip(point, intruder, strict=True)):
            if mine != its:
                before = literals[place]
                bits = (self.problem.values[place] if before is None else before) & ~(1 << its)
                yield (*literals[:place], bits, *literals[place + 1 :])

    def _greedy(self) -> tuple[_Literals, ...]:
        """A cover without a claim: around each seen row one conjunction, grown as far as it goes."""
        open_, chosen = self.problem.seen, []
        while open_:
            literals = self._grown(self.problem.table.first(open_))
            chosen.append(literals)
            open_ &= ~self.problem.rows(literals)
        for literals in list(chosen):
            rest = 0
            for other in chosen:
                rest |= self.problem.rows(other) if other is not literals else 0
            if not self.problem.seen & ~rest:
                chosen.remove(literals)
        return tuple(chosen)

    def _grown(self, point: tuple[int, ...]) -> _Literals:
        literals: _Literals = tuple(1 << index for index in point)
        for place, bits in enumerate(self.problem.values):
            for wider in (None, bits, *(1 << i for i in range(bits.bit_length()) if bits >> i & 1)):
                old = literals[place]
                if old is None:
                    break
                tried = (*literals[:place], None if wider is None else old | wider, *literals[place + 1 :])
                if not self.problem.rows(tried) & self.problem.absent:
                    literals = tried
        return literals


def _within(a: _Literals, b: _Literals) -> bool:
    """Whether every term of b names all that a's does."""
    return all(
        theirs is None or (mine is not None and not mine & ~theirs) for mine, theirs in zip(a, b, strict=True)
    )
