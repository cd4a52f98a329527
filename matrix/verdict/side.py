"""The two sides of a verdict: what each run has, and which of its cells face each other."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.findings.derive import derive_findings
from matrix.findings.model import Finding, Findings
from matrix.findings.presence import MadeObjects, find_made_objects
from matrix.kconfig.config import Config
from matrix.record.model import Cell, DiagnosticRef, Run
from matrix.record.outcome import PROVEN, State

Point = tuple[str, str, str, tuple[tuple[str, str], ...]]
Said = dict[str, list[DiagnosticRef]]
"""Finding's id → where one cell shows it."""

_AXES = ("arch", "toolchain", "base")
# States that say all they can of a stage: what it should have made was tried, or there was nothing.
_TRIED = PROVEN | {State.EMPTY}


@dataclass(frozen=True)
class Side:
    """A run with everything that a verdict asks of it.

    ``made`` is what its failing cells made all the same, ``objects`` what is known to belong to a cell (empty
    where no list was kept), ``config`` what it resolved to (None where that is not kept).
    """

    run: Run
    findings: Findings
    made: MadeObjects
    objects: Callable[[Cell], frozenset[str]]
    config: Callable[[Cell], Config | None]

    @classmethod
    def of(
        cls,
        run: Run,
        objects: Callable[[Cell], frozenset[str]],
        config: Callable[[Cell], Config | None],
    ) -> "Side":
        """A run with its findings, derived anew: both sides are then read by the same kmatrix."""
        made = find_made_objects(run, objects)
        return cls(run, derive_findings(run, made), made, objects, config)

    @cached_property
    def by_id(self) -> dict[str, Finding]:
        return {finding.id: finding for finding in self.findings.findings}

    @cached_property
    def said(self) -> dict[str, Said]:
        """Cell's id → its findings in their order; only cells that have any."""
        found: dict[str, Said] = {}
        owners: dict[str, list[str]] = {}
        for finding in self.findings.findings:
            for cell in finding.cells:
                found.setdefault(cell, {})[finding.id] = []
            for key in finding.diagnostics:
                owners.setdefault(key, []).append(finding.id)
        for row in self.run.cells:
            for ref in row.diagnostics if row.id in found else ():
                for owner in owners.get(ref.key, ()):
                    if owner in found[row.id] and _of(ref, self.by_id[owner]):
                        found[row.id][owner].append(ref)
        return found

    def is_error(self, cell: str, finding: str) -> bool:
        """Whether this cell shows this finding as an error."""
        known = self.run.diagnostics
        refs = self.said.get(cell, {}).get(finding, ())
        return any(known[ref.key].severity == "error" for ref in refs)


def _of(ref: DiagnosticRef, finding: Finding) -> bool:
    """One diagnostic can come up in several objects, and so belong to several findings."""
    return ref.object is None or not finding.objects or ref.object in finding.objects


class Pair(NamedTuple):
    """A request's cell on both sides; None where that side's plan has no such cell."""

    before: Cell | None
    after: Cell | None

    @property
    def cell(self) -> Cell:
        """The after side's, where it has one."""
        cell = self.after or self.before
        assert cell is not None, "one of the plans has it"
        return cell


def point(cell: Cell) -> Point:
    """What was asked for. Runs are compared by this, never by ids."""
    return (cell.arch, cell.toolchain, cell.base, tuple(sorted(cell.request.items())))


def pairs(before: Run, after: Run) -> tuple[Pair, ...]:
    """The cells of both plans: those of the before-side in its order, then those that only the other has.

    RequestError when no cell is in both.
    """
    there = {point(cell): cell for cell in after.cells}
    here = {point(cell) for cell in before.cells}
    found = [Pair(cell, there.get(point(cell))) for cell in before.cells]
    if not any(pair.after for pair in found):
        raise _nothing_common(before, after)
    return (*found, *(Pair(None, cell) for cell in after.cells if point(cell) not in here))


def _nothing_common(before: Run, after: Run) -> RequestError:
    return RequestError(
        f"the runs {before.id} and {after.id} have no cell in common{_apart(before, after)}",
        "compare runs whose profiles share axes and values",
    )


def _apart(before: Run, after: Run) -> str:
    """``: toolchain is gcc-13 there, gcc-14 here``: the first thing that keeps all cells apart."""
    symbols = [{name for cell in run.cells for name in cell.request} for run in (before, after)]
    if symbols[0] != symbols[1]:
        return f": the symbols are {_listed(symbols[0])} there, {_listed(symbols[1])} here"
    for axis in (*_AXES, *sorted(symbols[0])):
        there, here = (_values(run, axis) for run in (before, after))
        if not there & here:
            return f": {axis} is {_listed(there)} there, {_listed(here)} here"
    return ""


def _values(run: Run, axis: str) -> set[str]:
    return {getattr(cell, axis) if axis in _AXES else cell.request.get(axis, "") for cell in run.cells}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def tried(cell: Cell, stages: Iterable[str]) -> bool:
    """Whether all of these stages were gone through in this cell, well or not."""
    return set(stages) <= {stage.name for stage in cell.stages if stage.state in _TRIED}
