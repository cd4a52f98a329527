"""What the layers of the memories hold, and how the least recently used of it goes.

Nothing goes that a live run has used or written since it began. A process that is killed here leaves contents
that no entry names: the next eviction finds them.
"""

import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matrix.memory.layers import list_layers
from matrix.memory.store import CONTENTS, EntryKind, MemoryStore, is_digest

_BLOCK = 4096
"""Bytes. A file takes whole blocks of a disk."""
_ROW_OVERHEAD = 600
"""Bytes that an entry takes in tables and indexes besides its value."""
_ENTRIES_AT_ONCE = 1000
_PREFIXES = tuple(f"{number:02x}" for number in range(256))
"""The folders of a layer's contents."""
_GRACE_SECONDS = 600.0
"""A content that no entry names is left for so long: its entry may be about to be written."""
_CONTENTS_SIZE = f"SELECT TOTAL((size + {_BLOCK - 1}) / {_BLOCK} * {_BLOCK}) FROM contents"  # noqa: S608


class AgedSize(NamedTuple):
    """Bytes on disk that can go, and when they were last used, in seconds since the epoch."""

    used: float
    size: int


@dataclass(frozen=True)
class LayerHolding:
    """What a layer holds of one kind of entries. ``size`` is in bytes, with the contents that they need."""

    layer: str
    kind: EntryKind
    entries: int
    size: int


def find_threshold(aged: Iterable[AgedSize], excess: int) -> float:
    """The time before which everything must have been used last that goes, for ``excess`` bytes to go."""
    threshold = -math.inf
    for used, size in sorted(aged):
        if excess <= 0:
            break
        threshold = math.nextafter(used, math.inf)
        excess -= size
    return threshold


def measure_layers(folder: Path) -> int:
    """Bytes on disk that all layers take."""
    return sum(map(_measure_layer, _open_layers(folder)))


def list_holdings(folder: Path) -> list[LayerHolding]:
    """What each layer holds of each kind, the base's first."""
    return [holding for store in _open_layers(folder) for holding in _list_layer_holdings(store)]


def list_aged_sizes(folder: Path, cutoff: float) -> list[AgedSize]:
    """All entries and contents that were neither used nor written since ``cutoff``."""
    every = (aged for store in _open_layers(folder) for aged in _list_layer_ages(store))
    return [aged for aged in every if aged.used < cutoff]


def evict_layers(folder: Path, before: float, cutoff: float) -> None:
    """Remove the entries that were last used before a time, then contents that no entry names, then layers
    in which nothing is left.

    ``cutoff`` is when the oldest live run began: nothing goes that was used or written since.
    """
    for store in _open_layers(folder):
        _evict_entries(store, min(before, cutoff), cutoff)
        _remove_unnamed_contents(store, min(cutoff, time.time() - _GRACE_SECONDS))
        _give_back_pages(store)
        store.index_file.remove_layer(_is_empty)


def _open_layers(folder: Path) -> Iterator[MemoryStore]:
    # One at a time: there may be more of them than files that a process may have open.
    for path in list_layers(folder):
        with closing(MemoryStore(path)) as store:
            yield store


def _measure_layer(store: MemoryStore) -> int:
    contents = store.index_file.ask(lambda index: int(index.execute(_CONTENTS_SIZE).fetchone()[0]), 0)
    return contents + sum(path.stat().st_blocks * 512 for path in store.root.glob(f"{store.index.name}*"))


def _list_layer_holdings(store: MemoryStore) -> list[LayerHolding]:
    values = f"SELECT kind, COUNT(*), TOTAL(LENGTH(value) + {_ROW_OVERHEAD}) FROM entries GROUP BY kind"  # noqa: S608
    contents = (
        "SELECT kind, TOTAL(size) FROM contents JOIN"
        " (SELECT DISTINCT kind, digest FROM uses JOIN entries ON number = entry) USING (digest)"
        " GROUP BY kind"
    )

    def question(index: sqlite3.Connection) -> list[LayerHolding]:
        sizes = dict(index.execute(contents).fetchall())
        return [
            LayerHolding(store.root.name, kind, count, int(size + sizes.get(kind, 0)))
            for kind, count, size in index.execute(values).fetchall()
        ]

    return store.index_file.ask(question, [])


def _list_layer_ages(store: MemoryStore) -> list[AgedSize]:
    # A content goes with the last entry that names it; one that none names goes first.
    contents = (
        "SELECT size, written, MAX(used) FROM contents LEFT JOIN uses USING (digest)"
        " LEFT JOIN entries ON number = entry GROUP BY contents.digest"
    )

    def question(index: sqlite3.Connection) -> list[AgedSize]:
        aged = [
            AgedSize(used, size + _ROW_OVERHEAD)
            for used, size in index.execute("SELECT used, LENGTH(value) FROM entries")
        ]
        young = time.time() - _GRACE_SECONDS
        for size, written, used in index.execute(contents):
            last_used = 0.0 if used is None and written < young else max(written, used or 0.0)
            aged.append(AgedSize(last_used, -(-size // _BLOCK) * _BLOCK))
        return aged

    return store.index_file.ask(question, [])


def _evict_entries(store: MemoryStore, before: float, cutoff: float) -> None:
    # Their contents are young where the run that wrote them has just ended: they are about to be unnamed, and
    # not about to be named.
    age = (
        "UPDATE contents SET written = 0 WHERE written < ? AND digest IN"
        " (SELECT digest FROM uses JOIN entries ON number = entry WHERE used < ?)"
    )
    store.index_file.ask(lambda index: index.execute(age, (cutoff, before)), None, write=True)
    delete = "DELETE FROM entries WHERE number IN (SELECT number FROM entries WHERE used < ? LIMIT ?)"
    values = (before, _ENTRIES_AT_ONCE)
    # In portions, so that no other process waits long for its turn.
    while store.index_file.ask(lambda index: index.execute(delete, values).rowcount, 0, write=True):
        pass


def _remove_unnamed_contents(store: MemoryStore, before: float) -> None:
    """Remove what was written before a time and what no entry names; and files that no row counts, which a
    process left that was killed while it wrote them."""
    for prefix in _PREFIXES:
        remove = partial(_remove_unnamed_portion, store.root, prefix, before)
        store.index_file.ask(remove, None, write=True)


def _remove_unnamed_portion(root: Path, prefix: str, before: float, index: sqlite3.Connection) -> None:
    within = "digest >= ? AND digest < ?"
    bounds = (prefix, f"{prefix}g")
    unnamed = index.execute(
        f"SELECT digest FROM contents WHERE {within} AND written < ?"  # noqa: S608
        " AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.digest = contents.digest)",
        (*bounds, before),
    ).fetchall()
    folder = root / CONTENTS / prefix
    for (digest,) in unnamed:
        if is_digest(digest):
            (folder / digest).unlink(missing_ok=True)
    index.executemany("DELETE FROM contents WHERE digest = ?", unnamed)
    counted = {row[0] for row in index.execute(f"SELECT digest FROM contents WHERE {within}", bounds)}  # noqa: S608
    for path in folder.glob("*"):
        if path.name not in counted and path.lstat().st_mtime < before:
            path.unlink()


def _give_back_pages(store: MemoryStore) -> None:
    # A step for each page: `execute` makes one only.
    script = "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)"
    store.index_file.ask(lambda index: index.executescript(script), None)


def _is_empty(index: sqlite3.Connection) -> bool:
    left = "SELECT EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM contents)"
    return not index.execute(left).fetchone()[0]
