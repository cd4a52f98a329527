"""A run on disk with its findings, derived from what it recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from matrix.errors import RequestError, format_nearest
from matrix.findings.derive import derive_absences, derive_findings
from matrix.findings.evidence import CellSet, MadeObjects, find_made_objects
from matrix.findings.finding import Finding, Findings
from matrix.fs import write_atomically
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell, DiagnosticRef
from matrix.record.states import State
from matrix.shell_words import format_command

FINDINGS_FILE = "findings.json"
FindingRefs = dict[str, list[DiagnosticRef]]
"""Finding's id → where one cell shows it."""


@dataclass(frozen=True)
class StoredRun(RunDirectory):
    """A run with its directory and its findings. All but the record is read or derived when it is asked for,
    once."""

    @cached_property
    def made_objects(self) -> MadeObjects:
        """Failing cell's id → what it made without an error."""
        return find_made_objects(self.run, self.load_objects)

    @cached_property
    def findings(self) -> Findings:
        """Its findings, derived by this version, whichever version recorded the run."""
        return derive_findings(self.run, self.made_objects)

    @cached_property
    def findings_by_id(self) -> dict[str, Finding]:
        return {finding.id: finding for finding in self.findings.findings}

    @cached_property
    def findings_by_cell(self) -> dict[str, FindingRefs]:
        """Cell's id → its findings in their order; only cells that have any."""
        by_cell: dict[str, FindingRefs] = {}
        owners: dict[str, list[str]] = {}
        for finding in self.findings.findings:
            for cell in finding.cells:
                by_cell.setdefault(cell, {})[finding.id] = []
            for key in (*finding.diagnostics, *finding.consequences):
                owners.setdefault(key, []).append(finding.id)
        for row in self.run.cells:
            for ref in row.proven_diagnostics if row.id in by_cell else ():
                for owner in owners.get(ref.key, ()):
                    if owner in by_cell[row.id] and _belongs_to_finding(ref, self.findings_by_id[owner]):
                        by_cell[row.id][owner].append(ref)
        return by_cell

    def iterate_absences(self) -> Iterator[tuple[str, CellSet]]:
        """(finding's id, the cells in which it was looked for and is absent), finding by finding."""
        return derive_absences(self.run, self.made_objects)

    def is_error(self, cell: str, finding: str) -> bool:
        """Whether this cell shows this finding as an error."""
        known = self.run.diagnostics
        refs = self.findings_by_cell.get(cell, {}).get(finding, ())
        return any(known[ref.key].severity == "error" for ref in refs)

    def list_affected_cells(self, finding: Finding) -> list[Cell]:
        """The cells that have a finding; failing ones first, in plan order: the first is the one to look
        at."""
        affected = [self.cells_by_id[name] for name in finding.cells if name in self.cells_by_id]
        return sorted(affected, key=lambda cell: cell.state is not State.FAIL)

    def find_unexplained_cells(self) -> list[Cell]:
        """Failing cells that no finding with an error names: they must not vanish."""
        named = {name for finding in self.findings.findings if finding.is_error for name in finding.cells}
        return [cell for cell in self.run.cells if cell.state is State.FAIL and cell.id not in named]

    def find_finding(self, name: str) -> Finding:
        """The finding of this id (``F1``, ``f1``) or with this key. RequestError when there is none."""
        for finding in self.findings.findings:
            if name.upper() == finding.id or name in finding.keys:
                return finding
        ids = list(self.findings_by_id)
        known = f"{ids[0]} to {ids[-1]}" if len(ids) > 1 else "".join(ids) or "none"
        raise RequestError(
            f"the run {self.run.id} has no finding {name!r} (it has {known})",
            f"{format_command('./inv', 'explain', '--run', self.name)} shows them",
        )

    def select_finding(self, name: str) -> Finding:
        """The finding of this name; without a name, the only one that there is."""
        if name:
            return self.find_finding(name)
        if not self.findings.findings:
            raise RequestError(
                f"the run {self.run.id} has no finding to take (it has none)", "its report says what it tried"
            )
        if len(self.findings.findings) > 1:
            raise RequestError(
                f"the run {self.run.id} has {len(self.findings.findings)} findings", "name one: --finding F1"
            )
        return self.findings.findings[0]

    def write_findings(self) -> None:
        """Write ``findings.json`` into the run's directory. DiskFullError when there is no space for it."""
        text = self.findings.model_dump_json(by_alias=True, indent=1) + "\n"
        write_atomically(self.directory / FINDINGS_FILE, text)


def _belongs_to_finding(ref: DiagnosticRef, finding: Finding) -> bool:
    """One diagnostic can come up in several objects, and so belong to several findings."""
    return ref.object is None or not finding.objects or ref.object in finding.objects


def filter_cells_by_toolchain(finding: Finding, cells: Sequence[Cell], toolchain: str) -> list[Cell]:
    """Those of a finding's cells that have this toolchain; all without a name. RequestError when none has."""
    fitting = [cell for cell in cells if toolchain in ("", cell.toolchain)]
    if not fitting:
        known = tuple(dict.fromkeys(cell.toolchain for cell in cells))
        raise RequestError(
            f"{finding.id} was not seen with {toolchain}{format_nearest(toolchain, known)}",
            f"it was with {', '.join(known)}",
        )
    return fitting
