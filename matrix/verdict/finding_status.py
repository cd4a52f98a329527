"""What became of each finding: in all cells that had it together, and where it is new."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from matrix.diagnostics.diagnostic import Severity
from matrix.findings.finding import Finding
from matrix.verdict.cell_finding import (
    CellFindingCheck,
    check_after_cell,
    explain_hidden_before,
    locate_finding,
)
from matrix.verdict.environment import ConfigComparison, EnvironmentComparison
from matrix.verdict.matching import CellPair, FindingMatches
from matrix.verdict.seen_through import HiddenBuilds, HiddenFindingSearch, merge_seen_through
from matrix.verdict.verdict_model import (
    CellFindingStatus,
    FindingChange,
    FindingStatus,
    NeighbourExclusion,
    SeenThrough,
    SideFinding,
    SymbolFlip,
)

_STATUS_ORDER = (
    FindingStatus.NEW,
    FindingStatus.LOST,
    FindingStatus.UNKNOWN,
    FindingStatus.STILL,
    FindingStatus.FIXED,
)
_GONE_STATUSES = frozenset(
    {
        CellFindingStatus.COMPILED,
        CellFindingStatus.BUILT,
        CellFindingStatus.NOT_BUILT,
        CellFindingStatus.UNLISTED,
    }
)
_FLIPS_SHOWN = 3
_MAKEFILE = re.compile(r"(Makefile|Kbuild)(\.|$)")


class _NewOccurrences(NamedTuple):
    """Where a finding is new: the cells where it was looked for before, and whether it is an error in one.

    ``unknown_cells`` are those where it could not be looked for, ``why`` the first reason; ``through`` how it
    is seen before in those where other errors hid it.
    """

    cells: tuple[str, ...]
    error: bool
    unknown_cells: tuple[str, ...]
    why: str
    through: tuple[SeenThrough, ...] = ()


@dataclass(frozen=True)
class FindingComparison:
    """Compares the findings of two sides. ``touched``: the files that the patch changes. ``builds``: how
    objects came out that were made by themselves."""

    matches: FindingMatches
    environment: EnvironmentComparison
    configs: ConfigComparison
    touched: Collection[str]
    builds: HiddenBuilds = field(default_factory=HiddenBuilds)

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

    @cached_property
    def _hidden(self) -> HiddenFindingSearch:
        excludes = bool(self.touched) and not self._touched_makefiles
        return HiddenFindingSearch(self.matches, self.environment, self.configs, self.builds, excludes)

    @cached_property
    def _touched_makefiles(self) -> list[str]:
        return sorted(name for name in self.touched if _MAKEFILE.match(PurePosixPath(name).name))

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
        # Only where it decides something: what is there still is so with any toolchain.
        others = self._check_other_toolchains(finding) if status is FindingStatus.FIXED else []
        status = _decide_status([*checks, *others], is_matched=bool(matching))
        all_checks = [*checks, *others]
        unknown = (check.pair.cell.id for check in all_checks if check.status is CellFindingStatus.UNKNOWN)
        return FindingChange(
            fate=status,
            title=finding.title,
            keys=tuple(sorted({key for each in (finding, *matching) for key in each.keys})),
            before=_merge_findings([finding]),
            after=_merge_findings(matching) if matching else None,
            became=dict(Counter(check.status for check in checks)),
            why=self._explain_status(status, all_checks, flips) or None,
            flips=flips,
            new_in=new.cells,
            new_error=new.error,
            unknown_in=tuple(dict.fromkeys([*unknown, *new.unknown_cells])),
            blames=finding.blames,
            **self._describe_hidden(all_checks, new.through),
        )

    def _check_other_toolchains(self, finding: Finding) -> list[CellFindingCheck]:
        pairs = [self._pairs_by_before_id[cell] for cell in finding.cells]
        seen = [(p, locate_finding(self.matches.before, p.before, finding)) for p in pairs if p.before]
        return list(self._hidden.check_other_toolchains(finding, seen))

    def _describe_hidden(
        self, checks: Sequence[CellFindingCheck], before: Sequence[SeenThrough]
    ) -> dict[str, Any]:
        """On what else than the cells' own builds a change rests; nothing where it rests on nothing else."""
        through = merge_seen_through((*before, *(look for check in checks for look in check.through)))
        like = tuple(self._describe_exclusion(check) for check in checks if check.like)
        if not through and not like:
            return {}
        by_itself: dict[str, bool] = {}
        for check in checks:
            own = check.status in _GONE_STATUSES and not check.through and not check.like
            by_itself[check.pair.cell.toolchain] = by_itself.get(check.pair.cell.toolchain, True) and own
        gone = tuple(toolchain for toolchain, is_gone in by_itself.items() if is_gone)
        return {"seen_through": through, "excluded_like": like, "gone_with": gone}

    def _describe_exclusion(self, check: CellFindingCheck) -> NeighbourExclusion:
        neighbour = self._pairs_by_after_id[check.like].cell
        return NeighbourExclusion(
            cell=check.pair.cell.id,
            toolchain=check.pair.cell.toolchain,
            neighbour=neighbour.id,
            neighbour_toolchain=neighbour.toolchain,
        )

    def _build_after_change(self, finding: Finding) -> FindingChange:
        new = self._find_new_occurrences([finding])
        status = FindingStatus.NEW if new.cells else FindingStatus.UNKNOWN
        why = None if new.cells else new.why or "its cells were not planned before"
        if new.through and not new.cells and not new.unknown_cells:
            status, why = FindingStatus.STILL, "it was there before, behind other errors"
        return FindingChange(
            fate=status,
            title=finding.title,
            keys=finding.keys,
            after=_merge_findings([finding]),
            why=why,
            new_in=new.cells,
            new_error=new.error,
            unknown_in=new.unknown_cells,
            blames=finding.blames,
            **self._describe_hidden((), new.through),
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
        if differences or pair.before is None:
            return CellFindingCheck(pair, CellFindingStatus.UNKNOWN, differences)
        whereabouts = locate_finding(self.matches.before, pair.before, finding)
        check = check_after_cell(pair, whereabouts, self.matches)
        return self._hidden.check_failing_cell(check, finding, whereabouts)

    def _find_new_occurrences(self, findings: list[Finding]) -> _NewOccurrences:
        """Where these findings of the after-side are, and were not before."""
        cells: dict[str, None] = {}
        unknown: dict[str, str] = {}
        through: list[SeenThrough] = []
        error = False
        for finding in findings:
            for pair in (self._pairs_by_after_id[cell] for cell in finding.cells):
                why = self._explain_not_new(pair, finding)
                look = self._find_hidden_before(pair, finding) if why is None else None
                if look is not None:
                    through.append(look)
                elif why is None:
                    cells[pair.cell.id] = None
                    error |= self.matches.after.is_error(pair.cell.id, finding.id)
                elif why:
                    unknown[pair.cell.id] = why
        why = next(iter(unknown.values()), "")
        return _NewOccurrences(tuple(cells), error, tuple(unknown), why, tuple(through))

    def _find_hidden_before(self, pair: CellPair, finding: Finding) -> SeenThrough | None:
        """How a finding that seems new in a cell is seen there before, behind other errors."""
        if pair.before is None or pair.after is None:
            return None
        shown = self.matches.before.findings_by_cell.get(pair.before.id, {})
        if any(name in shown for name in self.matches.before_ids[finding.id]):
            return None
        objects = locate_finding(self.matches.after, pair.after, finding).objects
        return self._hidden.find_hidden_before(pair, finding, objects)

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
        makefiles = self._touched_makefiles
        return f"{', '.join(makefiles)} changed" if makefiles else ""


def _decide_status(checks: Iterable[CellFindingCheck], *, is_matched: bool) -> FindingStatus:
    """The status of a before-finding; ``is_matched``: the after-side shows it somewhere."""
    statuses = {check.status for check in checks}
    if is_matched or CellFindingStatus.STILL in statuses:
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
