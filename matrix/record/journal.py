"""A run's directory while it is being written.

``run.json`` is written before anything is built, every finished cell is appended to ``cells.jsonl`` and
synced, and ``run.json`` is written again from all of it at the end, however the end came.
"""

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.record.files import no_space, write_whole
from matrix.record.model import Cell, Run

RUN, JOURNAL = "run.json", "cells.jsonl"


def new_run_id(profile: str, now: datetime) -> str:
    """``20261122-093015-kvm-vfio``: sorts by time, and says what it was."""
    return f"{now:%Y%m%d-%H%M%S}-{profile}"


def claim(directory: Path) -> None:
    """Make the run's directory ours. RequestError when something is in it already."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise RequestError(
                f"--out {directory} is in use: it is not empty", "name a directory that does not exist yet"
            )
        # Two runs may see the same empty directory: only one can make the journal.
        (directory / JOURNAL).touch(exist_ok=False)
    except FileExistsError as error:
        raise RequestError(
            f"--out {directory} is in use", "name a directory that does not exist yet"
        ) from error
    except NotADirectoryError as error:
        raise RequestError(f"--out {directory} is no directory") from error
    except PermissionError as error:
        raise RequestError(f"--out {directory} cannot be written: {error.strerror}") from error


class Journal:
    """Collects outcomes and keeps them on disk. Safe to use from every lane's thread."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.directory = directory
        self._run = run
        self._cells = {cell.id: cell for cell in run.cells}
        self._diagnostics: dict[str, Diagnostic] = dict(run.diagnostics)
        self._lock = threading.Lock()
        self._write()
        self._file = (directory / JOURNAL).open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def finish(self, cell: Cell, diagnostics: Mapping[str, Diagnostic]) -> None:
        """Append one finished cell; on disk when this returns."""
        line = {
            "cell": cell.model_dump(mode="json"),
            "diagnostics": {key: item.model_dump(mode="json") for key, item in diagnostics.items()},
        }
        with self._lock, no_space(self.directory / JOURNAL):
            self._cells[cell.id] = cell
            self._diagnostics.update(diagnostics)
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def note(self, cell: Cell) -> None:
        """What is known of a cell before it is built; on disk with the next write."""
        with self._lock:
            self._cells[cell.id] = cell

    def keep_config(self, digest: str, text: str) -> None:
        """Store a .config under its digest, once."""
        place = self.directory / "configs" / digest
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            write_whole(place, text)

    def run(self) -> Run:
        """The run as it stands, cells in plan order."""
        with self._lock:
            cells = tuple(self._cells[cell.id] for cell in self._run.cells)
            return self._run.model_copy(
                update={"cells": cells, "diagnostics": dict(sorted(self._diagnostics.items()))}
            )

    def close(self, *, interrupted: bool) -> Run:
        """Write ``run.json`` for the last time."""
        self._run = self._run.model_copy(update={"finished": datetime.now(UTC), "interrupted": interrupted})
        return self._write()

    def _write(self) -> Run:
        run = self.run()
        write_whole(self.directory / RUN, run.model_dump_json(by_alias=True, indent=1) + "\n")
        return run


def point_latest(directory: Path) -> None:
    """``latest`` beside the run's directory points to it."""
    link = directory.parent / "latest"
    fresh = directory.parent / f".latest.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(directory.name)
    fresh.replace(link)
