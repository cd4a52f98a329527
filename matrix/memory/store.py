"""One layer of the memories on disk: a SQLite index of entries, and their contents in files by digest.

All of it can be made again, so nothing here ends a run: what is damaged is a miss, and what cannot be written
is a failure beside the run's work. Processes share a layer, and a killed one leaves no half of an entry.

A content is a row of the index first, then a file, and an entry names it last. What is removed goes the other
way round. So no file is without a row that counts it, and a row that is new keeps its file from eviction
until an entry has had the time to name it.
"""

import hashlib
import re
import sqlite3
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import starmap
from pathlib import Path
from typing import Any, Literal, NamedTuple

from matrix.foreign_text import is_unicode
from matrix.fs import create_private_directory, replace_file
from matrix.memory.index_file import IndexFile, survive_write_errors

EntryKind = Literal["result", "object", "link", "prepared"]

_SCHEMA_VERSION = 2
"""Raised when tables or values mean something else: an index of another version is begun anew."""
_SCHEMA = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
    value BLOB NOT NULL, run TEXT NOT NULL, contents TEXT NOT NULL, checksum INTEGER NOT NULL,
    used REAL NOT NULL, UNIQUE (kind, scope, name, key)
);
CREATE TABLE contents (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, written REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE uses (
    entry INTEGER NOT NULL REFERENCES entries (number) ON DELETE CASCADE, digest TEXT NOT NULL,
    PRIMARY KEY (entry, digest)
) WITHOUT ROWID;
CREATE INDEX uses_by_digest ON uses (digest);
CREATE INDEX entries_by_use ON entries (used)
"""
CONTENTS = "contents"
"""The folder of a layer with the contents, in folders by the first two digits of their digests."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = "kind, scope, name, key, value, run, contents, checksum, used"
_WHERE_ENTRY = "kind = ? AND scope = ? AND name = ? AND key = ?"
_Row = tuple[Any, ...]


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


class WrittenEntry(NamedTuple):
    """Where an entry is kept, and the run that wrote it."""

    scope: str
    name: str
    key: str
    run: str


@dataclass
class MemoryStore:
    """One layer, in a folder of its own. Its methods may be called from any thread."""

    root: Path
    _fresh_contents: set[str] = field(default_factory=set, repr=False)

    @cached_property
    def index_file(self) -> IndexFile:
        """The index itself, for what looks at a layer as a whole."""
        return IndexFile(self.root, _SCHEMA, _SCHEMA_VERSION, self._adopt_contents)

    @property
    def index(self) -> Path:
        return self.index_file.path

    def find_entries(self, kind: EntryKind, scope: str, name: str | None = None) -> list[Entry]:
        """The entries of a scope, or of one name in it, the one that was used last first."""
        where, values = "kind = ? AND scope = ?", [kind, scope]
        if name is not None:
            where, values = f"{where} AND name = ?", [*values, name]
        query = f"SELECT {_FIELDS} FROM entries WHERE {where}"  # noqa: S608
        rows = self._fetch_rows(query, values)
        # SQLite would carry every value through its sorting.
        rows.sort(key=_find_last_use, reverse=True)
        return [entry for row in rows if (entry := _read_row(row, values)) is not None]

    def find_entry(self, kind: EntryKind, scope: str, name: str, key: str) -> Entry | None:
        """One entry by all that it is kept under, or None."""
        where = [kind, scope, name, key]
        rows = self._fetch_rows(f"SELECT {_FIELDS} FROM entries WHERE {_WHERE_ENTRY}", where)  # noqa: S608
        return next((entry for row in rows if (entry := _read_row(row, where)) is not None), None)

    def list_names(self, kind: EntryKind, scope: str) -> list[str]:
        """The names of a scope that have entries."""
        query = "SELECT DISTINCT name FROM entries WHERE kind = ? AND scope = ?"
        return self.index_file.ask(lambda index: [row[0] for row in index.execute(query, (kind, scope))], [])

    def list_written(self, kind: EntryKind) -> list[WrittenEntry]:
        """All entries of a kind, and who wrote them last."""
        query = "SELECT scope, name, key, run FROM entries WHERE kind = ?"
        rows = self._fetch_rows(query, [kind])
        return list(starmap(WrittenEntry, rows))

    def put_entries(self, entries: Iterable[Entry]) -> None:
        """Keep these, each in place of an earlier one under the same kind, scope, name and key."""
        rows = [entry for entry in entries if _is_storable(entry)]

        def write(index: sqlite3.Connection) -> None:
            for entry in rows:
                _write_entry(index, entry)

        if rows:
            self.index_file.ask(write, None, write=True)

    def record_use(self, entries: Iterable[Entry]) -> None:
        """Set the time of use of these to now: what was not used for longest goes first."""
        now = time.time()
        rows = [(now, *_locate(entry)) for entry in entries if _is_storable(entry)]
        update = f"UPDATE entries SET used = ? WHERE {_WHERE_ENTRY}"  # noqa: S608
        if rows:
            self.index_file.ask(lambda index: index.executemany(update, rows), None, write=True)

    def put_content(self, content: bytes) -> str:
        """Keep a content; its SHA-256, under which it is had again."""
        digest = hashlib.sha256(content).hexdigest()
        # What this run has written stays for as long as it goes on.
        if digest in self._fresh_contents:
            return digest
        row = (digest, len(content), time.time())
        if self.index_file.ask(lambda index: _write_content_row(index, row), otherwise=False, write=True):
            with survive_write_errors(self.root):
                self._write_content(digest, content)
                self._fresh_contents.add(digest)
        return digest

    def get_content(self, digest: str) -> bytes | None:
        """A content; None where it is gone or damaged. A damaged one is removed."""
        if not is_digest(digest):
            return None
        path = self._locate_content(digest)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() == digest:
            return content
        self._fresh_contents.discard(digest)
        with survive_write_errors(self.root):
            path.unlink(missing_ok=True)
        return None

    def close(self) -> None:
        """Close the index. It is opened again when it is needed."""
        self.index_file.close()

    def _locate_content(self, digest: str) -> Path:
        return self.root / CONTENTS / digest[:2] / digest

    def _write_content(self, digest: str, content: bytes) -> None:
        path = self._locate_content(digest)
        with suppress(FileNotFoundError):
            # After a crash of the machine a file may be empty.
            if path.stat().st_size == len(content):
                return
        if not path.parent.is_dir():
            create_private_directory(path.parent)
        replace_file(path, content)

    def _fetch_rows(self, query: str, values: list[str]) -> list[_Row]:
        if not all(map(is_unicode, values)):
            return []
        return self.index_file.ask(lambda index: index.execute(query, values).fetchall(), [])

    def _adopt_contents(self, index: sqlite3.Connection) -> None:
        """Count the files that an index that was lost has named: they may be asked for again."""
        self._fresh_contents.clear()
        files = (path for path in self.root.glob(f"{CONTENTS}/??/*") if is_digest(path.name))
        statuses = ((path.name, path.stat()) for path in files)
        rows = ((name, status.st_size, status.st_mtime) for name, status in statuses)
        index.executemany("INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", rows)


def is_digest(name: str) -> bool:
    """Whether this can be the name of a content. What a damaged index has for one may be any path."""
    return _DIGEST.fullmatch(name) is not None


def _write_entry(index: sqlite3.Connection, entry: Entry) -> None:
    where = _locate(entry)
    index.execute(f"DELETE FROM entries WHERE {_WHERE_ENTRY}", where)  # noqa: S608
    contents = " ".join(entry.contents)
    fields = (*where, entry.value.encode(), entry.run, contents)
    row = index.execute(
        f"INSERT INTO entries ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (*fields, _compute_checksum(*fields), time.time()),
    )
    uses = [(row.lastrowid, digest) for digest in entry.contents]
    index.executemany("INSERT OR IGNORE INTO uses (entry, digest) VALUES (?, ?)", uses)


def _write_content_row(index: sqlite3.Connection, row: tuple[str, int, float]) -> bool:
    index.execute("INSERT OR REPLACE INTO contents (digest, size, written) VALUES (?, ?, ?)", row)
    return True


def _read_row(row: _Row, where: list[str]) -> Entry | None:
    """The entry of a row; None where it is damaged. SQLite notices only damage to its own structure."""
    kind, scope, name, key, value, run, contents, checksum, _ = row
    try:
        if list(row[: len(where)]) != where or _compute_checksum(*row[:7]) != checksum:
            return None
        return Entry(kind, scope, name, key, value.decode(), run, tuple(contents.split()))
    except (TypeError, AttributeError, ValueError):
        return None  # a value of another type


def _find_last_use(row: _Row) -> float:
    # No checksum holds it, as it changes with each use.
    return row[-1] if isinstance(row[-1], float) else 0.0


def _compute_checksum(
    kind: str, scope: str, name: str, key: str, value: bytes, run: str, contents: str
) -> int:
    return zlib.crc32("\0".join((kind, scope, name, key, run, contents)).encode(), zlib.crc32(value))


def _locate(entry: Entry) -> tuple[str, str, str, str]:
    return entry.kind, entry.scope, entry.name, entry.key


def _is_storable(entry: Entry) -> bool:
    return all(map(is_unicode, (*_locate(entry), entry.value, entry.run, *entry.contents)))
