"""Which findings of two runs are the same problem: those whose keys meet.

Groups may merge or fall apart between two runs, so one finding can meet several of the other side.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property

from matrix.verdict.side import RunData

MatchedIds = dict[str, tuple[str, ...]]
"""Finding's id on one side → the ids of those that it meets on the other."""


@dataclass(frozen=True)
class FindingMatches:
    """Two sides, and what meets what."""

    before: RunData
    after: RunData

    @cached_property
    def after_ids(self) -> MatchedIds:
        return dict(_match_findings(self.before, self.after))

    @cached_property
    def before_ids(self) -> MatchedIds:
        return dict(_match_findings(self.after, self.before))

    def has_same_findings(self, before: str, after: str) -> bool:
        """Whether two cells, by their ids, show the same problems."""
        here, there = self.before.findings_by_cell.get(before, {}), self.after.findings_by_cell.get(after, {})
        return _all_have_match(here.keys(), there.keys(), self.after_ids) and _all_have_match(
            there.keys(), here.keys(), self.before_ids
        )


def _all_have_match(ids: Set[str], others: Set[str], met: MatchedIds) -> bool:
    return all(any(other in others for other in met[name]) for name in ids)


def _match_findings(side: RunData, other: RunData) -> Iterator[tuple[str, tuple[str, ...]]]:
    owners: dict[str, list[str]] = {}
    order = {name: place for place, name in enumerate(other.findings_by_id)}
    for finding in other.findings.findings:
        for key in finding.keys:
            owners.setdefault(key, []).append(finding.id)
    for finding in side.findings.findings:
        found = dict.fromkeys(name for key in finding.keys for name in owners.get(key, ()))
        yield finding.id, tuple(sorted(found, key=order.__getitem__))
