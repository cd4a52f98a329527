"""One layer of the memories on disk: a SQLite index of entries, and their contents in files by digest.

All of it can be made again, so nothing here ends a run: what is damaged is a miss, and what cannot be written
is a failure beside the run's work. Processes share a layer, and a killed one leaves no half of an entry: a
content has its file before an entry names it, and SQLite undoes what was not committed.
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from matrix.errors import MachineError
from matrix.foreign_trees import remove_tree
from matrix.fs import create_private_directory, replace_file
from matrix.side_failures import record_side_failure

EntryKind = Literal["result", "object"]

_SCHEMA_VERSION = 1
"""Raised when tables or values mean something else: an index of another version is begun anew."""
_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, run TEXT NOT NULL, used REAL NOT NULL, UNIQUE (kind, scope, name, key)
);
CREATE TABLE IF NOT EXISTS contents (digest TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS uses (
    entry INTEGER NOT NULL REFERENCES entries (number) ON DELETE CASCADE, digest TEXT NOT NULL,
    PRIMARY KEY (entry, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uses_by_digest ON uses (digest);
CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used);
"""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Entry:
    """What is remembered under a kind, scope, name and key. ``value`` is JSON of the kind's own.

    ``run`` is the id of the run that wrote it, ``contents`` the digests of the files that it needs.
    """

    kind: EntryKind
    scope: str
    name: str
    key: str
    value: str
    run: str
    contents: tuple[str, ...] = ()


@dataclass
class MemoryStore:
    """One layer, in a folder of its own. Its methods may be called from any thread."""

    root: Path
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, repr=False)

    @property
    def index(self) -> Path:
        return self.root / "index.sqlite"

    def find_entries(self, kind: EntryKind, scope: str, name: str | None = None) -> list[Entry]:
        """The entries of a scope, or of one name in it, the one that was used last first."""
        where, values = "kind = ? AND scope = ?", [kind, scope]
        if name is not None:
            where, values = f"{where} AND name = ?", [*values, name]
        query = f"SELECT kind, scope, name, key, value, run FROM entries WHERE {where} ORDER BY used DESC"  # noqa: S608
        return self._ask(lambda index: [Entry(*row) for row in index.execute(query, values)], [])

    def find_entry(self, kind: EntryKind, scope: str, name: str, key: str) -> Entry | None:
        """One entry by all that it is kept under, or None."""
        query = (
            "SELECT kind, scope, name, key, value, run FROM entries"
            " WHERE kind = ? AND scope = ? AND name = ? AND key = ?"
        )
        where = (kind, scope, name, key)
        row = self._ask(lambda index: index.execute(query, where).fetchone(), None)
        return Entry(*row) if row else None

    def list_names(self, kind: EntryKind, scope: str) -> list[str]:
        """The names of a scope that have entries."""
        query = "SELECT DISTINCT name FROM entries WHERE kind = ? AND scope = ?"
        return self._ask(lambda index: [row[0] for row in index.execute(query, (kind, scope))], [])

    def put_entries(self, entries: Iterable[Entry]) -> None:
        """Keep these, each in place of an earlier one under the same kind, scope, name and key."""
        rows = list(entries)

        def write(index: sqlite3.Connection) -> None:
            for entry in rows:
                _write_entry(index, entry)

        if rows:
            self._ask(write, None)

    def record_use(self, entries: Iterable[Entry]) -> None:
        """Set the time of use of these to now: what was not used for longest goes first."""
        now = time.time()
        rows = [(now, entry.kind, entry.scope, entry.name, entry.key) for entry in entries]
        update = "UPDATE entries SET used = ? WHERE kind = ? AND scope = ? AND name = ? AND key = ?"
        if rows:
            self._ask(lambda index: index.executemany(update, rows), None)

    def remove_entry(self, entry: Entry) -> None:
        """Forget one: what it needs is gone or damaged."""
        where = (entry.kind, entry.scope, entry.name, entry.key)
        delete = "DELETE FROM entries WHERE kind = ? AND scope = ? AND name = ? AND key = ?"
        self._ask(lambda index: index.execute(delete, where), None)

    def put_content(self, content: bytes) -> str:
        """Keep a content; its SHA-256, under which it is had again."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._locate_content(digest)
        with self._survive_writing():
            if not path.exists():
                create_private_directory(path.parent)
                replace_file(path, content)
        insert = "INSERT OR IGNORE INTO contents (digest, size) VALUES (?, ?)"
        self._ask(lambda index: index.execute(insert, (digest, len(content))), None)
        return digest

    def get_content(self, digest: str) -> bytes | None:
        """A content; None where it is gone or damaged. A damaged one is removed."""
        path = self._locate_content(digest)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() == digest:
            return content
        path.unlink(missing_ok=True)
        return None

    def close(self) -> None:
        """Close the index. It is opened again when it is needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _locate_content(self, digest: str) -> Path:
        return self.root / "contents" / digest[:2] / digest

    def _ask(self, question: Callable[[sqlite3.Connection], _Answer], otherwise: _Answer) -> _Answer:
        """The answer of the index, in one transaction; ``otherwise`` where it cannot answer.

        An index that is damaged is begun anew: its contents are kept again one by one.
        """
        with self._lock, self._survive_writing():
            try:
                with self._open_index() as index:
                    return question(index)
            except sqlite3.OperationalError as error:
                record_side_failure(MachineError(f"the memory {self.index} cannot be used: {error}"))
            except sqlite3.DatabaseError:
                self._begin_anew()
        return otherwise

    @contextmanager
    def _survive_writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            record_side_failure(MachineError(f"the memory {self.root} cannot be written: {error.strerror}"))

    def _open_index(self) -> sqlite3.Connection:
        if self._connection is None:
            create_private_directory(self.root)
            self._connection = _connect(self.index)
        return self._connection

    def _begin_anew(self) -> None:
        self.close()
        for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            remove_tree(self.root / name)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        _prepare_index(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare_index(connection: sqlite3.Connection) -> None:
    # Readers and a writer do not wait for each other, and a commit waits for no disk: after a crash of the
    # machine the last entries may be missing, and none is half there.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError("its tables are of another version")
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _write_entry(index: sqlite3.Connection, entry: Entry) -> None:
    where = (entry.kind, entry.scope, entry.name, entry.key)
    index.execute("DELETE FROM entries WHERE kind = ? AND scope = ? AND name = ? AND key = ?", where)
    row = index.execute(
        "INSERT INTO entries (kind, scope, name, key, value, run, used) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*where, entry.value, entry.run, time.time()),
    )
    uses = [(row.lastrowid, digest) for digest in entry.contents]
    index.executemany("INSERT OR IGNORE INTO uses (entry, digest) VALUES (?, ?)", uses)
