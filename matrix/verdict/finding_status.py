"""What became of each finding: in every cell that had it, and in all of them together.

A finding is fixed only where it was looked for. That takes more of a cell than to pass: the object was made
without it, or is shown not to belong to the configuration any more.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Severity
from matrix.findings.evidence import is_problem_absent
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import COMPLETE_STATES, PROVEN_STATES, Evidence, State
from matrix.verdict.cell_status import explain_untried
from matrix.verdict.environment import ConfigComparison, EnvironmentComparison
from matrix.verdict.matching import CellPair, FindingMatches, has_run_stages
from matrix.verdict.verdict_model import (
    CellFindingStatus,
    FindingChange,
    FindingStatus,
    SideFinding,
    SymbolFlip,
)

# kbuild makes these on the way and lists them nowhere, so a list without them proves nothing.
_UNLISTED_DIRECTORIES = frozenset({"scripts", "tools", "vdso", "vdso32", "vdso64"})


class CellFindingCheck(NamedTuple):
    """What became of a finding in one cell, and why nothing better is known."""

    pair: CellPair
    status: CellFindingStatus
    why: str = ""


class _FindingWhereabouts(NamedTuple):
    """Where one cell shows a finding: objects and stages."""

    objects: frozenset[str]
    stages: frozenset[str]


def _locate_finding(side: StoredRun, cell: Cell, finding: Finding) -> _FindingWhereabouts:
    refs = side.findings_by_cell[cell.id][finding.id]
    return _FindingWhereabouts(
        frozenset(ref.object for ref in refs if ref.object), frozenset(ref.stage for ref in refs)
    )


def check_after_cell(pair: CellPair, finding: Finding, sides: FindingMatches) -> CellFindingCheck:
    """What became of a before-finding in a cell that does not show it after, made with the same tools."""
    before, after = pair
    assert before is not None
    assert after is not None
    whereabouts = _locate_finding(sides.before, before, finding)
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


def _format_missing_stages(whereabouts: _FindingWhereabouts, cell: Cell) -> str:
    return "stage " + ", ".join(
        sorted(name for name in whereabouts.stages if not has_run_stages(cell, (name,)))
    )


def _check_failing_cell(
    pair: CellPair, whereabouts: _FindingWhereabouts, side: StoredRun
) -> CellFindingCheck:
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


def _format_stages(whereabouts: _FindingWhereabouts) -> str:
    return f"stage {', '.join(sorted(whereabouts.stages))}"


def _classify_built_cell(
    before: Cell, after: Cell, whereabouts: _FindingWhereabouts, sides: FindingMatches
) -> CellFindingStatus:
    objects = {name for name in whereabouts.objects if _is_listable_object(name)}
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
    """Why an after-finding may have been in a cell before that did not show it; empty where it was looked
    for."""
    before, after = pair
    assert before is not None
    assert after is not None
    why = explain_untried(before, "before")
    if why or before.state in COMPLETE_STATES or before.state not in PROVEN_STATES:
        return why
    whereabouts = _locate_finding(sides.after, after, finding)
    if not has_run_stages(before, whereabouts.stages):
        return f"before, {_format_missing_stages(whereabouts, before)} was not built"
    # A compiler that refused an object has read it: only what was not reached may have been hidden.
    refused = {ref.object for ref in before.proven_diagnostics}
    if whereabouts.objects & refused or is_problem_absent(
        before, whereabouts.objects, whereabouts.stages, sides.before.made_objects
    ):
        return ""
    return "it failed before for another reason, which may have hidden this"


_STATUS_ORDER = (
    FindingStatus.NEW,
    FindingStatus.LOST,
    FindingStatus.UNKNOWN,
    FindingStatus.STILL,
    FindingStatus.FIXED,
)
_FLIPS_SHOWN = 3
_MAKEFILE = re.compile(r"(Makefile|Kbuild)(\.|$)")


class _NewOccurrences(NamedTuple):
    """Where a finding is new: the cells where it was looked for before, and whether it is an error in one.

    ``unknown_cells`` are those where it could not be looked for, ``why`` the first reason.
    """

    cells: tuple[str, ...]
    error: bool
    unknown_cells: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class FindingComparison:
    """Compares the findings of two sides. ``touched``: the files that the patch changes."""

    matches: FindingMatches
    environment: EnvironmentComparison
    configs: ConfigComparison
    touched: Collection[str]

    def compare_findings(self) -> tuple[FindingChange, ...]:
        """Every finding of either side, what is new first, errors before warnings."""
        rows = [self._build_before_change(finding) for finding in self.matches.before.findings_by_id.values()]
        rows += [
            self._build_after_change(finding)
            for finding in self.matches.after.findings_by_id.values()
            if not self.matches.before_ids[finding.id]
        ]
        return tuple(
            sorted(rows, key=lambda row: (_STATUS_ORDER.index(row.fate), not _is_error_anywhere(row)))
        )

    @cached_property
    def _pairs_by_before_id(self) -> dict[str, CellPair]:
        return {pair.before.id: pair for pair in self.environment.pairs if pair.before}

    @cached_property
    def _pairs_by_after_id(self) -> dict[str, CellPair]:
        return {pair.after.id: pair for pair in self.environment.pairs if pair.after}

    def _build_before_change(self, finding: Finding) -> FindingChange:
        checks = [self._check_cell(self._pairs_by_before_id[cell], finding) for cell in finding.cells]
        matching = [self.matches.after.findings_by_id[name] for name in self.matches.after_ids[finding.id]]
        # One that only its consequence leads to has a row of its own, where it is new.
        same = [each for each in matching if finding.id in self.matches.before_ids[each.id]]
        new = self._find_new_occurrences(same)
        flips = self._find_shared_flips(
            check.pair for check in checks if check.status is CellFindingStatus.NOT_BUILT
        )
        status = _decide_status(checks, is_matched=bool(matching))
        unknown = (check.pair.cell.id for check in checks if check.status is CellFindingStatus.UNKNOWN)
        return FindingChange(
            fate=status,
            title=finding.title,
            keys=tuple(sorted({key for each in (finding, *matching) for key in each.keys})),
            before=_merge_findings([finding]),
            after=_merge_findings(matching) if matching else None,
            became=dict(Counter(check.status for check in checks)),
            why=self._explain_status(status, checks, flips) or None,
            flips=flips,
            new_in=new.cells,
            new_error=new.error,
            unknown_in=tuple(dict.fromkeys([*unknown, *new.unknown_cells])),
            blames=finding.blames,
        )

    def _build_after_change(self, finding: Finding) -> FindingChange:
        new = self._find_new_occurrences([finding])
        status = FindingStatus.NEW if new.cells else FindingStatus.UNKNOWN
        return FindingChange(
            fate=status,
            title=finding.title,
            keys=finding.keys,
            after=_merge_findings([finding]),
            why=None if status is FindingStatus.NEW else new.why or "its cells were not planned before",
            new_in=new.cells,
            new_error=new.error,
            unknown_in=new.unknown_cells,
            blames=finding.blames,
        )

    def _check_cell(self, pair: CellPair, finding: Finding) -> CellFindingCheck:
        """What became of a finding in one cell that had it."""
        after = pair.after
        if after is None:
            return CellFindingCheck(pair, CellFindingStatus.NOT_PLANNED, "not planned after")
        shown = self.matches.after.findings_by_cell.get(after.id, {})
        if any(name in shown for name in self.matches.after_ids[finding.id]):
            return CellFindingCheck(pair, CellFindingStatus.STILL)
        differences = self.environment.explain_differences(pair)
        if differences:
            return CellFindingCheck(pair, CellFindingStatus.UNKNOWN, differences)
        return check_after_cell(pair, finding, self.matches)

    def _find_new_occurrences(self, findings: list[Finding]) -> _NewOccurrences:
        """Where these findings of the after-side are, and were not before."""
        cells: dict[str, None] = {}
        unknown: dict[str, str] = {}
        error = False
        for finding in findings:
            for pair in (self._pairs_by_after_id[cell] for cell in finding.cells):
                why = self._explain_not_new(pair, finding)
                if why is None:
                    cells[pair.cell.id] = None
                    error |= self.matches.after.is_error(pair.cell.id, finding.id)
                elif why:
                    unknown[pair.cell.id] = why
        return _NewOccurrences(tuple(cells), error, tuple(unknown), next(iter(unknown.values()), ""))

    def _explain_not_new(self, pair: CellPair, finding: Finding) -> str | None:
        """None where it is new; empty where it is not, or cannot be compared; else why that is not known."""
        before, after = pair
        if before is None or after is None:
            return ""
        shown = self.matches.before.findings_by_cell.get(before.id, {})
        had = [name for name in self.matches.before_ids[finding.id] if name in shown]
        if had and not self._is_worse_after(before.id, had, after.id, finding.id):
            return ""
        hidden = "" if had else explain_hidden_before(pair, finding, self.matches)
        return self.environment.explain_differences(pair) or hidden or None

    def _is_worse_after(self, before: str, had: list[str], after: str, finding: str) -> bool:
        """Whether a cell had it as a warning only, and has it as an error."""
        was_error = any(self.matches.before.is_error(before, name) for name in had)
        return self.matches.after.is_error(after, finding) and not was_error

    def _find_shared_flips(self, pairs: Iterable[CellPair]) -> tuple[SymbolFlip, ...]:
        """The symbols that changed in all of these cells, those that went off first."""
        each = [frozenset(self.configs.diff_pair(pair) or ()) for pair in pairs]
        shared = frozenset.intersection(*each) if each else frozenset()
        return tuple(sorted(shared, key=lambda flip: (flip.to != "n", flip.symbol)))

    def _explain_status(
        self, status: FindingStatus, checks: list[CellFindingCheck], flips: tuple[SymbolFlip, ...]
    ) -> str:
        statuses = {check.status for check in checks}
        if status is FindingStatus.STILL and CellFindingStatus.STILL not in statuses:
            return "gone where it was, and now in other cells"
        if status is FindingStatus.FIXED:
            return self._explain_not_built(flips) if CellFindingStatus.NOT_BUILT in statuses else ""
        deciding = {
            FindingStatus.UNKNOWN: (CellFindingStatus.UNKNOWN, CellFindingStatus.NOT_PLANNED),
            FindingStatus.LOST: (CellFindingStatus.LOST,),
        }
        return next((check.why for check in checks if check.status in deciding.get(status, ())), "")

    def _explain_not_built(self, flips: tuple[SymbolFlip, ...]) -> str:
        """Why an object is not built any more; empty where nothing explains it."""
        if flips:
            more = len(flips) - _FLIPS_SHOWN
            shown = [f"{flip.symbol} {flip.from_} → {flip.to}" for flip in flips[:_FLIPS_SHOWN]]
            return ", ".join([*shown, *([f"{more} more"] if more > 0 else [])])
        makefiles = sorted(name for name in self.touched if _MAKEFILE.match(PurePosixPath(name).name))
        return f"{', '.join(makefiles)} changed" if makefiles else ""


def _decide_status(checks: Iterable[CellFindingCheck], *, is_matched: bool) -> FindingStatus:
    """The status of a before-finding; ``is_matched``: the after-side has it somewhere."""
    statuses = {check.status for check in checks}
    if is_matched:
        return FindingStatus.STILL
    if statuses & {CellFindingStatus.UNKNOWN, CellFindingStatus.NOT_PLANNED}:
        return FindingStatus.UNKNOWN
    return FindingStatus.LOST if CellFindingStatus.LOST in statuses else FindingStatus.FIXED


def _merge_findings(findings: Sequence[Finding]) -> SideFinding:
    """Several findings of one side that are one on the other, as one: the worst of each toolchain."""
    severity: dict[str, Severity] = {}
    for finding in findings:
        worse = {name: s for name, s in finding.severity.items() if severity.get(name) != "error"}
        severity |= worse
    return SideFinding(
        ids=tuple(finding.id for finding in findings),
        severity=severity,
        condition=tuple(cube for finding in findings for cube in finding.condition),
        cells=tuple(dict.fromkeys(cell for finding in findings for cell in finding.cells)),
    )


def _is_error_anywhere(row: FindingChange) -> bool:
    return any(side is not None and side.is_error for side in (row.before, row.after))
