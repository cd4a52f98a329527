"""What one cell can say of a finding that it does not show: it was looked for there, or nobody knows."""

from typing import NamedTuple

from matrix.findings.model import Finding
from matrix.findings.presence import is_problem_absent
from matrix.record.model import Cell
from matrix.record.outcome import COMPLETE_STATES, PROVEN_STATES, Evidence, State
from matrix.verdict.cells import explain_untried
from matrix.verdict.match import FindingMatches
from matrix.verdict.model import CellFindingStatus
from matrix.verdict.side import CellPair, RunData, has_run_stages

# kbuild makes these on the way and lists them nowhere, so a list without them says nothing.
_UNLISTED_DIRECTORIES = frozenset({"scripts", "tools", "vdso", "vdso32", "vdso64"})


class CellFindingCheck(NamedTuple):
    """What became of a finding in one cell, and why nothing better can be said."""

    pair: CellPair
    status: CellFindingStatus
    why: str = ""


class _FindingWhereabouts(NamedTuple):
    """Where one cell shows a finding: objects and stages."""

    objects: frozenset[str]
    stages: frozenset[str]


def _locate_finding(side: RunData, cell: Cell, finding: Finding) -> _FindingWhereabouts:
    refs = side.findings_by_cell[cell.id][finding.id]
    return _FindingWhereabouts(
        frozenset(ref.object for ref in refs if ref.object), frozenset(ref.stage for ref in refs)
    )


def check_after_cell(pair: CellPair, finding: Finding, sides: FindingMatches) -> CellFindingCheck:
    """What became of a before-finding in a cell that does not show it after, made with the same tools."""
    before, after = pair
    assert before is not None
    assert after is not None
    place = _locate_finding(sides.before, before, finding)
    why = explain_untried(after, "after")
    if why:
        return CellFindingCheck(pair, CellFindingStatus.UNKNOWN, why)
    if after.state not in PROVEN_STATES:
        return CellFindingCheck(pair, CellFindingStatus.LOST, _format_lost_state(after))
    if after.evidence is not Evidence.UNAFFECTED and not has_run_stages(after, place.stages):
        return CellFindingCheck(
            pair, CellFindingStatus.UNKNOWN, f"after, {_format_missing_stages(place, after)} was not built"
        )
    if after.state is State.FAIL:
        return _check_failing_cell(pair, place, sides.after)
    return CellFindingCheck(pair, _classify_built_cell(before, after, place, sides))


def _format_lost_state(after: Cell) -> str:
    return f"{after.state} after{f': {after.reason}' if after.reason else ''}"


def _format_missing_stages(place: _FindingWhereabouts, cell: Cell) -> str:
    return "stage " + ", ".join(sorted(name for name in place.stages if not has_run_stages(cell, (name,))))


def _check_failing_cell(pair: CellPair, place: _FindingWhereabouts, side: RunData) -> CellFindingCheck:
    """A cell that fails for another reason lacks it only where all of its objects were made."""
    after = pair.cell
    missing = sorted(place.objects - side.made_objects.get(after.id, frozenset()))
    if not missing and is_problem_absent(after, place.objects, place.stages, side.made_objects):
        return CellFindingCheck(
            pair, CellFindingStatus.COMPILED if place.objects else CellFindingStatus.BUILT
        )
    what = missing[0] if missing else _format_stages(place)
    return CellFindingCheck(
        pair, CellFindingStatus.UNKNOWN, f"it fails for another reason after, and {what} was not made"
    )


def _format_stages(place: _FindingWhereabouts) -> str:
    return f"stage {', '.join(sorted(place.stages))}"


def _classify_built_cell(
    before: Cell, after: Cell, place: _FindingWhereabouts, sides: FindingMatches
) -> CellFindingStatus:
    objects = {name for name in place.objects if _is_listable_object(name)}
    if not objects:
        return CellFindingStatus.BUILT
    listed = sides.after.load_objects(after)
    if objects & listed:
        return CellFindingStatus.COMPILED
    if listed and objects <= sides.before.load_objects(before):
        return CellFindingStatus.NOT_BUILT
    return CellFindingStatus.UNLISTED


def _is_listable_object(name: str) -> bool:
    return name.endswith(".o") and _UNLISTED_DIRECTORIES.isdisjoint(name.split("/"))


def explain_hidden_before(pair: CellPair, finding: Finding, sides: FindingMatches) -> str:
    """Why nobody knows whether an after-finding was in a cell before that did not show it; empty where it was
    looked for."""
    before, after = pair
    assert before is not None
    assert after is not None
    why = explain_untried(before, "before")
    if why or before.state in COMPLETE_STATES or before.state not in PROVEN_STATES:
        return why
    place = _locate_finding(sides.after, after, finding)
    if not has_run_stages(before, place.stages):
        return f"before, {_format_missing_stages(place, before)} was not built"
    # A compiler that refused an object read it: only what nobody came to may have been hidden.
    refused = {ref.object for ref in before.diagnostics}
    if place.objects & refused or is_problem_absent(
        before, place.objects, place.stages, sides.before.made_objects
    ):
        return ""
    return "it failed before for another reason, which may have hidden this"
