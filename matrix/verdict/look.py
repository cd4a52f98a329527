"""What one cell can say of a finding that it does not show: it was looked for there, or nobody knows."""

from typing import NamedTuple

from matrix.findings.model import Finding
from matrix.findings.presence import is_problem_absent
from matrix.record.model import Cell
from matrix.record.outcome import PROVEN, WHOLE, Evidence, State
from matrix.verdict.cells import untried
from matrix.verdict.match import Matches
from matrix.verdict.model import Became
from matrix.verdict.side import Pair, Side, tried

# kbuild makes these on the way and lists them nowhere, so a list without them says nothing.
_NEVER_LISTED = frozenset({"scripts", "tools", "vdso", "vdso32", "vdso64"})


class Look(NamedTuple):
    """What became of a finding in one cell, and why nothing better can be said."""

    pair: Pair
    became: Became
    why: str = ""


class _Place(NamedTuple):
    """Where one cell shows a finding: objects and stages."""

    objects: frozenset[str]
    stages: frozenset[str]


def _place(side: Side, cell: Cell, finding: Finding) -> _Place:
    refs = side.said[cell.id][finding.id]
    return _Place(frozenset(ref.object for ref in refs if ref.object), frozenset(ref.stage for ref in refs))


def looked_after(pair: Pair, finding: Finding, sides: Matches) -> Look:
    """What became of a before-finding in a cell that does not show it after, made with the same tools."""
    before, after = pair
    assert before is not None
    assert after is not None
    place = _place(sides.before, before, finding)
    why = untried(after, "after")
    if why:
        return Look(pair, Became.UNKNOWN, why)
    if after.state not in PROVEN:
        return Look(pair, Became.LOST, _gone(after))
    if after.evidence is not Evidence.UNAFFECTED and not tried(after, place.stages):
        return Look(pair, Became.UNKNOWN, f"after, {_stages(place, after)} was not built")
    if after.state is State.FAIL:
        return _failing(pair, place, sides.after)
    return Look(pair, _whole(before, after, place, sides))


def _gone(after: Cell) -> str:
    return f"{after.state} after{f': {after.reason}' if after.reason else ''}"


def _stages(place: _Place, cell: Cell) -> str:
    return "stage " + ", ".join(sorted(name for name in place.stages if not tried(cell, (name,))))


def _failing(pair: Pair, place: _Place, side: Side) -> Look:
    """A cell that fails for another reason lacks it only where all of its objects were made."""
    after = pair.cell
    missing = sorted(place.objects - side.made.get(after.id, frozenset()))
    if not missing and is_problem_absent(after, place.objects, place.stages, side.made):
        return Look(pair, Became.COMPILED if place.objects else Became.BUILT)
    what = missing[0] if missing else _ended(place)
    return Look(pair, Became.UNKNOWN, f"it fails for another reason after, and {what} was not made")


def _ended(place: _Place) -> str:
    return f"stage {', '.join(sorted(place.stages))}"


def _whole(before: Cell, after: Cell, place: _Place, sides: Matches) -> Became:
    objects = {name for name in place.objects if _listable(name)}
    if not objects:
        return Became.BUILT
    listed = sides.after.objects(after)
    if objects & listed:
        return Became.COMPILED
    if listed and objects <= sides.before.objects(before):
        return Became.NOT_BUILT
    return Became.UNLISTED


def _listable(name: str) -> bool:
    return name.endswith(".o") and _NEVER_LISTED.isdisjoint(name.split("/"))


def looked_before(pair: Pair, finding: Finding, sides: Matches) -> str:
    """Why nobody knows whether an after-finding was in a cell before that did not show it; empty where it was
    looked for."""
    before, after = pair
    assert before is not None
    assert after is not None
    why = untried(before, "before")
    if why or before.state in WHOLE or before.state not in PROVEN:
        return why
    place = _place(sides.after, after, finding)
    if not tried(before, place.stages):
        return f"before, {_stages(place, before)} was not built"
    # A compiler that refused an object read it: only what nobody came to may have been hidden.
    refused = {ref.object for ref in before.diagnostics}
    if place.objects & refused or is_problem_absent(before, place.objects, place.stages, sides.before.made):
        return ""
    return "it failed before for another reason, which may have hidden this"
