"""Which findings of two runs are the same problem: those whose keys meet.

Groups may merge or fall apart between two runs, so one finding can meet several of the other side.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property

from matrix.verdict.side import Side

Met = dict[str, tuple[str, ...]]
"""Finding's id on one side → the ids of those that it meets on the other."""


@dataclass(frozen=True)
class Matches:
    """Two sides, and what meets what."""

    before: Side
    after: Side

    @cached_property
    def onward(self) -> Met:
        return dict(_meeting(self.before, self.after))

    @cached_property
    def back(self) -> Met:
        return dict(_meeting(self.after, self.before))

    def same(self, before: str, after: str) -> bool:
        """Whether two cells, by their ids, show the same problems."""
        here, there = self.before.said.get(before, {}), self.after.said.get(after, {})
        return _all_meet(here.keys(), there.keys(), self.onward) and _all_meet(
            there.keys(), here.keys(), self.back
        )


def _all_meet(ids: Set[str], others: Set[str], met: Met) -> bool:
    return all(any(other in others for other in met[name]) for name in ids)


def _meeting(side: Side, other: Side) -> Iterator[tuple[str, tuple[str, ...]]]:
    owners: dict[str, list[str]] = {}
    order = {name: place for place, name in enumerate(other.by_id)}
    for finding in other.findings.findings:
        for key in finding.keys:
            owners.setdefault(key, []).append(finding.id)
    for finding in side.findings.findings:
        found = dict.fromkeys(name for key in finding.keys for name in owners.get(key, ()))
        yield finding.id, tuple(sorted(found, key=order.__getitem__))
