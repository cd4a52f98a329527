"""A run back from disk."""

import json
from pathlib import Path

from pydantic import ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.record.journal import JOURNAL, RUN
from matrix.record.model import SCHEMA, Cell, Run


def load_run(directory: Path) -> Run:
    """The run in this directory.

    One that was killed has its cells in the journal only: they are taken from there. RequestError when
    there is no run, or one that this version cannot read.
    """
    try:
        text = (directory / RUN).read_text("utf-8", "replace")
    except OSError as error:
        raise RequestError(f"{directory} holds no run: {error.strerror}", "./inv run makes one") from error
    try:
        schema = json.loads(text).get("schema")
        if schema != SCHEMA:
            raise RequestError(f"{directory / RUN} has schema {schema}; this kmatrix reads schema {SCHEMA}")
        run = Run.model_validate_json(text)
    except (ValidationError, ValueError, AttributeError) as error:
        raise RequestError(f"{directory / RUN} is damaged: {error}") from error
    return run if run.finished else _from_journal(directory, run)


def _from_journal(directory: Path, run: Run) -> Run:
    cells = {cell.id: cell for cell in run.cells}
    diagnostics = dict(run.diagnostics)
    for line in _lines(directory / JOURNAL):
        try:
            entry = json.loads(line)
            cell = Cell.model_validate(entry["cell"])
            found = {key: Diagnostic.model_validate(item) for key, item in entry["diagnostics"].items()}
        except (ValidationError, json.JSONDecodeError, KeyError, TypeError):
            continue  # the line that was being written when the power went
        cells[cell.id] = cell
        diagnostics |= found
    return run.model_copy(update={"cells": tuple(cells.values()), "diagnostics": diagnostics})


def _lines(path: Path) -> list[str]:
    try:
        # A power failure can leave anything at the end.
        return path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def objects_of(directory: Path, cell: Cell) -> frozenset[str]:
    """The objects known to belong to a cell's stages, relative to the build directory; none where the run
    kept no list."""
    if cell.objects_sha256 is None:
        return frozenset()
    return frozenset(_lines(directory / "objects" / cell.objects_sha256))


def config_of(directory: Path, cell: Cell) -> str | None:
    """A cell's whole .config, or None where the run does not have it (any more)."""
    path = directory / "configs" / str(cell.config_sha256)
    return path.read_text("utf-8", "replace") if path.is_file() else None


def find_run(spec: str, runs: Path) -> Path:
    """The directory of a run: a path, or the name of one under ``runs`` (``latest`` among them)."""
    for candidate in (Path(spec), runs / spec):
        if (candidate / RUN).is_file():
            return candidate.resolve()
    raise RequestError(f"there is no run {spec!r} (looked in {runs})", "./inv run makes one")
