"""A run as it is kept on disk: its record, and the files beside it."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError, format_nearest
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kconfig.config import Config
from matrix.record.journal import JOURNAL_FILE, RUN_FILE
from matrix.record.run_model import SCHEMA_VERSION, Cell, Run
from matrix.user_files import expand_user_path, stat_user_path

# Enough for the last lines that a report shows; a log may have hundreds of megabytes.
_TAIL_BYTES = 256 * 1024
# A run of ten thousand cells has some fifty million.
_MAX_RECORD_BYTES = 1 << 29


def load_run(directory: Path) -> Run:
    """The run in this directory.

    A run that was killed has its cells in the journal only: they are taken from there. RequestError when
    there is no run, or when this version cannot read it.
    """
    text = _read_record(directory, RUN_FILE)
    if text is None:
        raise RequestError(f"{directory} holds no run: it has no {RUN_FILE}", "./inv run makes one")
    try:
        schema = json.loads(text).get("schema")
        if schema != SCHEMA_VERSION:
            raise RequestError(
                f"{directory / RUN_FILE} has schema {schema}; this kmatrix reads schema {SCHEMA_VERSION}"
            )
        run = Run.model_validate_json(text)
    except (ValueError, AttributeError, RecursionError) as error:
        raise RequestError(f"{directory / RUN_FILE} is damaged: {error}") from error
    run = run if run.finished else _complete_from_journal(directory, run)
    _check_references(run, directory / RUN_FILE)
    return run


def _read_record(directory: Path, name: str) -> str | None:
    """A file of the record. A run may be a stranger's: RequestError where it is no file, or endless."""
    try:
        return ForeignDirectory(directory).read_text(name, _MAX_RECORD_BYTES)
    except ForeignFileError as error:
        raise RequestError(f"{directory} holds no run: {error}", "./inv run makes one") from error


def _complete_from_journal(directory: Path, run: Run) -> Run:
    cells = {cell.id: cell for cell in run.cells}
    diagnostics = dict(run.diagnostics)
    # A power failure can leave anything at the end.
    for line in (_read_record(directory, JOURNAL_FILE) or "").splitlines():
        try:
            entry = json.loads(line)
            cell = Cell.model_validate(entry["cell"])
            cell_diagnostics = {
                key: Diagnostic.model_validate(item) for key, item in entry["diagnostics"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the line that was being written when the machine stopped
        cells[cell.id] = cell
        diagnostics |= cell_diagnostics
    return run.model_copy(update={"cells": tuple(cells.values()), "diagnostics": diagnostics})


def _check_references(run: Run, file: Path) -> None:
    """RequestError where a cell names what the record does not have."""
    for cell in run.cells:
        missing = [ref.key for ref in cell.diagnostics if ref.key not in run.diagnostics]
        if missing:
            raise RequestError(f"{file} is damaged: {cell.id!r} names a diagnostic that it does not have")


@dataclass(frozen=True)
class RunDirectory:
    """A run with the directory that it is kept in. Its files are read when they are needed."""

    run: Run
    directory: Path

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The run in this directory. RequestError as `load_run` has it."""
        return cls(load_run(directory), directory)

    @cached_property
    def cells_by_id(self) -> dict[str, Cell]:
        return {cell.id: cell for cell in self.run.cells}

    @property
    def name(self) -> str:
        """What ``--run`` takes: the run's id where its directory is called so, else the directory."""
        return self.run.id if self.directory.name == self.run.id else str(self.directory)

    def find_cell(self, name: str) -> Cell:
        """The cell of this id. RequestError, with the nearest one, when the run has none."""
        if name not in self.cells_by_id:
            raise RequestError(
                f"the run {self.run.id} has no cell {name!r}{format_nearest(name, self.cells_by_id)}",
                "its report names the cells",
            )
        return self.cells_by_id[name]

    def find_file(self, name: str) -> Path | None:
        """A recorded file of the run, or None when it is missing or the name leads out of the run."""
        try:
            path = (self.directory / name).resolve()
            return path if path.is_relative_to(self.directory.resolve()) and path.is_file() else None
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, links that lead to each other
            return None

    def load_objects(self, cell: Cell) -> frozenset[str]:
        """The objects known to belong to a cell's stages, relative to the build directory; none where the
        run kept no list."""
        if cell.objects_sha256 is None:
            return frozenset()
        return frozenset(self._read_list(f"objects/{cell.objects_sha256}") or ())

    def load_sources(self, cell: Cell) -> frozenset[str] | None:
        """The source files that a cell was made of, relative to the tree; None where no list is kept."""
        lines = self._read_list(f"sources/{cell.sources_sha256}")
        return None if lines is None else frozenset(lines)

    def _read_list(self, name: str) -> list[str] | None:
        """The lines of a kept list; None where there is none that can be read."""
        try:
            text = ForeignDirectory(self.directory).read_text(name)
        except ForeignFileError:
            return None
        return None if text is None else text.splitlines()

    def load_config(self, cell: Cell) -> str:
        """The text of a cell's ``.config``.

        RequestError when it has none (the message has the cell's reason), or when the file is damaged.
        """
        if cell.config_sha256 is None:
            log = self.directory / cell.log if cell.log else None
            why = f"its log says why: {log}" if log else "the run's report may say why"
            raise RequestError(f"{cell.id} has no configuration: {cell.reason or cell.state}", why)
        path = self.directory / "configs" / cell.config_sha256
        try:
            content = ForeignDirectory(self.directory).read_bytes(f"configs/{cell.config_sha256}")
        except ForeignFileError as error:
            raise RequestError(f"{self.directory}: {error}", "./inv run makes another") from error
        if content is None:
            raise RequestError(f"{path} cannot be read: it is gone", "./inv run makes another")
        if hashlib.sha256(content).hexdigest() != cell.config_sha256:
            raise RequestError(f"{path} is damaged: it is not what its name says", "./inv run makes another")
        return content.decode("utf-8", "replace")

    def find_config(self, cell: Cell) -> Config | None:
        """A cell's ``.config`` as a value; None where it is not kept, or cannot be read."""
        try:
            return Config.parse(self.load_config(cell))
        except RequestError:
            return None

    def read_log_tail(self, cell: Cell, lines: int) -> tuple[str, ...]:
        """The last lines of a cell's log, as the tools wrote them; none when there is no log."""
        path = self.find_file(cell.log) if cell.log else None
        if path is None:
            return ()
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return tuple(text.rstrip("\n").split("\n")[-lines:])


def find_run_directory(spec: str, runs: Path) -> Path:
    """The directory of a run: a path, or the name of one under ``runs`` (``latest`` among them)."""
    for candidate in (expand_user_path(spec), runs / spec):
        if stat_user_path(candidate / RUN_FILE, f"the run {spec}"):
            return candidate.resolve()
    raise RequestError(f"there is no run {spec!r} (looked in {runs})", "./inv run makes one")
