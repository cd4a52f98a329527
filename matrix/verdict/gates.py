"""Checks on a verdict: whether a finding is fixed, whether a Tested-by is earned, the exit code."""

from collections.abc import Collection

from matrix.errors import RequestError
from matrix.exit_codes import ExitCode, choose_exit_code
from matrix.findings.finding import Condition
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, Evidence, State
from matrix.shell_words import format_command
from matrix.verdict.finding_outcome import WORDINGS, FindingOutcome, explain_not_fixed, is_known_unfixed
from matrix.verdict.through_text import format_toolchain_outcomes
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
        is_known = not reason or is_known_unfixed(row)
        return FixCheck(
            finding=name,
            title=row.title,
            fixed=not reason,
            known=is_known,
            reason=reason or None,
            how=format_toolchain_outcomes(row) or None,
        )
    if has_usable_before_run(verdict):
        known = ", ".join(name for row in verdict.findings if row.before for name in row.before.ids)
        raise RequestError(
            f"the before-run {verdict.before.run} has no finding {name!r} (it has {known or 'none'})",
            f"{format_command('./inv', 'report', '--run', verdict.before.run)} shows them",
        )
    return FixCheck(finding=name, title="", fixed=False, known=False, reason=_NOTHING_TRIED_BEFORE)


def format_fix_check(check: FixCheck) -> str:
    """``F1 is fixed``, ``F1 is not fixed: still there``, ``F1: not known whether it is fixed: no list``."""
    outcome = FindingOutcome.STILL if check.known else FindingOutcome.UNKNOWN
    sentence = f"{check.finding}{WORDINGS[FindingOutcome.FIXED if check.fixed else outcome].sentence}"
    how = check.how or ""
    if not check.fixed:
        return f"{sentence}: {check.reason}" + (f"; {how}" if how else "")
    # "fixed with gcc-14; with clang-19 …" begins as the sentence ends.
    own = how.removeprefix("fixed ")
    return f"{sentence}{' ' if own != how else ': '}{own}" if how else sentence


def _find_asked_change(verdict: Verdict, name: str) -> FindingChange | None:
    rows = (row for row in verdict.findings if row.before is not None)
    return next((row for row in rows if row.before and _matches_name(row, row.before.ids, name)), None)


def _matches_name(row: FindingChange, ids: Collection[str], name: str) -> bool:
    return name.upper() in ids or name in row.keys


def explain_withheld_tested_by(
    verdict: Verdict, before: StoredRun, after: StoredRun, objects: Collection[str]
) -> str:
    """Why a Tested-by is not earned; empty when it is.

    ``objects`` are those that the patch touches, relative to the build directory: of the sources that it
    changes, and those that include a header that it changes. The tag is for the findings that were asked for,
    or else for all that are fixed. A patch that breaks something has not passed a test.
    """
    unfixed = next((check for check in verdict.fixes if not check.fixed), None)
    if unfixed is not None:
        return format_fix_check(unfixed)
    if has_breakage(verdict):
        return "something breaks with it"
    rows = [row for check in verdict.fixes if (row := _find_asked_change(verdict, check.finding))]
    rows = rows or [row for row in verdict.findings if row.fate is FindingStatus.FIXED]
    through = next((row for row in rows if row.seen_through and not row.gone_with), None)
    if through is not None:
        return f"{through.title} is only seen to be gone through other errors"
    excluded = any(row.why for row in rows if CellFindingStatus.NOT_BUILT in row.became)
    origins = {before.run.locate_origin(cell) for cell in before.run.cells}
    if not excluded and not any(
        _has_compiled_any(cell, after, frozenset(objects), origins) for cell in after.run.cells
    ):
        return "nothing that the patch touches was compiled with it"
    return next(
        (why for row in rows for cell in verdict.cells if (why := _explain_untested_cell(row, cell))), ""
    )


def _explain_untested_cell(row: FindingChange, cell: CellChange) -> str:
    """Why a cell of a finding's condition was not tested; empty where it was, or is none of them."""
    condition = row.before.condition if row.before else ()
    if cell.after is not None and cell.after not in UNTRIED_STATES:
        return ""
    return f"{cell.id} is {cell.after or 'not planned'} after" if _meets_condition(cell, condition) else ""


def _meets_condition(cell: CellChange, condition: Condition) -> bool:
    return any(all(cell.axes.get(axis) in values for axis, values in cube.items()) for cube in condition)


def _has_compiled_any(cell: Cell, side: StoredRun, objects: frozenset[str], before: Collection[str]) -> bool:
    """Whether one of these was compiled without an error in a cell of this run, or in the one that it is
    remembered from.

    Where that is one of ``before``, where the run before has its cells from, that was without the patch.
    """
    if cell.evidence in (Evidence.UNAFFECTED, Evidence.SAME_OBJECTS):
        return False
    if cell.evidence is Evidence.REMEMBERED and side.run.locate_origin(cell) in before:
        return False
    if not any(stage.compiled for stage in cell.stages):
        return False
    if cell.state is State.FAIL:
        return not objects.isdisjoint(side.made_objects.get(cell.id, frozenset()))
    return cell.state in PROVEN_STATES and not objects.isdisjoint(side.load_objects(cell))


def has_breakage(verdict: Verdict) -> bool:
    """Whether a cell broke, or an error came up where it was not before, or in cells that were not planned
    before."""
    return any(is_broken_cell(cell) for cell in verdict.cells) or any(
        row.new_error or is_added_cell_error(row) for row in verdict.findings
    )


def is_broken_cell(cell: CellChange) -> bool:
    """Whether a cell broke, or fails without a known error where the plan before had no such cell."""
    return cell.transition is Transition.BROKEN or cell.is_added_failure


def is_added_cell_error(row: FindingChange) -> bool:
    """Whether it is an error that the before-run has nowhere, in cells that it does not have either."""
    is_only_added = row.before is None and row.fate is FindingStatus.UNKNOWN and not row.unknown_in
    return is_only_added and row.after is not None and row.after.is_error


def compute_verdict_exit_code(
    verdict: Verdict,
    *,
    allow_lost: bool = False,
    werror: bool = False,
    incomplete: bool = False,
) -> ExitCode:
    """The exit code of a verdict. What failed before does not count.

    It has failed when something broke, was lost (unless ``allow_lost``), or a finding that was asked for is
    known not to be fixed. Without a usable before-run none of that is known, so it counts as untried, like
    any cell or finding of both plans of which nothing is claimed, any cell that could not be tried after, or
    a fix that is not known. Nobody vouches for an error in a cell that only the plan after has, so it has
    failed then, too, unless the before-run has that error elsewhere. It is unproven
    when no cell proves anything after, or when it is ``incomplete``: not all that was asked about was built.
    ``werror``: new warnings count.
    """
    usable = has_usable_before_run(verdict)
    lost = not allow_lost and verdict.counts.get(Transition.LOST, 0) > 0
    unfixed = any(check.known and not check.fixed for check in verdict.fixes)
    undecided = _has_undecided(verdict) or any(not check.known for check in verdict.fixes)
    proven = any(cell.is_in_both_plans and cell.after in PROVEN_STATES for cell in verdict.cells)
    return choose_exit_code(
        interrupted=False,
        failed=has_breakage(verdict) or (usable and (lost or unfixed)),
        untried=not usable or undecided,
        unproven=incomplete or not proven,
        warned=werror and has_new_findings(verdict),
    )


def _has_undecided(verdict: Verdict) -> bool:
    unknown = any(
        cell.after in UNTRIED_STATES or (cell.is_in_both_plans and cell.transition is Transition.UNKNOWN)
        for cell in verdict.cells
    )
    return unknown or any(row.unknown_in for row in verdict.findings)


def has_new_findings(verdict: Verdict) -> bool:
    """Whether a finding came up where it was not before."""
    return any(row.new_in for row in verdict.findings)


def has_usable_before_run(verdict: Verdict) -> bool:
    """Whether the before-run tried any of the cells that both plans have."""
    return any(cell.is_in_both_plans and cell.before not in UNTRIED_STATES for cell in verdict.cells)
