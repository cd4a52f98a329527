"""A run on the tree before a change, and what can be taken over from it without building."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matrix.build.row import CellLog, CellResult
from matrix.build.unaffected import CellInputs, explain_unaffected, read_recorded_inputs
from matrix.errors import MachineError
from matrix.record.load import load_cell_objects, load_cell_sources
from matrix.record.model import Cell, Run
from matrix.record.outcome import Evidence
from matrix.source.cache import SourceCache
from matrix.source.manifest import ManifestDiff, compare_manifests
from matrix.source.tree import SourceTree

_CellAxes = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class ReusableRun:
    """A run, its directory, and what differs between its tree and the one that is built now."""

    run: Run
    directory: Path
    change: ManifestDiff

    def reuse_cell(self, cell: Cell, given: CellInputs, log: CellLog) -> CellResult | None:
        """The cell with all that was found in it before, where nothing that changed reaches it.

        Its log is copied. None when make has to be asked: `matrix.build.unaffected` has the rules.
        """
        row = self._cells_by_axes.get(_read_cell_axes(cell))
        if row is None or row.evidence is None or read_recorded_inputs(self.run, row) != given:
            return None
        sources = load_cell_sources(self.directory, row)
        reason = explain_unaffected(row.state, self.change, sources)
        if reason is None:
            return None
        update = {name: getattr(row, name) for name in ("state", "stages", "diagnostics")}
        update |= {"evidence": Evidence.UNAFFECTED, "evidence_from": self._find_origin(row), "reason": reason}
        update |= {"log": self._copy_log(row, log)}
        said = {ref.key: self.run.diagnostics[ref.key] for ref in row.diagnostics}
        objects = load_cell_objects(self.directory, row)
        return CellResult(cell.model_copy(update=update), said, objects, sources or frozenset())

    @cached_property
    def _cells_by_axes(self) -> dict[_CellAxes, Cell]:
        return {_read_cell_axes(cell): cell for cell in self.run.cells}

    def _find_origin(self, row: Cell) -> str:
        """Where it was built: a run that took it over itself says where from."""
        if row.evidence is Evidence.UNAFFECTED and row.evidence_from:
            return row.evidence_from
        return f"{self.run.id}/{row.id}"

    def _copy_log(self, row: Cell, log: CellLog) -> str | None:
        kept = self.directory / str(row.log)
        if row.log is None or not kept.is_file():
            return None
        log.write_lines(kept.read_text("utf-8", "replace").removesuffix("\n").split("\n"))
        return log.name


def load_reusable_run(run: Run, directory: Path, tree: SourceTree, cache: SourceCache) -> ReusableRun | None:
    """What a run can say about ``tree``; None when the tree that it was made on is not in the cache."""
    try:
        change = compare_manifests(cache.load_manifest(run.source.digest), cache.load_manifest(tree.digest))
    except MachineError:
        return None
    return ReusableRun(run, directory, change)


def _read_cell_axes(cell: Cell) -> _CellAxes:
    return cell.arch, cell.toolchain, cell.base, tuple(sorted(cell.request.items()))
