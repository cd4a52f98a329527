"""What a run changed since its baseline, as its page shows it first: new, fixed, lost, known."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from matrix.findings.finding import Finding
from matrix.verdict.baseline import Regression
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.verdict_model import CellChange, FindingChange
from reports import verdict_text
from reports.formatting import format_count


class FindingAge(StrEnum):
    """What a finding of a run is to its baseline."""

    NEW = "new"
    KNOWN = "known"
    """The baseline has it, too, or a file of known findings."""


@dataclass(frozen=True)
class BaselineView:
    """A run's regression in counts and lists."""

    regression: Regression

    @property
    def run(self) -> str:
        return self.regression.verdict.before.run

    @cached_property
    def _new_ids(self) -> frozenset[str]:
        return _collect_ids(self.regression.new_findings)

    @cached_property
    def _known_ids(self) -> frozenset[str]:
        rows = self.regression.verdict.findings
        excused = self.regression.excused_findings
        return _collect_ids(row for row in rows if row.before or row in excused) - self._new_ids

    def find_age(self, finding: Finding) -> FindingAge | None:
        """None for what is neither: a warning in cells that the baseline does not have."""
        if finding.id in self._new_ids:
            return FindingAge.NEW
        return FindingAge.KNOWN if finding.id in self._known_ids else None

    def select_findings(self, outcome: FindingOutcome) -> list[FindingChange]:
        """The baseline's findings with this outcome."""
        return [
            change
            for change in self.regression.verdict.findings
            if change.before and classify_outcome(change) is outcome
        ]

    @property
    def gone_findings(self) -> dict[str, list[FindingChange]]:
        """What is not there any more, by what became of it."""
        groups = {
            "fixed": self.select_findings(FindingOutcome.FIXED),
            "lost": self.select_findings(FindingOutcome.LOST),
            "gone": self.select_findings(FindingOutcome.GONE),
            "not known": self.select_findings(FindingOutcome.UNKNOWN),
        }
        return {name: changes for name, changes in groups.items() if changes}

    @property
    def changed_cells(self) -> dict[str, tuple[CellChange, ...]]:
        """Cells that fail since the baseline, cannot be built any more, or of which nothing is claimed."""
        groups = {
            "broken": self.regression.broken_cells,
            "lost": self.regression.lost_cells,
            "not known": self.regression.undecided_cells,
        }
        return {name: cells for name, cells in groups.items() if cells}

    @property
    def counts(self) -> dict[str, int]:
        """Findings that are new, fixed, lost, known, and what else became of some."""
        gone = {name: len(changes) for name, changes in self.gone_findings.items()}
        return {"new": len(self._new_ids), "fixed": 0, "lost": 0, **gone, "known": len(self._known_ids)}

    @property
    def headline(self) -> str:
        """``1 new, 2 fixed, 0 lost, 3 known``, and the cells that fail or are lost since."""
        counts = [f"{count} {name}" for name, count in self.counts.items()]
        cells = [f"{format_count(len(rows), 'cell')} {name}" for name, rows in self.changed_cells.items()]
        return ", ".join([*counts, *cells])

    @staticmethod
    def format_conditions(change: FindingChange) -> str:
        """The condition of a finding that is not there any more, in one line."""
        lines = [line for lines in verdict_text.collect_conditions(change).values() for line in lines]
        return " ".join(lines)


def _collect_ids(changes: Iterable[FindingChange]) -> frozenset[str]:
    """The ids that these findings have in the run itself."""
    return frozenset(id_ for change in changes if change.after for id_ in change.after.ids)
