"""What became of a finding in one cell that had it, as its build shows it.

A finding is gone only where it was looked for. That takes more of a cell than to pass: the object was made
without it, or is shown not to belong to the configuration any more.
"""

import re
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.evidence import is_problem_absent
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import COMPLETE_STATES, PROVEN_STATES, Evidence, State
from matrix.verdict.cell_status import explain_untried
from matrix.verdict.matching import CellPair, FindingMatches, has_run_stages
from matrix.verdict.verdict_model import CellFindingStatus, SeenThrough

# kbuild makes these on the way and lists them nowhere, so a list without them proves nothing.
_UNLISTED_DIRECTORIES = frozenset({"scripts", "tools", "vdso", "vdso32", "vdso64"})


class CellFindingCheck(NamedTuple):
    """What became of a finding in one cell, and why nothing better is known.

    ``through``: builds of its objects alone that decide it, or were to. ``like``: the neighbour that was
    built, and left its objects out for the same symbols.
    """

    pair: CellPair
    status: CellFindingStatus
    why: str = ""
    through: tuple[SeenThrough, ...] = ()
    like: str = ""


class FindingWhereabouts(NamedTuple):
    """Where one cell shows a finding: objects and stages."""

    objects: frozenset[str]
    stages: frozenset[str]


def locate_finding(side: StoredRun, cell: Cell, finding: Finding) -> FindingWhereabouts:
    """Where a cell that has it shows a finding."""
    refs = side.findings_by_cell[cell.id][finding.id]
    return FindingWhereabouts(
        frozenset(ref.object for ref in refs if ref.object), frozenset(ref.stage for ref in refs)
    )


def check_after_cell(
    pair: CellPair, whereabouts: FindingWhereabouts, sides: FindingMatches
) -> CellFindingCheck:
    """What became of a before-finding in a cell that does not show it after, made with the same tools.

    ``whereabouts`` is where it was before.
    """
    before, after = pair
    assert before is not None
    assert after is not None
    why = explain_untried(after, "after")
    if why:
        return CellFindingCheck(pair, CellFindingStatus.UNKNOWN, why)
    if after.state not in PROVEN_STATES:
        return CellFindingCheck(pair, CellFindingStatus.LOST, _format_lost_state(after))
    if after.evidence is not Evidence.UNAFFECTED and not has_run_stages(after, whereabouts.stages):
        return CellFindingCheck(
            pair,
            CellFindingStatus.UNKNOWN,
            f"after, {_format_missing_stages(whereabouts, after)} was not built",
        )
    if after.state is State.FAIL:
        return _check_failing_cell(pair, whereabouts, sides.after)
    return CellFindingCheck(pair, _classify_built_cell(before, after, whereabouts, sides))


def _format_lost_state(after: Cell) -> str:
    return f"{after.state} after{f': {after.reason}' if after.reason else ''}"


def _format_missing_stages(whereabouts: FindingWhereabouts, cell: Cell) -> str:
    return "stage " + ", ".join(
        sorted(name for name in whereabouts.stages if not has_run_stages(cell, (name,)))
    )


def _check_failing_cell(pair: CellPair, whereabouts: FindingWhereabouts, side: StoredRun) -> CellFindingCheck:
    """A cell that fails for another reason lacks it only where all of its objects were made."""
    after = pair.cell
    missing = sorted(whereabouts.objects - side.made_objects.get(after.id, frozenset()))
    if not missing and is_problem_absent(after, whereabouts.objects, whereabouts.stages, side.made_objects):
        return CellFindingCheck(
            pair, CellFindingStatus.COMPILED if whereabouts.objects else CellFindingStatus.BUILT
        )
    what = missing[0] if missing else _format_stages(whereabouts)
    return CellFindingCheck(
        pair, CellFindingStatus.UNKNOWN, f"it fails for another reason after, and {what} was not made"
    )


def _format_stages(whereabouts: FindingWhereabouts) -> str:
    return f"stage {', '.join(sorted(whereabouts.stages))}"


def _classify_built_cell(
    before: Cell, after: Cell, whereabouts: FindingWhereabouts, sides: FindingMatches
) -> CellFindingStatus:
    objects = {name for name in whereabouts.objects if is_listable_object(name)}
    if not objects:
        return CellFindingStatus.BUILT
    listed = sides.after.load_objects(after)
    if objects & listed:
        return CellFindingStatus.COMPILED
    if listed and objects <= sides.before.load_objects(before):
        return CellFindingStatus.NOT_BUILT
    return CellFindingStatus.UNLISTED


def is_listable_object(name: str) -> bool:
    """Whether kbuild's lists name an object like this where it belongs to a configuration."""
    return name.endswith(".o") and _UNLISTED_DIRECTORIES.isdisjoint(name.split("/"))


def explain_hidden_before(pair: CellPair, finding: Finding, sides: FindingMatches) -> str:
    """Why an after-finding may have been in a cell before that did not show it; empty where it was looked
    for."""
    before, after = pair
    assert before is not None
    assert after is not None
    why = explain_untried(before, "before")
    if why or before.state in COMPLETE_STATES or before.state not in PROVEN_STATES:
        return why
    whereabouts = locate_finding(sides.after, after, finding)
    if not has_run_stages(before, whereabouts.stages):
        return f"before, {_format_missing_stages(whereabouts, before)} was not built"
    if _has_reached(before, whereabouts.objects, finding, sides) or is_problem_absent(
        before, whereabouts.objects, whereabouts.stages, sides.before.made_objects
    ):
        return ""
    return "it failed before for another reason, which may have hidden this"


# How far the making of an object came where this tool refused it; any other comes after all of these.
_TOOL_ORDER = {"sh": 0, "make": 0, "gcc": 2, "clang": 2, "rustc": 2, "as": 3}
_AFTER_COMPILERS = 4
_STOPS_READING = re.compile(r"No such file or directory|file not found|Killed|Terminated", re.IGNORECASE)


def _has_reached(before: Cell, objects: frozenset[str], finding: Finding, sides: FindingMatches) -> bool:
    """Whether the tools that show a finding came as far in one of its objects before.

    A compiler that refused an object has read it. A shell or make that could not even start it, a compiler
    that broke or found no header, have not; and none that comes after a compiler has looked at what that
    refused.
    """
    known = sides.before.run.diagnostics
    said = (known[ref.key] for ref in before.proven_diagnostics if ref.object in objects and ref.key in known)
    reached = max(map(_find_reached_step, said), default=0)
    after = sides.after.run.diagnostics
    refs = sides.after.findings_by_cell.values()
    tools = {after[ref.key].tool for shown in refs for ref in shown.get(finding.id, ()) if ref.key in after}
    return reached >= max((_TOOL_ORDER.get(tool, _AFTER_COMPILERS) for tool in tools), default=0) > 0


def _find_reached_step(diagnostic: Diagnostic) -> int:
    step = _TOOL_ORDER.get(diagnostic.tool, _AFTER_COMPILERS)
    is_cut = diagnostic.internal or _STOPS_READING.search(diagnostic.message) is not None
    return 0 if is_cut and diagnostic.severity == "error" else step
