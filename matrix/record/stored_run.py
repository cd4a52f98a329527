"""A run back from disk."""

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError, format_nearest
from matrix.record.journal import JOURNAL_FILE, RUN_FILE
from matrix.record.run_model import SCHEMA_VERSION, Cell, Run


def load_run(directory: Path) -> Run:
    """The run in this directory.

    One that was killed has its cells in the journal only: they are taken from there. RequestError when
    there is no run, or one that this version cannot read.
    """
    try:
        text = (directory / RUN_FILE).read_text("utf-8", "replace")
    except OSError as error:
        raise RequestError(f"{directory} holds no run: {error.strerror}", "./inv run makes one") from error
    try:
        schema = json.loads(text).get("schema")
        if schema != SCHEMA_VERSION:
            raise RequestError(
                f"{directory / RUN_FILE} has schema {schema}; this kmatrix reads schema {SCHEMA_VERSION}"
            )
        run = Run.model_validate_json(text)
    except (ValidationError, ValueError, AttributeError) as error:
        raise RequestError(f"{directory / RUN_FILE} is damaged: {error}") from error
    return run if run.finished else _complete_from_journal(directory, run)


def _complete_from_journal(directory: Path, run: Run) -> Run:
    cells = {cell.id: cell for cell in run.cells}
    diagnostics = dict(run.diagnostics)
    for line in _read_lines(directory / JOURNAL_FILE):
        try:
            entry = json.loads(line)
            cell = Cell.model_validate(entry["cell"])
            found = {key: Diagnostic.model_validate(item) for key, item in entry["diagnostics"].items()}
        except (ValidationError, json.JSONDecodeError, KeyError, TypeError):
            continue  # the line that was being written when the power went
        cells[cell.id] = cell
        diagnostics |= found
    return run.model_copy(update={"cells": tuple(cells.values()), "diagnostics": diagnostics})


def _read_lines(path: Path) -> list[str]:
    try:
        # A power failure can leave anything at the end.
        return path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def load_cell_objects(directory: Path, cell: Cell) -> frozenset[str]:
    """The objects known to belong to a cell's stages, relative to the build directory; none where the run
    kept no list."""
    if cell.objects_sha256 is None:
        return frozenset()
    return frozenset(_read_lines(directory / "objects" / cell.objects_sha256))


def load_cell_sources(directory: Path, cell: Cell) -> frozenset[str] | None:
    """The source files that a cell was made of, relative to the tree; None where nobody knows (any more)."""
    path = directory / "sources" / str(cell.sources_sha256)
    return frozenset(_read_lines(path)) if path.is_file() else None


def load_cell_config(directory: Path, cell: Cell) -> str:
    """The ``.config`` of a cell, out of its run's directory.

    RequestError when it has none (then it says what became of the cell), or when what is there is another.
    """
    if cell.config_sha256 is None:
        why = f"its log says why: {directory / cell.log}" if cell.log else "the run's report may say why"
        raise RequestError(f"{cell.id} has no configuration: {cell.reason or cell.state}", why)
    path = directory / "configs" / cell.config_sha256
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}", "./inv run makes another") from error
    if hashlib.sha256(content).hexdigest() != cell.config_sha256:
        raise RequestError(f"{path} is damaged: it is not what its name says", "./inv run makes another")
    return content.decode("utf-8", "replace")


def find_cell(run: Run, name: str) -> Cell:
    """The cell of this id. RequestError, with the nearest one, when the run has none."""
    cells = {cell.id: cell for cell in run.cells}
    if name not in cells:
        raise RequestError(
            f"the run {run.id} has no cell {name!r}{format_nearest(name, cells)}",
            "its report names the cells",
        )
    return cells[name]


def find_run_directory(spec: str, runs: Path) -> Path:
    """The directory of a run: a path, or the name of one under ``runs`` (``latest`` among them)."""
    for candidate in (Path(spec), runs / spec):
        if (candidate / RUN_FILE).is_file():
            return candidate.resolve()
    raise RequestError(f"there is no run {spec!r} (looked in {runs})", "./inv run makes one")
