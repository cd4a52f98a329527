"""What visits of a run sent back, into its own journal and directory."""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.builder.cell_record import CellResult, create_blank_cell, fail_cell
from matrix.builder.run_context import RunContext
from matrix.cluster.visits import VisitResult
from matrix.errors import MachineError
from matrix.fs import create_private_directory, replace_file, translate_disk_full
from matrix.plan import Request
from matrix.record.events import CellFinished
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.shards.lane_split import PlannedCell

_LOG = "build.log"


@dataclass(frozen=True)
class ReadVisit:
    """A visit's result as values. ``elapsed``: the seconds that the run had been at work when it began;
    ``worker``: the address of who sent it."""

    run: Run
    cells: tuple[Cell, ...]
    order: tuple[PlannedCell, ...]
    files: Mapping[str, bytes]
    log_sizes: Mapping[str, int]
    elapsed: float
    worker: str

    def read_file(self, name: str) -> bytes:
        """The content of a file that a cell names. MachineError where it did not come."""
        packed = self.files.get(name)
        if packed is None:
            raise MachineError(f"a worker sent no {name}", "run again, with --resume")
        return zlib.decompress(packed)


class VisitReader:
    """Records cells that workers resolved or built. One thread uses it."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._journal = context.journal
        self._requests: dict[str, Request] = {
            request.id: request for lane in context.lanes for request in lane.requests
        }
        self._planned: dict[str, Cell] = {}
        self._configure_sizes: dict[str, int] = {}

    def read(self, result: VisitResult, ids: Sequence[str], elapsed: float, worker: str) -> ReadVisit:
        """The values of a result. Only the cells that were ordered are taken from it."""
        run = Run.model_validate_json(zlib.decompress(result.run))
        wanted = set(ids)
        cells = tuple(self._adopt_cell(cell, elapsed) for cell in run.cells if cell.id in wanted)
        order = tuple(PlannedCell.model_validate(cell) for cell in json.loads(result.order))
        waiting = {cell.id for cell in cells if cell.is_reachable}
        kept = tuple(cell for cell in order if cell.id in waiting)
        return ReadVisit(run, cells, kept, result.files, result.log_sizes, elapsed, worker)

    def _adopt_cell(self, cell: Cell, elapsed: float) -> Cell:
        """A visit's cell as one of the whole run."""
        update: dict[str, object] = {}
        if cell.is_reachable:
            update |= {"evidence": None, "evidence_from": None}
        if cell.at_work:
            update["at_work"] = tuple(round(moment + elapsed, 1) for moment in cell.at_work)
        return cell.model_copy(update=update) if update else cell

    def record(self, visit: ReadVisit, cell: Cell) -> None:
        """Record a cell with its files: what is long lies beside the journal, by digest."""
        self._store_files(visit, cell)
        logged = self._store_log(visit, cell)
        if cell.is_reachable:
            self._planned[cell.id] = cell
            self._journal.record_planned_cell(cell, self._configure_sizes.get(cell.id, 0))
            return
        if cell.state is State.FAIL:
            self._context.cell_failed.set()
        diagnostics = {ref.key: visit.run.diagnostics[ref.key] for ref in cell.diagnostics}
        self._finish(CellResult(logged.model_copy(update={"worker": visit.worker}), diagnostics))

    def _finish(self, result: CellResult) -> None:
        # On disk before it is displayed, as everywhere.
        self._journal.record_finished_cell(result.cell, result.diagnostics)
        self._planned.pop(result.cell.id, None)
        self._context.emit(CellFinished(result.cell, result.first_error))

    def _store_files(self, visit: ReadVisit, cell: Cell) -> None:
        digest = cell.config_sha256
        if digest is not None and f"configs/{digest}" in visit.files:
            self._store_config(visit, digest)
        for folder, name in (("objects", cell.objects_sha256), ("sources", cell.sources_sha256)):
            if name is not None and f"{folder}/{name}" in visit.files:
                self._store_names(visit, folder, name)
        self._store_cell_files(visit, cell)

    def _store_config(self, visit: ReadVisit, digest: str) -> None:
        content = visit.read_file(f"configs/{digest}")
        _check_digest(content, digest)
        self._journal.store_config(digest, content.decode())

    def _store_names(self, visit: ReadVisit, folder: str, digest: str) -> None:
        content = visit.read_file(f"{folder}/{digest}")
        _check_digest(content, digest)
        store = self._journal.store_objects if folder == "objects" else self._journal.store_sources
        store(content.decode().splitlines())

    def _store_cell_files(self, visit: ReadVisit, cell: Cell) -> None:
        """Write what lies in a cell's own directory, its log apart."""
        folder = f"cells/{self._requests[cell.id].directory}"
        for name in visit.files:
            if Path(name).parent.as_posix() == folder and name != f"{folder}/{_LOG}":
                _write_file(self._journal.directory / name, visit.read_file(name))

    def _store_log(self, visit: ReadVisit, cell: Cell) -> Cell:
        """Write a cell's log, and return the cell with its name. What its configure step had logged when it
        was resolved stays, and is not there a second time from a worker that had to resolve it again."""
        name = f"cells/{self._requests[cell.id].directory}/{_LOG}"
        path = self._journal.directory / name
        made = visit.read_file(name) if name in visit.files else b""
        is_built = cell.id in self._planned
        if not is_built:
            made = made or self._read_begin(path, self._context.finished.configure_sizes.get(cell.id, 0))
            self._configure_sizes[cell.id] = len(made)
        else:
            begin = self._read_begin(path, self._configure_sizes[cell.id])
            made = begin + made[visit.log_sizes.get(cell.id, 0) :]
        if made:
            _write_file(path, made)
        else:
            path.unlink(missing_ok=True)
        return cell.model_copy(update={"log": name}) if made and is_built and not cell.log else cell

    def _read_begin(self, path: Path, size: int) -> bytes:
        return path.read_bytes()[:size] if size else b""

    def record_not_run(self, name: str, reason: str) -> None:
        """Record why a cell was not started."""
        cell = self._find_cell(name).model_copy(update={"reason": reason})
        if name in self._planned:
            self._finish(CellResult(cell, {}))
        else:
            self._journal.record_planned_cell(cell, self._context.finished.configure_sizes.get(name, 0))

    def record_fault(self, name: str, reason: str) -> None:
        """Record a cell that no worker could try."""
        self._finish(fail_cell(self._find_cell(name), reason))

    def _find_cell(self, name: str) -> Cell:
        return self._planned.get(name) or create_blank_cell(self._requests[name])


def _check_digest(content: bytes, digest: str) -> None:
    if hashlib.sha256(content).hexdigest() != digest:
        raise MachineError(f"a worker sent {digest[:12]} with another content", "run again, with --resume")


def _write_file(path: Path, content: bytes) -> None:
    with translate_disk_full(path):
        create_private_directory(path.parent)
        replace_file(path, content)
