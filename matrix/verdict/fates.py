"""What became of each finding: in every cell that had it, and in all of them together.

A finding is fixed only where somebody looked. That takes more of a cell than to pass: the object was made
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
from matrix.findings.model import Finding
from matrix.verdict.differences import Likeness
from matrix.verdict.look import Look, looked_after, looked_before
from matrix.verdict.match import Matches
from matrix.verdict.model import Became, Fate, FindingChange, Flip, Seen
from matrix.verdict.side import Pair
from matrix.verdict.symbols import Flips

_ORDER = (Fate.NEW, Fate.LOST, Fate.UNKNOWN, Fate.STILL, Fate.FIXED)
_FLIPS_TOLD = 3
_MAKEFILE = re.compile(r"(Makefile|Kbuild)(\.|$)")


class _New(NamedTuple):
    """Where a finding is that was not there: cells that were looked at, whether as an error; cells that could
    not be, and why."""

    cells: tuple[str, ...]
    error: bool
    unknown: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Fates:
    """Two sides' findings held against each other. ``touched``: the files that the patch changes."""

    matches: Matches
    likeness: Likeness
    flips: Flips
    touched: Collection[str]

    def all(self) -> tuple[FindingChange, ...]:
        """Every finding of either side, what is new first, errors before warnings."""
        before, after = self.matches.before.by_id.values(), self.matches.after.by_id.values()
        rows = [self._of_before(finding) for finding in before]
        rows += [self._only_after(finding) for finding in after if not self.matches.back[finding.id]]
        return tuple(sorted(rows, key=lambda row: (_ORDER.index(row.fate), not _is_error(row))))

    @cached_property
    def _from(self) -> dict[str, Pair]:
        return {pair.before.id: pair for pair in self.likeness.pairs if pair.before}

    @cached_property
    def _to(self) -> dict[str, Pair]:
        return {pair.after.id: pair for pair in self.likeness.pairs if pair.after}

    def _of_before(self, finding: Finding) -> FindingChange:
        looks = [self._look(self._from[cell], finding) for cell in finding.cells]
        met = [self.matches.after.by_id[name] for name in self.matches.onward[finding.id]]
        new = self._new(met)
        gone = [look for look in looks if look.became is Became.NOT_BUILT]
        flips = self._shared_flips(look.pair for look in gone)
        fate = _fate(looks, there=bool(met))
        unknown = (look.pair.cell.id for look in looks if look.became is Became.UNKNOWN)
        return FindingChange(
            fate=fate,
            title=finding.title,
            keys=tuple(sorted({key for one in (finding, *met) for key in one.keys})),
            before=_seen([finding]),
            after=_seen(met) if met else None,
            became=dict(Counter(look.became for look in looks)),
            why=self._why(fate, looks, flips) or None,
            flips=flips,
            new_in=new.cells,
            new_error=new.error,
            unknown_in=tuple(dict.fromkeys([*unknown, *new.unknown])),
        )

    def _only_after(self, finding: Finding) -> FindingChange:
        new = self._new([finding])
        fate = Fate.NEW if new.cells else Fate.UNKNOWN
        return FindingChange(
            fate=fate,
            title=finding.title,
            keys=finding.keys,
            after=_seen([finding]),
            why=None if fate is Fate.NEW else new.why or "its cells were not planned before",
            new_in=new.cells,
            new_error=new.error,
            unknown_in=new.unknown,
        )

    def _look(self, pair: Pair, finding: Finding) -> Look:
        """What became of a finding in one cell that had it."""
        after = pair.after
        if after is None:
            return Look(pair, Became.NOT_PLANNED, "not planned after")
        there = self.matches.after.said.get(after.id, {})
        if any(name in there for name in self.matches.onward[finding.id]):
            return Look(pair, Became.STILL)
        unlike = self.likeness.why(pair)
        if unlike:
            return Look(pair, Became.UNKNOWN, unlike)
        return looked_after(pair, finding, self.matches)

    def _new(self, findings: list[Finding]) -> _New:
        """Where these findings of the after-side are, and were not."""
        cells: dict[str, None] = {}
        unknown: dict[str, str] = {}
        error = False
        for finding in findings:
            for pair in (self._to[cell] for cell in finding.cells):
                why = self._why_not_new(pair, finding)
                if why is None:
                    cells[pair.cell.id] = None
                    error |= self.matches.after.is_error(pair.cell.id, finding.id)
                elif why:
                    unknown[pair.cell.id] = why
        return _New(tuple(cells), error, tuple(unknown), next(iter(unknown.values()), ""))

    def _why_not_new(self, pair: Pair, finding: Finding) -> str | None:
        """None where it is new; empty where it is not, or nobody asks; else why nobody knows."""
        before, after = pair
        if before is None or after is None:
            return ""
        there = self.matches.before.said.get(before.id, {})
        had = [name for name in self.matches.back[finding.id] if name in there]
        if had and not self._worse(before.id, had, after.id, finding.id):
            return ""
        hidden = "" if had else looked_before(pair, finding, self.matches)
        return self.likeness.why(pair) or hidden or None

    def _worse(self, before: str, had: list[str], after: str, finding: str) -> bool:
        """Whether a cell had it as a warning only, and has it as an error."""
        was = any(self.matches.before.is_error(before, name) for name in had)
        return self.matches.after.is_error(after, finding) and not was

    def _shared_flips(self, pairs: Iterable[Pair]) -> tuple[Flip, ...]:
        """The symbols that changed in all of these cells, those that went off first."""
        each = [frozenset(self.flips.of(pair) or ()) for pair in pairs]
        shared = frozenset.intersection(*each) if each else frozenset()
        return tuple(sorted(shared, key=lambda flip: (flip.to != "n", flip.symbol)))

    def _why(self, fate: Fate, looks: list[Look], flips: tuple[Flip, ...]) -> str:
        if fate is Fate.STILL and not any(look.became is Became.STILL for look in looks):
            return "gone where it was, and now in other cells"
        if fate is Fate.FIXED:
            return self._explained(flips) if any(look.became is Became.NOT_BUILT for look in looks) else ""
        telling = {Fate.UNKNOWN: (Became.UNKNOWN, Became.NOT_PLANNED), Fate.LOST: (Became.LOST,)}
        return next((look.why for look in looks if look.became in telling.get(fate, ())), "")

    def _explained(self, flips: tuple[Flip, ...]) -> str:
        """Why an object is not built any more; empty where nothing explains it."""
        if flips:
            more = len(flips) - _FLIPS_TOLD
            told = [f"{flip.symbol} {flip.from_} → {flip.to}" for flip in flips[:_FLIPS_TOLD]]
            return ", ".join([*told, *([f"{more} more"] if more > 0 else [])])
        makefiles = sorted(name for name in self.touched if _MAKEFILE.match(PurePosixPath(name).name))
        return f"{', '.join(makefiles)} changed" if makefiles else ""


def _fate(looks: Iterable[Look], *, there: bool) -> Fate:
    became = {look.became for look in looks}
    if there:
        return Fate.STILL
    if became & {Became.UNKNOWN, Became.NOT_PLANNED}:
        return Fate.UNKNOWN
    return Fate.LOST if Became.LOST in became else Fate.FIXED


def _seen(findings: Sequence[Finding]) -> Seen:
    """Several findings of one side that are one on the other, as one: the worst of each toolchain."""
    severity: dict[str, Severity] = {}
    for finding in findings:
        worse = {name: s for name, s in finding.severity.items() if severity.get(name) != "error"}
        severity |= worse
    return Seen(
        ids=tuple(finding.id for finding in findings),
        severity=severity,
        condition=tuple(cube for finding in findings for cube in finding.condition),
        cells=tuple(dict.fromkeys(cell for finding in findings for cell in finding.cells)),
    )


def _is_error(row: FindingChange) -> bool:
    return any(side is not None and side.is_error for side in (row.before, row.after))
