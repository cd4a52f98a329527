"""The hashes of a user's tree, kept from one run to the next, so that few of its files are read again."""

import time
from collections.abc import Sequence
from pathlib import Path

from matrix.fs import read_gzip_json, record_use, write_gzip_json
from matrix.source.manifest import Manifest, ManifestEntry
from matrix.source.snapshot import FileStat, hash_tree

# A file that was written within the last two seconds may be written again under the same time stamp: its hash
# is not kept.
_SETTLED_NS = 2_000_000_000

HashCache = dict[str, list[str | int]]
"""Path → hash, and the file's stamp: kind, size, mtime, ctime, inode."""


def hash_with_cache(root: Path, files: Sequence[FileStat], cache_file: Path) -> Manifest:
    """The manifest of these files, reading only what changed since ``cache_file`` was written."""
    cache = _load_hash_cache(cache_file)
    started = time.time_ns()
    known = {
        file.path: ManifestEntry(file.kind, str(cache[file.path][0]))
        for file in files
        if _is_unchanged(cache, file)
    }
    fresh = hash_tree(root, [file for file in files if file.path not in known])
    manifest = Manifest({**known, **fresh.entries})
    if fresh.entries or len(cache) != len(files):
        _save_hash_cache(cache_file, files, manifest, started - _SETTLED_NS)
    return manifest


def _build_stamp(file: FileStat) -> list[str | int]:
    return [file.kind, file.size, file.mtime, file.ctime, file.inode]


def _is_unchanged(cache: HashCache, file: FileStat) -> bool:
    known = cache.get(file.path)
    return isinstance(known, list) and known[1:] == _build_stamp(file)


def _load_hash_cache(path: Path) -> HashCache:
    """What was saved; nothing where that is missing or damaged, so that everything is hashed again."""
    try:
        cache: HashCache = dict(read_gzip_json(path))
    except (OSError, ValueError, TypeError):
        return {}
    record_use(path)
    return cache


def _save_hash_cache(path: Path, files: Sequence[FileStat], manifest: Manifest, settled: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gzip_json(
        path,
        {
            file.path: [manifest.entries[file.path].sha256, *_build_stamp(file)]
            for file in files
            if max(file.mtime, file.ctime) < settled
        },
    )
