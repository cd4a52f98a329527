"""A run and the one before it, beside each other in one page: cells, findings, and what becomes of each."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import AxesKey, Cell
from matrix.record.states import State
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.verdict_model import CellChange, FindingChange, SideFinding, Transition
from reports import finding_text, summary, verdict_text
from reports.changes import FINDING_STATUS_STATES, is_finding_changed
from reports.formatting import format_count
from reports.grid import Grid, arrange_cells
from reports.jinja_templates import format_relative_url, quote_anchor

_OUTCOME_ORDER = list(FINDING_STATUS_STATES)


@dataclass(frozen=True)
class ComparedFinding:
    """A finding on both sides in words: ``before`` and ``after`` are lines, none where it is not there.

    ``id`` names it in the page, whose own findings have theirs: ``F2``, ``F2+F3``, ``before-F1``.
    """

    id: str
    change: FindingChange
    before: list[str]
    after: list[str]

    @property
    def outcome(self) -> FindingOutcome:
        return classify_outcome(self.change)

    @property
    def is_here(self) -> bool:
        """Whether the page shows it as a finding of its own run."""
        return self.change.after is not None and len(self.change.after.ids) == 1


@dataclass(frozen=True)
class SideBySide:
    """Two runs and what is claimed of each cell and finding of either."""

    before: StoredRun
    after: StoredRun
    cells: tuple[CellChange, ...]
    findings: tuple[FindingChange, ...]

    @property
    def before_path(self) -> str:
        """The before-run's directory as it is reached from the after-run's, in which the page lies."""
        return Path(os.path.relpath(self.before.directory, self.after.directory)).as_posix()

    @cached_property
    def grid(self) -> Grid[CellChange]:
        return arrange_cells(self.cells, {**self.before.run.axes, **self.after.run.axes})

    @cached_property
    def changes_by_axes(self) -> dict[AxesKey, CellChange]:
        return {change.axes_key: change for change in self.cells}

    @cached_property
    def removed_cells(self) -> list[Cell]:
        """The cells that only the before-run has in its plan."""
        planned = {cell.axes_key for cell in self.after.run.cells}
        return [cell for cell in self.before.run.cells if cell.axes_key not in planned]

    @cached_property
    def constant_ids(self) -> frozenset[str]:
        """The before-run's findings that are where they were."""
        alike = (change.before for change in self.findings if not is_finding_changed(change))
        return frozenset(name for seen in alike if seen for name in seen.ids)

    @cached_property
    def state_counts(self) -> dict[State, tuple[int, int]]:
        """How many cells are in each state, before and after; only states that occur."""
        counts = [summary.count_states(side.run.cells) for side in (self.before, self.after)]
        return {state: (counts[0].get(state, 0), counts[1].get(state, 0)) for state in _join(*counts)}

    @cached_property
    def compared_findings(self) -> list[ComparedFinding]:
        """What is new first, then lost, not known, fixed, still there."""
        ordered = sorted(self.findings, key=lambda change: _OUTCOME_ORDER.index(change.fate))
        return [_compare_finding(change) for change in ordered]

    def link_cell(self, change: CellChange, page: str = "") -> str:
        """To a cell in ``page``, that of the after-run; of a removed one in the before-run's own."""
        side = page if change.after else format_relative_url(f"{self.before_path}/report.html")
        return f"{side}#{quote_anchor(change)}"

    @staticmethod
    def find_mark(change: CellChange) -> str:
        """What stands between the signs of both sides; empty where the cell is as it was.

        ``→`` another state, ``≠`` other findings, ``?`` nothing is claimed.
        """
        if change.transition is Transition.UNKNOWN and change.is_in_both_plans:
            return "?"
        if change.before is not change.after:
            return "→"
        return "≠" if change.transition is Transition.CHANGED else ""

    @staticmethod
    def describe_change(change: CellChange) -> str:
        """``fixed: fail -> pass``, and why nothing is claimed; the state alone where it is as it was."""
        if change.transition is Transition.UNCHANGED and change.before is change.after:
            return str(change.after)
        why = f": {change.why}" if change.why and change.is_in_both_plans else ""
        return f"{change.transition}: {verdict_text.format_state_change(change)}{why}"


def _join(*groups: Iterable[State]) -> Sequence[State]:
    seen = {state for group in groups for state in group}
    return [state for state in State if state in seen]


def name_finding(change: FindingChange) -> str:
    """Its name in the page: the after-side's ids, else those of before."""
    if change.after:
        return "+".join(change.after.ids)
    return f"before-{'+'.join(change.before.ids)}" if change.before else ""


def _compare_finding(change: FindingChange) -> ComparedFinding:
    return ComparedFinding(
        name_finding(change), change, _describe_side(change.before), _describe_side(change.after)
    )


def _describe_side(seen: SideFinding | None) -> list[str]:
    if seen is None:
        return []
    heading = f"{' '.join(seen.ids)}: {format_count(len(seen.cells), 'cell')}"
    return [heading, *finding_text.format_condition(seen)]
