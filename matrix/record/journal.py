"""A run's directory while it is being written.

``run.json`` is written before anything is built. Every finished cell is appended to ``cells.jsonl`` and
synced. At the end, also of an interrupted run, ``run.json`` is written again from all of it.

A run may have a hundred thousand cells: they are kept as packed text, of which a cell takes a twentieth, and
written one after another.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import MachineError, RequestError
from matrix.fs import (
    create_private_directory,
    find_existing_path,
    sync_directory,
    translate_disk_full,
    translate_write_errors,
    write_atomically,
)
from matrix.interrupts import defer_interrupts
from matrix.record.run_model import Cell, Run
from matrix.record.states import State

RUN_FILE, JOURNAL_FILE = "run.json", "cells.jsonl"
_SYNC_INTERVAL = 1.0
"""Seconds between two syncs of the journal. A cell that is built takes longer; those that are known already
may come by the thousand, and can be had again should the machine break down."""
_LOCK_PATIENCE = 0.5
"""Seconds. Who only asks whether a run is at work holds its lock for a moment."""
_NO_CELLS = '\n "cells": []'
"""The cells of a run that has none, in its JSON."""
# Containers are named after the run, and an engine takes no other characters.
_NOT_ALLOWED_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def sanitize_container_name(text: str) -> str:
    """The text without characters that a container's name may not have."""
    return _NOT_ALLOWED_IN_NAME.sub("-", text)[:80].strip("-") or "run"


def generate_run_id(profile: str, now: datetime) -> str:
    """``20261122-093015-kvm-vfio``: ids sort by time, and end with the profile."""
    return sanitize_container_name(f"{now:%Y%m%d-%H%M%S}-{profile}")


def create_run_directory(runs: Path, name: str) -> Path:
    """Create ``runs/NAME``, or ``NAME.2``, ``NAME.3`` …, the first that nobody has. RequestError where no
    directory can be made.

    Runs that start in the same second have the same name: that one exists, or not, decides who gets it.
    """
    try:
        with translate_disk_full(runs):
            create_private_directory(runs)
            return next(
                directory
                for number in count(1)
                if _try_create(directory := runs / (name if number == 1 else f"{name}.{number}"))
            )
    except OSError as error:
        raise RequestError(
            f"no run can be kept in {runs}: {error.strerror}", "name another directory: --out DIR"
        ) from error


def _try_create(directory: Path) -> bool:
    """Create a directory; False when there is something of that name."""
    try:
        # Logs and configurations are the user's own; whoever else is to read them can be let in.
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return False
    sync_directory(directory.parent)
    return True


def check_directory_unused(directory: Path) -> None:
    """RequestError when something is in the directory already, or it can be neither made nor read."""
    try:
        used = directory.exists() and any(directory.iterdir())
        _check_parent_writable(directory)
    except OSError as error:
        raise _error_from_unwritable(directory, error) from error
    if used:
        raise RequestError(
            f"--out {directory} is in use: it is not empty", "name a directory that does not exist yet"
        )


def _check_parent_writable(directory: Path) -> None:
    """OSError where the directory, or the first of its parents that exists, may not be written."""
    if directory.is_symlink() and not directory.exists():
        raise FileExistsError(errno.EEXIST, "it is a link to nothing")
    existing = find_existing_path(directory)
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def claim_run_directory(directory: Path) -> None:
    """Create the run's directory and its journal. RequestError when something is in it already."""
    check_directory_unused(directory)
    try:
        with translate_disk_full(directory):
            create_private_directory(directory)
            # Two runs may find the same directory empty: only one can make the journal.
            (directory / JOURNAL_FILE).touch(exist_ok=False)
            sync_directory(directory)
    except FileExistsError as error:
        raise RequestError(
            f"--out {directory} is in use", "name a directory that does not exist yet"
        ) from error
    except OSError as error:
        raise _error_from_unwritable(directory, error) from error


def _error_from_unwritable(directory: Path, error: OSError) -> RequestError:
    message = f"--out {directory} cannot be written: {error.strerror}"
    return RequestError(message, "name a place that you may write")


def open_journal(directory: Path) -> TextIO:
    """Open a run's journal to append to it. Its lock, which nobody else gets until it is closed, says that
    the run is being written.

    RequestError where another process has the lock. MachineError where it cannot be opened.
    """
    path = directory / JOURNAL_FILE
    with translate_write_errors(path), ExitStack() as on_error:
        file = on_error.enter_context(path.open("a", encoding="utf-8"))
        if not _try_lock(file):
            raise RequestError(
                f"another kmatrix is writing the run in {directory}", "wait until it ends, or stop it"
            )
        if not _ends_with_newline(path):
            # The line that was being written when the process or the machine stopped: alone it is skipped,
            # and with the next one behind it that would be lost as well.
            file.write("\n")
            file.flush()
        on_error.pop_all()
        return file


def withdraw_cells(file: TextIO, cells: Iterable[Cell]) -> None:
    """Append to a journal that what it has of these cells counts no more: they are what they are here.

    It is on disk when this returns.
    """
    with translate_write_errors(Path(file.name)):
        # An older kmatrix reads cells that are only planned, which replace no result.
        file.writelines(
            f'{{"cell":{_format_line(cell)},"diagnostics":{{}},"withdrawn":true}}\n' for cell in cells
        )
        file.flush()
        os.fsync(file.fileno())


def _try_lock(file: TextIO) -> bool:
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


class Journal:
    """Collects outcomes and keeps them on disk. Lanes may use it from their threads at once.

    Cells that have a result in ``run`` keep it until another is recorded. ``file`` is the journal's file
    where it is open already: see `open_journal`.
    """

    def __init__(self, directory: Path, run: Run, file: TextIO | None = None) -> None:
        self.directory = directory
        self._path = directory / JOURNAL_FILE
        # Locked before anything is written: nobody can take the run for a dead one.
        self._file = file or open_journal(directory)
        self._run = run
        self._recorded: dict[str, bytes] = {}
        self._typical_cell = b""
        self._finished = {cell.id for cell in run.cells if cell.state is not State.NOT_RUN}
        self._diagnostics: dict[str, Diagnostic] = dict(run.diagnostics)
        self._stored: set[str] = set()
        self._synced = float("-inf")
        self._lock = threading.Lock()
        with ExitStack() as on_error:
            on_error.callback(self._file.close)
            self._write_run()
            on_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Every line was flushed when it was written, and a full disk was an error then.
        with suppress(OSError):
            self._file.close()

    @property
    def run_id(self) -> str:
        return self._run.id

    def measure_elapsed(self) -> float:
        """The seconds that the run has been at work by now."""
        return self._run.measure_elapsed(datetime.now(UTC))

    def record_finished_cell(self, cell: Cell, diagnostics: Mapping[str, Diagnostic]) -> None:
        """Append one finished cell. It is on disk when this returns, unless the one before came in the same
        second: then with the next one, or with the system's next write of its caches."""
        with self._lock, translate_write_errors(self._path):
            text = self._append_cell(cell, diagnostics)
            self._recorded[cell.id] = self._pack(text)
            self._finished.add(cell.id)
            self._sync()

    def record_planned_cell(self, cell: Cell, log_size: int = 0) -> None:
        """Append what is known of a cell before it is built; a later line on it replaces this one. Nothing is
        appended where the cell has a result: only another result replaces that.

        ``log_size``: the bytes of its log, which has only its configure step by now.
        """
        with self._lock, translate_write_errors(self._path):
            if cell.id not in self._finished:
                self._append_cell(cell, {}, f',"log_size":{log_size}')

    def _append_cell(self, cell: Cell, diagnostics: Mapping[str, Diagnostic], more: str = "") -> bytes:
        """Append a line, and return the cell's JSON in it."""
        text = _format_line(cell)
        shown = ",".join(f"{json.dumps(key)}:{_format_line(item)}" for key, item in diagnostics.items())
        self._recorded[cell.id] = encoded = text.encode()
        self._diagnostics.update(diagnostics)
        self._file.write(f'{{"cell":{text},"diagnostics":{{{shown}}}{more}}}\n')
        # What a killed process had written stays; only a machine that breaks down takes it along.
        self._file.flush()
        return encoded

    def _sync(self) -> None:
        now = time.monotonic()
        if now - self._synced >= _SYNC_INTERVAL:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def store_config(self, digest: str, text: str) -> None:
        """Store a .config under its digest, once."""
        self._store_text("configs", digest, text)

    def load_config(self, digest: str) -> str:
        """The text of a .config that was stored."""
        path = self.directory / "configs" / digest
        try:
            # As it was written: read as text, other line ends would become newlines.
            return path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise MachineError(
                f"{path} cannot be read: {error}", "look at its disk, and run again"
            ) from error

    def _store_text(self, folder: str, digest: str, text: str) -> None:
        name = f"{folder}/{digest}"
        if name in self._stored:
            return
        path = self.directory / name
        with translate_write_errors(path):
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                sync_directory(self.directory)
            # Of a run that is resumed it may be there, and a crash of the machine may have damaged it.
            if not _has_content(path, text.encode()):
                write_atomically(path, text)
        self._stored.add(name)

    def store_objects(self, objects: Iterable[str]) -> str | None:
        """Store a list of objects under its digest, once. Returns the digest, None for an empty list."""
        return self._store_name_list("objects", objects)

    def store_sources(self, sources: Iterable[str]) -> str | None:
        """Store the list of the source files that a cell was made of, in the same way."""
        return self._store_name_list("sources", sources)

    def _store_name_list(self, folder: str, names: Iterable[str]) -> str | None:
        text = "".join(f"{name}\n" for name in sorted(names))
        digest = hashlib.sha256(text.encode()).hexdigest()
        if text:
            self._store_text(folder, digest, text)
        return digest if text else None

    def record_providers(self, providers: Mapping[str, str]) -> None:
        """Keep what would bring the symbols that links lack; it is written at the end."""
        with self._lock:
            self._run = self._run.model_copy(update={"providers": dict(providers)})

    def record_unused_worker(self, address: str, reason: str) -> None:
        """Keep why a machine is given nothing more to build; it is written at the end."""
        with self._lock:
            unused = {**self._run.unused_workers, address: reason}
            self._run = self._run.model_copy(update={"unused_workers": unused})

    def snapshot_run(self) -> Run:
        """The run with the outcomes so far, cells in plan order."""
        with self._lock:
            return self._run.model_copy(
                update={"cells": tuple(self._iterate_cells()), "diagnostics": self._sort_diagnostics()}
            )

    def list_proven_diagnostics(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that prove something of the tree in any cell so far, by key."""
        with self._lock:
            shown = {ref.key for cell in self._iterate_cells() for ref in cell.proven_diagnostics}
            return tuple(self._diagnostics[key] for key in sorted(shown))

    def _iterate_cells(self) -> Iterator[Cell]:
        for cell in self._run.cells:
            known = self._recorded.get(cell.id)
            yield cell if known is None else Cell.model_validate_json(self._unpack(known))

    def _sort_diagnostics(self) -> dict[str, Diagnostic]:
        return dict(sorted(self._diagnostics.items()))

    def close(self, *, interrupted: bool) -> None:
        """Write ``run.json`` for the last time, with the end of the run. All signals wait for it."""
        with defer_interrupts(every=True), self._lock:
            update = {"finished": datetime.now(UTC), "interrupted": interrupted}
            self._run = self._run.model_copy(update=update)
            self._write_run()

    def _write_run(self) -> None:
        path = self.directory / RUN_FILE
        with translate_write_errors(path):
            write_atomically(path, self._format_run())

    def _format_run(self) -> Iterator[bytes]:
        """The run as indented JSON, in parts: the whole may have hundreds of megabytes."""
        update = {"cells": (), "diagnostics": self._sort_diagnostics()}
        text = self._run.model_copy(update=update).model_dump_json(by_alias=True, indent=1)
        head, _, tail = text.partition(_NO_CELLS)
        yield head.encode()
        start = '\n "cells": [\n  '
        for cell in self._run.cells:
            yield f"{start}{self._format_cell(cell)}".encode()
            start = ",\n  "
        end = "\n ]" if self._run.cells else _NO_CELLS
        yield f"{end}{tail}\n".encode()

    def _format_cell(self, cell: Cell) -> str:
        """A cell as JSON, indented as it stands in a run."""
        known = self._recorded.get(cell.id)
        text = cell.model_dump_json() if known is None else self._unpack(known)
        return to_json(from_json(text), indent=1).decode().replace("\n", "\n  ")

    def _pack(self, text: bytes) -> bytes:
        """A finished cell's JSON as it is kept: as what makes it differ from the first one's, mostly."""
        self._typical_cell = self._typical_cell or text
        packer = zlib.compressobj(level=1, zdict=self._typical_cell)
        return packer.compress(text) + packer.flush()

    def _unpack(self, text: bytes) -> bytes:
        """A cell's JSON. What is only planned is not packed: it will soon be replaced."""
        if text.startswith(b"{"):
            return text
        return zlib.decompressobj(zdict=self._typical_cell).decompress(text)


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _format_line(record: BaseModel) -> str:
    """Its JSON on one line, also for readers to whom more than a newline ends one."""
    text = record.model_dump_json()
    return text if text.isascii() else record.model_dump_json(ensure_ascii=True)


def link_latest_run(directory: Path) -> None:
    """Point the link ``latest`` beside the run's directory to it."""
    link = directory.parent / "latest"
    # Replaced and not removed first: another run may follow the link at any moment.
    new_link = directory.parent / f".latest.{os.getpid()}.{threading.get_ident()}"
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(directory.name)
    new_link.replace(link)
