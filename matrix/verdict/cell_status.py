"""What became of each cell."""

from collections.abc import Callable, Iterator

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, State
from matrix.verdict.environment import EnvironmentComparison
from matrix.verdict.matching import CellPair, FindingMatches
from matrix.verdict.verdict_model import CellChange, Transition

# Both sides came out alike, so nothing is claimed of the patch or of the environment.
ALIKE_TRANSITIONS = frozenset({Transition.UNCHANGED, Transition.STILL_FAILING})


def compare_cells(
    pairs: tuple[CellPair, ...], matches: FindingMatches, environment: EnvironmentComparison
) -> Iterator[CellChange]:
    """Each request of both plans, and what became of it, in the order of the pairs."""
    for pair in pairs:
        transition, why = _classify_pair(pair, matches, environment.explain_differences)
        yield _build_cell_change(pair, transition, why, matches)


def classify_transition(before: State, after: State, *, same: bool) -> Transition:
    """What became of a cell that had the one state and has the other. ``same``: with the same findings."""
    if {before, after} & UNTRIED_STATES:
        return Transition.UNKNOWN
    if after not in PROVEN_STATES:
        # Also a failure that cannot be built any more: it is not known to be gone.
        return Transition.LOST if before in PROVEN_STATES else Transition.UNCHANGED
    if after is State.FAIL:
        return _classify_failure(before, same=same)
    if before is State.FAIL:
        return Transition.FIXED
    if before not in PROVEN_STATES:
        return Transition.GAINED
    return Transition.UNCHANGED if same and before is after else Transition.CHANGED


def _classify_failure(before: State, *, same: bool) -> Transition:
    if before is not State.FAIL:
        return Transition.BROKEN
    return Transition.STILL_FAILING if same else Transition.CHANGED


def _classify_pair(
    pair: CellPair, matches: FindingMatches, explain_differences: Callable[[CellPair], str]
) -> tuple[Transition, str | None]:
    before, after = pair
    if before is None or after is None:
        return Transition.UNKNOWN, f"not planned {'before' if before is None else 'after'}"
    if why := _explain_other_failure(before, after, matches):
        return Transition.UNKNOWN, why
    transition = classify_transition(
        before.state, after.state, same=matches.has_same_findings(before.id, after.id)
    )
    if transition is Transition.UNKNOWN:
        return transition, explain_untried(before, "before") or explain_untried(after, "after")
    why = "" if transition in ALIKE_TRANSITIONS else explain_differences(pair)
    return (Transition.UNKNOWN, why) if why else (transition, None)


def _explain_other_failure(before: Cell, after: Cell, matches: FindingMatches) -> str:
    """Why a failure without a known error is not known to be the one of before; empty where nothing says so.

    What is known of one that nothing explains is how it ended.
    """
    if before.state is not State.FAIL or not _is_unexplained(after, matches.after):
        return ""
    if not _is_unexplained(before, matches.before):
        return "it fails after without an error that kmatrix knows, and failed for a known one before"
    if _describe_end(before) != _describe_end(after):
        return "it fails without an error that kmatrix knows, and ended in another way before"
    return ""


def _is_unexplained(cell: Cell, side: StoredRun) -> bool:
    names = side.findings_by_cell.get(cell.id, {})
    return cell.state is State.FAIL and not any(side.is_error(cell.id, name) for name in names)


def _describe_end(cell: Cell) -> tuple[object, ...]:
    """The stage that failed, how, and what was said of it. Its command can name what one side alone has."""
    stage = cell.deciding_stage
    return cell.reason, stage and (stage.name, stage.exit)


def explain_untried(cell: Cell, when: str) -> str:
    """``timeout after``, with the reason where there is one; empty when the cell was tried."""
    if cell.state not in UNTRIED_STATES:
        return ""
    return f"{cell.state} {when}{f': {cell.reason}' if cell.reason else ''}"


def _build_cell_change(
    pair: CellPair, transition: Transition, why: str | None, matches: FindingMatches
) -> CellChange:
    before, after = pair
    cell = pair.cell
    return CellChange(
        id=cell.id,
        arch=cell.arch,
        toolchain=cell.toolchain,
        base=cell.base,
        request=cell.request,
        transition=transition,
        before=before.state if before else None,
        after=after.state if after else None,
        why=why,
        reason=after.reason if after else None,
        resolves_to=after.resolves_to if after else None,
        evidence=after.evidence if after else None,
        evidence_from=after.evidence_from if after else None,
        findings_before=tuple(matches.before.findings_by_cell.get(before.id, ())) if before else (),
        findings_after=tuple(matches.after.findings_by_cell.get(after.id, ())) if after else (),
        unexplained=after is not None and _is_unexplained(after, matches.after),
    )
