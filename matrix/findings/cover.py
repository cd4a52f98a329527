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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from matrix.findings.question import CoverProblem, Literals, compute_step_limit
from matrix.findings.search import CoverSearch
from matrix.findings.table import TruthTable


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
