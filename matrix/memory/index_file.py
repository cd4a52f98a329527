"""The SQLite index of a layer: shared by threads and processes, begun anew where it is damaged."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from matrix.errors import MachineError
from matrix.foreign_trees import remove_tree
from matrix.fs import create_private_directory, lock_path, try_lock_path
from matrix.side_failures import record_side_failure

_BUSY_SECONDS = 60.0
_PAGE_SIZE = 16384
"""Bytes. A value of some kilobytes is read from one page; those of SQLite's own size take a third longer."""
# What is wrong with the machine, and not with the file.
_MACHINE_ERRORS = frozenset(
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
    ]
)
_Answer = TypeVar("_Answer")


@dataclass
class IndexFile:
    """The index in a layer's folder. Its methods may be called from any thread.

    ``schema`` makes the tables where there are none; an index of another ``version`` is begun anew. What
    ``on_create`` does is done once in each new index. While it is open the layer's folder stays: see
    `lock_layer`.
    """

    root: Path
    schema: str
    version: int
    on_create: Callable[[sqlite3.Connection], object]
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, repr=False)
    _identity: tuple[int, int] = (0, 0)
    _resources: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def path(self) -> Path:
        return self.root / "index.sqlite"

    def ask(
        self, question: Callable[[sqlite3.Connection], _Answer], otherwise: _Answer, *, write: bool = False
    ) -> _Answer:
        """The answer of the index; ``otherwise`` where it cannot answer. ``write``: in one transaction, which
        no other process's overlaps.

        A damaged index is begun anew, and asked again. What is wrong with the machine is a side failure.
        """
        with self._lock, survive_write_errors(self.root):
            for _ in range(2):
                try:
                    with self._open() as index, _hold_transaction(index, write=write):
                        return question(index)
                except sqlite3.Error as error:
                    if self._is_machine_error(error):
                        record_side_failure(MachineError(f"the memory {self.path} cannot be used: {error}"))
                        break
                    self._begin_anew()
        return otherwise

    def close(self) -> None:
        """Close the index. It is opened again when it is needed."""
        with self._lock:
            # Other than the transactions, what closing writes is no loss.
            with suppress(sqlite3.Error):
                self._resources.close()
            self._connection = None

    def remove_layer(self, is_empty: Callable[[sqlite3.Connection], bool]) -> None:
        """Remove the layer's folder where the index says that it is empty, unless another process has it
        open."""
        self.close()
        with (
            self._lock,
            survive_write_errors(self.root),
            suppress(sqlite3.Error),
            lock_layers(self.root.parent),
            try_lock_path(_locate_lock(self.root), create=False) as alone,
        ):
            if not alone:
                return
            with closing(sqlite3.connect(self.path)) as index:
                is_removable = is_empty(index)
            if is_removable:
                remove_tree(self.root)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, made anew where the folder was removed, or the index begun anew, by another."""
        if self._connection is not None and _identify(self.path) != self._identity:
            self.close()
        if self._connection is None:
            self._connection = self._connect()
        yield self._connection

    def _connect(self) -> sqlite3.Connection:
        create_private_directory(self.root)
        # Two that make one index at once are told that it is locked, and do not wait.
        with lock_layers(self.root.parent), ExitStack() as resources:
            create_private_directory(self.root)
            resources.enter_context(lock_path(_locate_lock(self.root), shared=True))
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            resources.callback(connection.close)
            self._identity = _identify(self.path)
            self._prepare(connection)
            self._identity = _identify(self.path)
            self._resources = resources.pop_all()
        return connection

    def _prepare(self, index: sqlite3.Connection) -> None:
        index.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        # What is removed from the index gives its pages back to the disk.
        index.execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Readers and a writer do not wait for each other, and a commit waits for no disk: after a crash of
        # the machine the last entries may be missing, and none is half there.
        index.execute("PRAGMA journal_mode = WAL")
        index.execute("PRAGMA synchronous = NORMAL")
        index.execute("PRAGMA foreign_keys = ON")
        version = index.execute("PRAGMA user_version").fetchone()[0]
        if version == self.version:
            return
        if version or index.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0]:
            raise sqlite3.DatabaseError("its tables are of another version")
        with _hold_transaction(index, write=True):
            for statement in self.schema.split(";"):
                index.execute(statement)
            self.on_create(index)
            index.execute(f"PRAGMA user_version = {self.version}")

    def _is_machine_error(self, error: sqlite3.Error) -> bool:
        # An error of sqlite3's own has no code: a text that is no UTF-8, a row that cannot be.
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return False
        # A damaged head may say that the file must not be written.
        is_refused = code & 0xFF == sqlite3.SQLITE_READONLY and os.access(self.path, os.W_OK)
        return code & 0xFF in _MACHINE_ERRORS and not is_refused

    def _begin_anew(self) -> None:
        """Remove the index, unless another process has done so since it was opened."""
        self.close()
        with lock_layers(self.root.parent):
            if _identify(self.path) == self._identity:
                for name in ("index.sqlite-shm", "index.sqlite-wal", "index.sqlite"):
                    remove_tree(self.root / name)


@contextmanager
def lock_layers(folder: Path) -> Iterator[None]:
    """While a layer of this folder is made, opened, or removed. Waits for other processes that do so."""
    with lock_path(folder / "lock"):
        yield


@contextmanager
def _hold_transaction(index: sqlite3.Connection, *, write: bool) -> Iterator[None]:
    if not write:
        yield
        return
    # A transaction that begins as a reader's may be refused when it first writes.
    index.execute("BEGIN IMMEDIATE")
    try:
        yield
        index.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            index.execute("ROLLBACK")
        raise


@contextmanager
def survive_write_errors(root: Path) -> Iterator[None]:
    """Let the work go on where a layer cannot be written, or something in it cannot be removed."""
    try:
        yield
    except OSError as error:
        record_side_failure(MachineError(f"the memory {root} cannot be written: {error.strerror}"))
    except MachineError as error:
        record_side_failure(error)


def _identify(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino


def _locate_lock(root: Path) -> Path:
    return root / "lock"
