"""What a directory's files hashed to last time, so that an unchanged tree is not read again.

A file counts as unchanged when its path, kind, size, mtime, ctime and inode are as they were; no
program can set a ctime. One that changed in the seconds before it was hashed is not remembered: a
second change could hide in the same tick of the clock.
"""

import gzip
import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from matrix.source.manifest import Manifest, ManifestEntry
from matrix.source.walk import FileStat, hash_tree

_SETTLED_NS = 2_000_000_000

HashCache = dict[str, list[str | int]]


def hash_with_cache(root: Path, files: Sequence[FileStat], memo_file: Path) -> Manifest:
    """The manifest of these files, reading only what changed since ``memo_file`` was written."""
    memo = _load_hash_cache(memo_file)
    started = time.time_ns()
    known = {
        file.path: ManifestEntry(file.kind, str(memo[file.path][0]))
        for file in files
        if _is_unchanged(memo, file)
    }
    fresh = hash_tree(root, [file for file in files if file.path not in known])
    manifest = Manifest({**known, **fresh.entries})
    if fresh.entries or len(memo) != len(files):
        _save_hash_cache(memo_file, files, manifest, started - _SETTLED_NS)
    return manifest


def _build_stamp(file: FileStat) -> list[str | int]:
    return [file.kind, file.size, file.mtime, file.ctime, file.inode]


def _is_unchanged(memo: HashCache, file: FileStat) -> bool:
    return file.path in memo and memo[file.path][1:] == _build_stamp(file)


def _load_hash_cache(path: Path) -> HashCache:
    """A memo that is missing or damaged is no memo: everything is hashed again."""
    try:
        memo: HashCache = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, zlib.error, ValueError, EOFError):
        return {}
    return memo


def _save_hash_cache(path: Path, files: Sequence[FileStat], manifest: Manifest, settled: int) -> None:
    memo = {
        file.path: [manifest.entries[file.path].sha256, *_build_stamp(file)]
        for file in files
        if max(file.mtime, file.ctime) < settled
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{time.time_ns()}.tmp")
    beside.write_bytes(gzip.compress(json.dumps(memo).encode(), compresslevel=1))
    beside.replace(path)
