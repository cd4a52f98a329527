"""What a cell is to a CI: passed, failed, skipped, or not tried. One judgement for every format of that kind.

A run by itself fails where the tree was refused, with `--werror` also where it was warned about. Against a
baseline, and in a verdict, only what is new or lost is a failure, as it is for the exit code: what failed
before is skipped, and says so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from matrix.exit_codes import ExitCode
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import State, StateKind
from matrix.verdict.baseline import (
    NO_KNOWN_ISSUES,
    KnownIssues,
    Regression,
    excuse_state,
)
from matrix.verdict.gates import is_added_cell_error, is_broken_cell
from matrix.verdict.verdict_model import CellChange, FindingChange, Transition, Verdict
from reports.formatting import format_count
from reports.summary import format_unknown_failure


class JudgementKind(StrEnum):
    """The four outcomes that a CI knows of a test. `error`: it could not be tried."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


_KINDS = {
    StateKind.COMPLETE: JudgementKind.PASSED,
    StateKind.REFUSED: JudgementKind.FAILED,
    # Nothing compiled is never a pass.
    StateKind.EMPTY: JudgementKind.SKIPPED,
    StateKind.UNREACHABLE: JudgementKind.SKIPPED,
    StateKind.STOPPED: JudgementKind.ERROR,
    StateKind.ABANDONED: JudgementKind.ERROR,
    StateKind.OPEN: JudgementKind.ERROR,
}


@dataclass(frozen=True)
class CellJudgement:
    """A cell to a CI. ``label`` is one word or two for why it is so, a state or what became of the cell;
    ``message`` a sentence, empty where it passed. Both may have foreign text."""

    kind: JudgementKind
    label: str
    message: str = ""


def judge_run_cells(
    stored: StoredRun, regression: Regression | None, known_issues: KnownIssues
) -> dict[str, CellJudgement]:
    """Cell's id → its result, by itself, or against a baseline where there is one."""
    if regression is not None:
        return _judge_regression(stored, regression, known_issues)
    return {cell.id: _judge_state(stored, cell, known_issues) for cell in stored.run.cells}


def judge_outcome(code: ExitCode, judged: Iterable[CellJudgement]) -> CellJudgement | None:
    """What the exit code says, where it is not 0 and none of these failed or could not be tried."""
    is_told = any(each.kind in (JudgementKind.FAILED, JudgementKind.ERROR) for each in judged)
    if code is ExitCode.PASSED or is_told:
        return None
    has_failed = code in (ExitCode.FAILED, ExitCode.WARNED)
    kind = JudgementKind.FAILED if has_failed else JudgementKind.ERROR
    return CellJudgement(kind, format_code_name(code), f"exit code {code:d}: {code.meaning}")


def format_code_name(code: ExitCode) -> str:
    """``machine-fault``."""
    return code.name.lower().replace("_", "-")


def _judge_state(stored: StoredRun, cell: Cell, known_issues: KnownIssues) -> CellJudgement:
    failing = {State.FAIL, State.WARN} if stored.run.asks_for_werror else {State.FAIL}
    left = excuse_state(cell.state, cell.id, stored, known_issues)
    if cell.state not in failing:
        kind = _KINDS[cell.state.row.kind]
        return CellJudgement(kind, str(cell.state), _explain_state(stored, cell, kind))
    if left not in failing:
        return CellJudgement(JudgementKind.SKIPPED, "known", _format_known(stored, cell, known_issues))
    if left is State.WARN:
        findings = [each for each in _list_findings(stored, cell) if each.id not in known_issues.excused_by]
        told = _format_findings(findings, "warning") or left.row.meaning
        return CellJudgement(JudgementKind.FAILED, str(left), told)
    return CellJudgement(JudgementKind.FAILED, str(cell.state), _explain_failure(stored, cell))


def _explain_state(stored: StoredRun, cell: Cell, kind: JudgementKind) -> str:
    if kind is JudgementKind.PASSED:
        return ""
    if kind is not JudgementKind.FAILED:
        return cell.reason or cell.state.row.reason
    return _explain_failure(stored, cell)


def _explain_failure(stored: StoredRun, cell: Cell, first: Set[str] = frozenset()) -> str:
    """What was refused in a cell, or warned about in one that was built, the findings with the ids of
    ``first`` before the others."""
    is_built = cell.state is State.WARN
    findings = _list_findings(stored, cell) if is_built else _list_errors(stored, cell)
    findings.sort(key=lambda each: each.id not in first)
    if is_built:
        return _format_findings(findings, "warning") or cell.state.row.meaning
    return _format_findings(findings, "error") or format_unknown_failure(cell)


def _format_findings(findings: Sequence[Finding], noun: str) -> str:
    """The first, and how many more there are; empty of none."""
    more = f" (and {format_count(len(findings) - 1, f'more {noun}')})" if len(findings) > 1 else ""
    return f"{findings[0].id} {findings[0].title}{more}" if findings else ""


def _list_findings(stored: StoredRun, cell: Cell) -> list[Finding]:
    return [stored.findings_by_id[name] for name in stored.findings_by_cell.get(cell.id, {})]


def _list_errors(stored: StoredRun, cell: Cell) -> list[Finding]:
    """The findings that are errors in this cell."""
    return [each for each in _list_findings(stored, cell) if stored.is_error(cell.id, each.id)]


def _format_known(stored: StoredRun, cell: Cell, known_issues: KnownIssues) -> str:
    excused = known_issues.excused_by
    findings = _list_findings(stored, cell) if cell.state is State.WARN else _list_errors(stored, cell)
    rows = dict.fromkeys(excused[each.id] for each in findings if each.id in excused)
    return f"known: {', '.join(rows)}; {_explain_failure(stored, cell)}"


def _judge_regression(
    stored: StoredRun, regression: Regression, known_issues: KnownIssues
) -> dict[str, CellJudgement]:
    failed = _label_changes(
        regression.broken_cells,
        regression.lost_cells,
        regression.new_findings,
        werror=stored.run.asks_for_werror,
    )
    undecided = {cell.id: cell.why or "" for cell in regression.undecided_cells}
    fresh = _list_fresh_findings(regression.new_findings)
    uncompared = _list_uncompared_cells(regression.verdict)
    changes = _JudgedChanges(failed, fresh, undecided, uncompared, known_issues)
    return {cell.id: _judge_change(stored, cell, changes) for cell in stored.run.cells}


def judge_verdict_cells(
    verdict: Verdict, after: StoredRun, *, allow_lost: bool = False, werror: bool = False
) -> dict[str, CellJudgement]:
    """The same of the cells of a verdict's after-run."""
    both = [cell for cell in verdict.cells if cell.is_in_both_plans]
    lost = [] if allow_lost else [cell for cell in both if cell.transition is Transition.LOST]
    failed = _label_changes(
        [cell for cell in verdict.cells if is_broken_cell(cell)],
        lost,
        verdict.findings,
        werror=werror,
    )
    hidden = dict.fromkeys((name for row in verdict.findings for name in row.unknown_in), "")
    undecided = hidden | {cell.id: cell.why or "" for cell in both if cell.transition is Transition.UNKNOWN}
    fresh, uncompared = _list_fresh_findings(verdict.findings), _list_uncompared_cells(verdict)
    changes = _JudgedChanges(failed, fresh, undecided, uncompared, NO_KNOWN_ISSUES)
    return {cell.id: _judge_change(after, cell, changes) for cell in after.run.cells}


def _list_uncompared_cells(verdict: Verdict) -> frozenset[str]:
    """Cells that the plan before lacks, and of whose findings the run before has none."""
    seen = {name for row in verdict.findings if row.before and row.after for name in row.after.ids}
    return frozenset(
        cell.id for cell in verdict.cells if cell.before is None and seen.isdisjoint(cell.findings_after)
    )


def _label_changes(
    broken: Collection[CellChange],
    lost: Collection[CellChange],
    findings: Collection[FindingChange],
    *,
    werror: bool,
) -> dict[str, str]:
    """Cells that fail a comparison → what became of them. With ``werror`` new warnings are failures."""
    warnings = (name for row in findings for name in row.new_in) if werror else ()
    errors = [row for row in findings if row.new_error or is_added_cell_error(row)]
    labels = dict.fromkeys(warnings, "new warning")
    labels |= dict.fromkeys(_list_fresh_findings(errors), "new error")
    labels |= {cell.id: "lost" for cell in lost}
    return labels | {cell.id: "broken" if cell.before else "new failure" for cell in broken}


def _list_fresh_findings(rows: Iterable[FindingChange]) -> dict[str, set[str]]:
    """Cell → the ids of what is new there."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.after and (row.new_in or is_added_cell_error(row)):
            for cell in row.new_in or row.after.cells:
                found.setdefault(cell, set()).update(row.after.ids)
    return found


@dataclass(frozen=True)
class _JudgedChanges:
    """Cells that fail a comparison → what became of them, and → what is new there; undecided ones → why;
    those that nothing before is like; what is known."""

    failed: Mapping[str, str]
    fresh: Mapping[str, Set[str]]
    undecided: Mapping[str, str]
    uncompared: Set[str]
    known_issues: KnownIssues


def _judge_change(stored: StoredRun, cell: Cell, changes: _JudgedChanges) -> CellJudgement:
    kind = _KINDS[cell.state.row.kind]
    why = _explain_state(stored, cell, kind)
    if label := changes.failed.get(cell.id):
        told = why
        if cell.state in (State.WARN, State.FAIL):
            told = _explain_failure(stored, cell, changes.fresh.get(cell.id, frozenset()))
        return CellJudgement(JudgementKind.FAILED, label, told or cell.state.row.meaning)
    if cell.id in changes.undecided:
        told = changes.undecided[cell.id] or why or "not known what became of it"
        return CellJudgement(JudgementKind.ERROR, "unknown", told)
    if cell.state is not State.FAIL:
        return CellJudgement(kind, str(cell.state), why)
    if any(each.id in changes.known_issues.excused_by for each in _list_errors(stored, cell)):
        told = _format_known(stored, cell, changes.known_issues)
        return CellJudgement(JudgementKind.SKIPPED, "known", told)
    if cell.id in changes.uncompared:
        told = f"not compared: the plan before has no such cell: {why}"
        return CellJudgement(JudgementKind.SKIPPED, "not compared", told)
    return CellJudgement(JudgementKind.SKIPPED, "not new", f"not new: {why}")
