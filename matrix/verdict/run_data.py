"""The two sides of a verdict: what each run has, and which of its cells face each other."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.findings.derive import derive_findings
from matrix.findings.evidence import MadeObjects, find_made_objects
from matrix.findings.finding import Finding, Findings
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import ANSWERED_STATES

CellKey = tuple[str, str, str, tuple[tuple[str, str], ...]]
FindingRefs = dict[str, list[DiagnosticRef]]
"""Finding's id → where one cell shows it."""

_FIELD_AXES = ("arch", "toolchain", "base")


@dataclass(frozen=True)
class RunData:
    """A run with everything that a verdict asks of it.

    ``made`` is what its failing cells made all the same, ``objects`` what is known to belong to a cell (empty
    where no list was kept), ``config`` what it resolved to (None where that is not kept).
    """

    run: Run
    findings: Findings
    made_objects: MadeObjects
    load_objects: Callable[[Cell], frozenset[str]]
    load_config: Callable[[Cell], Config | None]

    @classmethod
    def from_run(
        cls,
        run: Run,
        objects: Callable[[Cell], frozenset[str]],
        config: Callable[[Cell], Config | None],
    ) -> "RunData":
        """A run with its findings, derived anew: both sides are then read by the same kmatrix."""
        made = find_made_objects(run, objects)
        return cls(run, derive_findings(run, made), made, objects, config)

    @cached_property
    def findings_by_id(self) -> dict[str, Finding]:
        return {finding.id: finding for finding in self.findings.findings}

    @cached_property
    def findings_by_cell(self) -> dict[str, FindingRefs]:
        """Cell's id → its findings in their order; only cells that have any."""
        found: dict[str, FindingRefs] = {}
        owners: dict[str, list[str]] = {}
        for finding in self.findings.findings:
            for cell in finding.cells:
                found.setdefault(cell, {})[finding.id] = []
            for key in finding.diagnostics:
                owners.setdefault(key, []).append(finding.id)
        for row in self.run.cells:
            for ref in row.diagnostics if row.id in found else ():
                for owner in owners.get(ref.key, ()):
                    if owner in found[row.id] and _belongs_to_finding(ref, self.findings_by_id[owner]):
                        found[row.id][owner].append(ref)
        return found

    def is_error(self, cell: str, finding: str) -> bool:
        """Whether this cell shows this finding as an error."""
        known = self.run.diagnostics
        refs = self.findings_by_cell.get(cell, {}).get(finding, ())
        return any(known[ref.key].severity == "error" for ref in refs)


def _belongs_to_finding(ref: DiagnosticRef, finding: Finding) -> bool:
    """One diagnostic can come up in several objects, and so belong to several findings."""
    return ref.object is None or not finding.objects or ref.object in finding.objects


class CellPair(NamedTuple):
    """A request's cell on both sides; None where that side's plan has no such cell."""

    before: Cell | None
    after: Cell | None

    @property
    def cell(self) -> Cell:
        """The after side's, where it has one."""
        cell = self.after or self.before
        assert cell is not None, "one of the plans has it"
        return cell


def cell_key(cell: Cell) -> CellKey:
    """What was asked for. Runs are compared by this, never by ids."""
    return (cell.arch, cell.toolchain, cell.base, tuple(sorted(cell.request.items())))


def pair_cells(before: Run, after: Run) -> tuple[CellPair, ...]:
    """The cells of both plans: those of the before-side in its order, then those that only the other has.

    RequestError when no cell is in both.
    """
    there = {cell_key(cell): cell for cell in after.cells}
    here = {cell_key(cell) for cell in before.cells}
    found = [CellPair(cell, there.get(cell_key(cell))) for cell in before.cells]
    if not any(pair.after for pair in found):
        raise _build_disjoint_error(before, after)
    return (*found, *(CellPair(None, cell) for cell in after.cells if cell_key(cell) not in here))


def _build_disjoint_error(before: Run, after: Run) -> RequestError:
    return RequestError(
        f"the runs {before.id} and {after.id} have no cell in common{_explain_disjoint_runs(before, after)}",
        "compare runs whose profiles share axes and values",
    )


def _explain_disjoint_runs(before: Run, after: Run) -> str:
    """``: toolchain is gcc-13 there, gcc-14 here``: the first thing that keeps all cells apart."""
    symbols = [{name for cell in run.cells for name in cell.request} for run in (before, after)]
    if symbols[0] != symbols[1]:
        return f": the symbols are {_format_names(symbols[0])} there, {_format_names(symbols[1])} here"
    for axis in (*_FIELD_AXES, *sorted(symbols[0])):
        there, here = (_list_axis_values(run, axis) for run in (before, after))
        if not there & here:
            return f": {axis} is {_format_names(there)} there, {_format_names(here)} here"
    return ""


def _list_axis_values(run: Run, axis: str) -> set[str]:
    return {getattr(cell, axis) if axis in _FIELD_AXES else cell.request.get(axis, "") for cell in run.cells}


def _format_names(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def has_run_stages(cell: Cell, stages: Iterable[str]) -> bool:
    """Whether all of these stages were gone through in this cell, well or not."""
    return set(stages) <= {stage.name for stage in cell.stages if stage.state in ANSWERED_STATES}


MatchedIds = dict[str, tuple[str, ...]]
"""Finding's id on one side → the ids of those that it meets on the other."""


@dataclass(frozen=True)
class FindingMatches:
    """Two sides, and what meets what."""

    before: RunData
    after: RunData

    @cached_property
    def after_ids(self) -> MatchedIds:
        return dict(_match_findings(self.before, self.after))

    @cached_property
    def before_ids(self) -> MatchedIds:
        return dict(_match_findings(self.after, self.before))

    def has_same_findings(self, before: str, after: str) -> bool:
        """Whether two cells, by their ids, show the same problems."""
        here, there = self.before.findings_by_cell.get(before, {}), self.after.findings_by_cell.get(after, {})
        return _all_have_match(here.keys(), there.keys(), self.after_ids) and _all_have_match(
            there.keys(), here.keys(), self.before_ids
        )


def _all_have_match(ids: Set[str], others: Set[str], met: MatchedIds) -> bool:
    return all(any(other in others for other in met[name]) for name in ids)


def _match_findings(side: RunData, other: RunData) -> Iterator[tuple[str, tuple[str, ...]]]:
    owners: dict[str, list[str]] = {}
    order = {name: place for place, name in enumerate(other.findings_by_id)}
    for finding in other.findings.findings:
        for key in finding.keys:
            owners.setdefault(key, []).append(finding.id)
    for finding in side.findings.findings:
        found = dict.fromkeys(name for key in finding.keys for name in owners.get(key, ()))
        yield finding.id, tuple(sorted(found, key=order.__getitem__))
