"""Questions to a verdict: is a finding fixed, is a Tested-by earned, which exit code does it deserve."""

from collections.abc import Collection

from matrix.errors import RequestError
from matrix.findings.finding import Condition
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, Evidence, State
from matrix.verdict.verdict_model import (
    CellChange,
    CellFindingStatus,
    FindingChange,
    FindingStatus,
    FixCheck,
    Transition,
    Verdict,
)

_NOTHING_TRIED_BEFORE = "no cell of the before-run was tried, so nothing is known of what was there"


def check_fix(verdict: Verdict, name: str) -> FixCheck:
    """Whether the before-finding of this id (``F1``, ``f1``) or key is fixed, and why not.

    RequestError when the before-run has no such finding, though it could have.
    """
    row = _find_asked_change(verdict, name)
    if row is not None:
        reason = explain_not_fixed(row)
        return FixCheck(finding=name, title=row.title, fixed=not reason, reason=reason or None)
    if has_usable_before_run(verdict):
        known = ", ".join(name for one in verdict.findings if one.before for name in one.before.ids)
        raise RequestError(
            f"the before-run {verdict.before.run} has no finding {name!r} (it has {known or 'none'})",
            f"./inv report --run {verdict.before.run} shows them",
        )
    return FixCheck(finding=name, title="", fixed=False, reason=_NOTHING_TRIED_BEFORE)


def _find_asked_change(verdict: Verdict, name: str) -> FindingChange | None:
    rows = (row for row in verdict.findings if row.before is not None)
    return next((row for row in rows if row.before and _matches_name(row, row.before.ids, name)), None)


def _matches_name(row: FindingChange, ids: Collection[str], name: str) -> bool:
    return name.upper() in ids or name in row.keys


def explain_not_fixed(row: FindingChange) -> str:
    """Why a finding is not known to be fixed; empty where it is."""
    if row.fate is FindingStatus.STILL:
        cells = len(row.after.cells) if row.after else 0
        where = "1 cell" if cells == 1 else f"{cells} cells"
        return f"still there, in {where}" + (f": {row.why}" if row.why else "")
    if row.fate is FindingStatus.LOST:
        return f"lost, not fixed, in {row.became[CellFindingStatus.LOST]} of its cells: {row.why}"
    if row.fate is not FindingStatus.FIXED:
        return f"not known: {row.why}"
    if CellFindingStatus.UNLISTED in row.became:
        return "its cells pass, but no list says whether its object was made for that"
    if CellFindingStatus.NOT_BUILT in row.became and not row.why:
        return "its object is not built any more, and nothing explains why"
    return ""


def explain_withheld_tested_by(verdict: Verdict, after: StoredRun, objects: Collection[str]) -> str:
    """Why a Tested-by is not earned; empty when it is.

    ``objects`` are those that the patch touches, relative to the build directory: of the sources that it
    changes, and those that include a header that it changes. What is vouched for are the findings that were
    asked for, or else all that are fixed. A patch that breaks something has not passed a test.
    """
    refused = next((one for one in verdict.fixes if not one.fixed), None)
    if refused is not None:
        return f"{refused.finding} is not fixed: {refused.reason}"
    if has_breakage(verdict):
        return "something breaks with it"
    rows = [row for one in verdict.fixes if (row := _find_asked_change(verdict, one.finding))]
    rows = rows or [row for row in verdict.findings if row.fate is FindingStatus.FIXED]
    excluded = any(row.why for row in rows if CellFindingStatus.NOT_BUILT in row.became)
    if not excluded and not any(
        _has_compiled_any(cell, after, frozenset(objects)) for cell in after.run.cells
    ):
        return "nothing that the patch touches was compiled with it"
    return next(
        (why for row in rows for cell in verdict.cells if (why := _explain_untested_cell(row, cell))), ""
    )


def _explain_untested_cell(row: FindingChange, cell: CellChange) -> str:
    """Why a cell of a finding's condition spoils the test; empty where it does not, or is none of them."""
    condition = row.before.condition if row.before else ()
    if cell.after is not None and cell.after not in UNTRIED_STATES:
        return ""
    return f"{cell.id} is {cell.after or 'not planned'} after" if _meets_condition(cell, condition) else ""


def _meets_condition(cell: CellChange, condition: Condition) -> bool:
    return any(all(cell.axes.get(axis) in values for axis, values in cube.items()) for cube in condition)


def _has_compiled_any(cell: Cell, side: StoredRun, objects: frozenset[str]) -> bool:
    """Whether one of these was compiled in a cell of this run, and went well."""
    if cell.evidence is Evidence.UNAFFECTED or not any(stage.compiled for stage in cell.stages):
        return False
    if cell.state is State.FAIL:
        return not objects.isdisjoint(side.made_objects.get(cell.id, frozenset()))
    return cell.state in PROVEN_STATES and not objects.isdisjoint(side.load_objects(cell))


def has_breakage(verdict: Verdict) -> bool:
    """Whether a cell broke, or an error is where it was not."""
    return any(cell.transition is Transition.BROKEN for cell in verdict.cells) or any(
        row.new_error for row in verdict.findings
    )


def compute_verdict_exit_code(
    verdict: Verdict, *, allow_lost: bool = False, werror: bool = False, interrupted: bool = False
) -> int:
    """The exit code that a verdict deserves.

    130 when this command was ``interrupted``; 2 without a usable before-run; 100 when something broke, was
    lost (unless ``allow_lost``), or a finding that was asked for is not fixed; 2 when nothing can be said of
    something that both plans have; 1 when no cell proves anything after; 101 with ``werror`` and new
    warnings; else 0. What failed before does not count.
    """
    if interrupted:
        return 130
    if not has_usable_before_run(verdict):
        return 2
    lost = not allow_lost and verdict.counts.get(Transition.LOST, 0)
    if has_breakage(verdict) or lost or not all(one.fixed for one in verdict.fixes):
        return 100
    if _has_undecided(verdict):
        return 2
    if not any(cell.is_in_both_plans and cell.after in PROVEN_STATES for cell in verdict.cells):
        return 1
    return 101 if werror and has_new_findings(verdict) else 0


def _has_undecided(verdict: Verdict) -> bool:
    unknown = any(cell.is_in_both_plans and cell.transition is Transition.UNKNOWN for cell in verdict.cells)
    return unknown or any(row.unknown_in for row in verdict.findings)


def has_new_findings(verdict: Verdict) -> bool:
    """Whether a finding is where it was not."""
    return any(row.new_in for row in verdict.findings)


def has_usable_before_run(verdict: Verdict) -> bool:
    """Whether the before-run says anything of the cells that both plans have."""
    return any(cell.is_in_both_plans and cell.before not in UNTRIED_STATES for cell in verdict.cells)
