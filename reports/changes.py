"""Two runs against each other, as every format shows them: what is looked at, counted and grouped."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import AxesKey, Cell
from matrix.record.states import PROVEN_STATES, Evidence, State
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.gates import is_added_cell_error
from matrix.verdict.verdict_model import (
    CellChange,
    CellFindingStatus,
    EnvironmentDifference,
    FindingChange,
    FindingStatus,
    PatchStep,
    SymbolChange,
    Transition,
    Verdict,
    VerdictPatch,
)
from reports.summary import format_origin_run

TRANSITION_STATES: dict[Transition, State] = {
    Transition.BROKEN: State.FAIL,
    Transition.LOST: State.FAIL,
    Transition.UNKNOWN: State.INFRA,
    Transition.CHANGED: State.WARN,
    Transition.FIXED: State.PASS,
    Transition.GAINED: State.PASS,
    Transition.STILL_FAILING: State.WARN,
    Transition.UNCHANGED: State.UNREACHABLE,
}
"""What became of cells, in the order in which it is shown, and the state that each is styled like."""
FINDING_STATUS_STATES: dict[FindingStatus, State] = {
    FindingStatus.NEW: State.FAIL,
    FindingStatus.LOST: State.FAIL,
    FindingStatus.UNKNOWN: State.INFRA,
    FindingStatus.FIXED: State.PASS,
    FindingStatus.STILL: State.WARN,
}
"""The same of findings."""
FINDING_OUTCOME_STATES: dict[FindingOutcome, State] = {
    **{FindingOutcome(status.value): state for status, state in FINDING_STATUS_STATES.items()},
    FindingOutcome.GONE: State.INFRA,
}
"""The same of what is told of findings."""
# Members of the two enums that have the same value are equal, so these cannot be one dict.
_TRANSITION_ORDER, _FINDING_STATUS_ORDER = list(TRANSITION_STATES), list(FINDING_STATUS_STATES)
_UNAFFECTED_REASON = "the same .config, and nothing of what went into it is changed"


@dataclass(frozen=True)
class CellChangeGroup:
    """Cells with the same transition for the same reason; a state is None where a plan lacks them."""

    transition: Transition
    before: State | None
    after: State | None
    why: str
    cells: tuple[CellChange, ...]


@dataclass(frozen=True)
class RunChanges:
    """What one run has changed against another: a whole verdict's, or one patch's of a series.

    ``unfixed_names`` are the ids or keys of findings that were asked for and are known not to be
    fixed, ``patches`` those of a whole verdict.
    """

    before: StoredRun
    after: StoredRun
    cells: tuple[CellChange, ...]
    findings: tuple[FindingChange, ...]
    symbols: tuple[SymbolChange, ...]
    differences: tuple[EnvironmentDifference, ...] = ()
    unfixed_names: frozenset[str] = frozenset()
    patches: tuple[VerdictPatch, ...] = ()

    @classmethod
    def from_verdict(cls, what: Verdict | PatchStep, before: StoredRun, after: StoredRun) -> "RunChanges":
        """Findings in the order in which they are shown: new, lost, not known, fixed, still there."""
        findings = sorted(what.findings, key=lambda change: _FINDING_STATUS_ORDER.index(change.fate))
        changes = cls(before, after, what.cells, tuple(findings), what.symbols)
        if isinstance(what, PatchStep):
            return changes
        unfixed = frozenset(fix.finding for fix in what.fixes if fix.known and not fix.fixed)
        return replace(changes, differences=what.differences, unfixed_names=unfixed, patches=what.patches)

    def select_cells(self, transition: Transition) -> list[CellChange]:
        """The cells of both plans with this transition."""
        return [cell for cell in self.cells if cell.transition is transition and cell.is_in_both_plans]

    def locate_finding(self, change: FindingChange) -> tuple[StoredRun, Finding] | None:
        """The run that shows a finding, the after-side where it is there, and the finding in it."""
        for side, seen in ((self.after, change.after), (self.before, change.before)):
            ids = seen.ids if seen else ()
            finding = next((finding for finding in side.findings.findings if finding.id in ids), None)
            if finding:
                return side, finding
        return None

    @cached_property
    def compared_cells(self) -> tuple[Cell, ...]:
        """Cells that something is claimed of: they are proven after, and can be held against before."""
        unknown = {cell.id for cell in self.cells if cell.transition is Transition.UNKNOWN}
        return tuple(
            cell for cell in self.after.run.cells if cell.state in PROVEN_STATES and cell.id not in unknown
        )

    @cached_property
    def cell_groups(self) -> tuple[CellChangeGroup, ...]:
        """The cells that are not as they were, or fail as they did; what is to be blamed first."""
        alike: dict[tuple[Transition, State | None, State | None, str], list[CellChange]] = {}
        for cell in self.cells:
            if cell.transition is not Transition.UNCHANGED:
                key = (cell.transition, cell.before, cell.after, _format_reason(cell))
                alike.setdefault(key, []).append(cell)
        groups = (CellChangeGroup(*key, tuple(cells)) for key, cells in alike.items())
        return tuple(sorted(groups, key=lambda group: _TRANSITION_ORDER.index(group.transition)))

    @cached_property
    def unaffected_reasons(self) -> dict[str, int]:
        """Why the patch cannot reach cells that were not built again → how many, of those looked at."""
        reasons = (
            cell.reason or _UNAFFECTED_REASON for cell in self.compared_cells if self._is_unaffected(cell)
        )
        return dict(Counter(reasons).most_common())

    @cached_property
    def remembered_runs(self) -> dict[str, int]:
        """Runs that built cells before which the patch may reach → how many, of those looked at."""
        runs = (
            format_origin_run(cell)
            for cell in self.compared_cells
            if cell.evidence is Evidence.REMEMBERED and not self._is_unaffected(cell)
        )
        return dict(Counter(runs).most_common())

    def _is_unaffected(self, cell: Cell) -> bool:
        """Whether the result of an after-cell is that of the cell before."""
        if cell.evidence is Evidence.REMEMBERED:
            return self.after.run.locate_origin(cell) == self._before_origins.get(cell.axes_key)
        return cell.evidence is Evidence.UNAFFECTED

    @cached_property
    def _before_origins(self) -> dict[AxesKey, str]:
        run = self.before.run
        return {cell.axes_key: run.locate_origin(cell) for cell in run.cells}

    @cached_property
    def new_errors(self) -> list[FindingChange]:
        """Findings that are an error where they were none, or where nothing was planned before."""
        return [
            change
            for change in self.findings
            if (change.new_in and change.new_error) or is_added_cell_error(change)
        ]

    @cached_property
    def new_warnings(self) -> list[FindingChange]:
        """Findings that are where they were not, and no error there."""
        return [change for change in self.findings if change.new_in and not change.new_error]

    @cached_property
    def fixed_findings(self) -> list[FindingChange]:
        """Findings that are known to be fixed."""
        return [change for change in self.findings if classify_outcome(change) is FindingOutcome.FIXED]

    @cached_property
    def unfixed_findings(self) -> list[FindingChange]:
        """Findings that were asked for, and are known not to be fixed."""
        names = {form for name in self.unfixed_names for form in (name, name.upper())}
        return [
            change for change in self.findings if change.before and names & {*change.before.ids, *change.keys}
        ]

    def select_reported(self, outcome: FindingOutcome) -> list[FindingChange]:
        """Findings of before with this outcome of which something became, or that were asked for."""
        alike = (change for change in self.findings if change.before and classify_outcome(change) is outcome)
        asked = self.unfixed_findings
        return [change for change in alike if is_finding_changed(change) or change in asked]


def is_finding_changed(change: FindingChange) -> bool:
    """Whether anything became of a finding: it is not just where it was."""
    return (
        change.fate is not FindingStatus.STILL
        or bool(change.new_in)
        or set(change.became) != {CellFindingStatus.STILL}
    )


def format_arch_counts(cells: Iterable[Cell | CellChange]) -> str:
    """``arm64 20, powerpc 26``."""
    return ", ".join(f"{arch} {count}" for arch, count in Counter(cell.arch for cell in cells).items())


def _format_reason(cell: CellChange) -> str:
    """Why nothing is claimed of it, or why it is lost."""
    return cell.why or (cell.reason or "" if cell.transition is Transition.LOST else "")
