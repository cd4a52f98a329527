"""The smallest sets of changes that bring a problem about, found by experiments. Pure.

QuickXplain (Junker 2004): of n changes it finds k that matter in about k log n experiments, where halving
blindly takes many more. Sets that are tried grow from the front of the list, so changes that others depend on
belong before them: what Kconfig cannot do with half of a set is seldom asked for then. Likely changes are at
the front as well: where a short front brings the problem about, nothing behind it is searched.

An experiment may be without an answer (Kconfig bends a value, the build fails otherwise). That is never taken
for the problem's absence: what is found is tried as a whole, and so is each change's own part in it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

_FRONT, _GROWTH = 16, 4
"""Of a long list so many from the front are tried at first, and each time so many times more."""
Changes = frozenset[str]


class Outcome(StrEnum):
    """What came of an experiment."""

    FAILS = "fails"
    """The very problem is there."""
    PASSES = "passes"
    """It was built as asked, without the problem."""
    UNRESOLVED = "unresolved"
    """It is not known: the changes could not be had as they are, or it failed otherwise."""


Experiment = Callable[[Changes], Outcome]
"""Makes these changes, and no others of the candidates, and tries."""


@dataclass(frozen=True)
class Cause:
    """Changes that bring the problem about together. ``without``: each → what came of the others alone; a
    change that is missing there was not tried. ``is_whole``: the search came to its end."""

    changes: tuple[str, ...]
    without: dict[str, Outcome]
    is_whole: bool = True


@dataclass(frozen=True)
class FoundCauses:
    """What experiments showed of a .config that fails, beside a neighbour that does not.

    ``changes``: symbol → its value in the neighbour, and in the .config that fails, of those in a cause.
    ``needed``: symbol → the value that both have, and that the problem needs as well. ``takers``: those that
    other symbols near to the error take → these, which could not be had otherwise. ``candidates``: how
    many symbols differ. ``probes``: how many experiments it took. ``untried``: flips near to the problem that
    were not tried. ``may_have_more``: the search for a further cause did not come to its end.
    """

    causes: tuple[Cause, ...]
    changes: dict[str, tuple[str, str]]
    needed: dict[str, str]
    takers: dict[str, tuple[str, ...]]
    candidates: int
    probes: int
    untried: int = 0
    may_have_more: bool = False


class _BudgetSpentError(Exception):
    """There is no experiment left."""


@dataclass
class CauseSearch:
    """Searches with ``try_changes``, at most ``budget`` times; a set is tried once.

    ``outcomes`` are all experiments so far, in order.
    """

    try_changes: Experiment
    budget: int
    outcomes: dict[Changes, Outcome] = field(default_factory=dict)

    def find_causes(self, candidates: Sequence[str], limit: int) -> list[Cause]:
        """Causes that do not contain one another, ``limit`` at most; the first is always there.

        The problem is known to be there with all candidates. A second cause is looked for where it is there
        without one change of the first. Where the budget ends, the last cause is not whole.
        """
        causes: list[Cause] = []
        pending = [tuple(candidates)]
        known: set[tuple[str, ...]] = set()
        while pending and len(causes) < limit:
            left = pending.pop(0)
            if left in known:
                continue
            known.add(left)
            if not self._is_worth_a_search(left, causes):
                continue
            cause = self.find_cause(left)
            if frozenset(cause.changes) not in {frozenset(one.changes) for one in causes}:
                causes.append(cause)
            if not cause.is_whole:
                break
            pending += [tuple(name for name in left if name != taken) for taken in cause.changes]
        return causes

    def find_cause(self, candidates: Sequence[str]) -> Cause:
        """The smallest set that was found among these, which bring the problem about together."""
        try:
            front = self._find_failing_front(tuple(candidates))
            changes = self._complete(self._explain((), front, has_grown=False), front)
            changes = self._drop_needless(changes)
        except _BudgetSpentError:
            changes = self._find_smallest_failing(candidates)
            return Cause(changes, dict(self._list_parts(changes)), is_whole=False)
        return Cause(changes, dict(self._list_parts(changes)))

    def _is_worth_a_search(self, candidates: Sequence[str], causes: Sequence[Cause]) -> bool:
        """Whether these bring the problem about. Of the first ones that is known."""
        try:
            return not causes or self._fails(candidates)
        except _BudgetSpentError:
            return False

    def _find_failing_front(self, candidates: tuple[str, ...]) -> tuple[str, ...]:
        """So many from the front that the problem is there with them alone; all, where that takes most."""
        size = _FRONT
        while size < len(candidates):
            if self._fails(candidates[:size]):
                return candidates[:size]
            size *= _GROWTH
        return candidates

    def _explain(
        self, background: tuple[str, ...], candidates: tuple[str, ...], *, has_grown: bool
    ) -> tuple[str, ...]:
        """The candidates that the problem needs beside the background."""
        if not candidates or (has_grown and self._fails(background)):
            return ()
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        early, late = candidates[:half], candidates[half:]
        needed_late = self._explain(background + early, late, has_grown=True)
        needed_early = self._explain(background + needed_late, early, has_grown=bool(needed_late))
        return needed_early + needed_late

    def _complete(self, changes: tuple[str, ...], candidates: Sequence[str]) -> tuple[str, ...]:
        """These, with what they lack. Where an experiment had no answer, something may have been left out."""
        while not self._fails(changes):
            rest = tuple(name for name in candidates if name not in changes)
            more = self._explain(changes, rest, has_grown=False)
            if not more:
                return tuple(candidates)
            changes = tuple(name for name in candidates if name in {*changes, *more})
        return changes

    def _drop_needless(self, changes: tuple[str, ...]) -> tuple[str, ...]:
        """These without those that are not needed, the last first: others may depend on the first."""
        for name in reversed(changes):
            others = tuple(other for other in changes if other != name)
            if self._fails(others):
                return self._drop_needless(others)
        return changes

    def _list_parts(self, changes: tuple[str, ...]) -> Iterator[tuple[str, Outcome]]:
        for name in changes:
            outcome = self.outcomes.get(frozenset(changes) - {name})
            if outcome is not None:
                yield name, outcome

    def _find_smallest_failing(self, candidates: Sequence[str]) -> tuple[str, ...]:
        failing = [tried for tried, outcome in self.outcomes.items() if outcome is Outcome.FAILS]
        within = [tried for tried in failing if tried <= frozenset(candidates)]
        smallest = min(within, key=len, default=frozenset(candidates))
        return tuple(name for name in candidates if name in smallest)

    def _fails(self, changes: Sequence[str]) -> bool:
        tried = frozenset(changes)
        if tried not in self.outcomes:
            if len(self.outcomes) >= self.budget:
                raise _BudgetSpentError
            self.outcomes[tried] = self.try_changes(tried)
        return self.outcomes[tried] is Outcome.FAILS
