"""Read a tree of files once: find them, hash them, copy them. Links are never followed.

Paths are joined as text here: a kernel has 87,000 files, and pathlib would take longer than the reading.
"""

# ruff: noqa: PTH101, PTH102, PTH115, PTH118, PTH120, PTH211, S103

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.fs import is_disk_full, read_gzip_json, record_use, write_gzip_json
from matrix.source.manifest import FileKind, Manifest, ManifestEntry

_READ_BYTES = 1 << 20
_CHUNK_FILES = 512
_WORKERS = min(8, (os.cpu_count() or 1) + 1)
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileStat(NamedTuple):
    """A file or link as the directory shows it: sizes in bytes, times in nanoseconds."""

    path: str
    kind: FileKind
    size: int
    mtime: int
    ctime: int
    inode: int


def list_files(root: Path) -> list[FileStat]:
    """Every file and link below ``root`` but ``.git``, by path; RequestError for a device, pipe or socket."""
    return sorted(_scan_directories(str(root), ""))


def stat_files(root: Path, paths: Iterable[str]) -> list[FileStat]:
    """The same for these files only."""
    return [_build_file_stat(path, os.lstat(f"{root}/{path}")) for path in paths]


def find_escaping_links(root: Path, manifest: Manifest) -> set[str]:
    """The links of a tree that lead out of it, also through other links, and also to a missing file."""
    base = os.path.realpath(root)
    links = [path for path, entry in manifest.entries.items() if entry.kind == "link"]
    return {path for path in links if not f"{os.path.realpath(f'{base}/{path}')}/".startswith(f"{base}/")}


def _scan_directories(root: str, below: str) -> Iterator[FileStat]:
    waiting = [below]
    while waiting:
        directory = waiting.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if entry.name == ".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield _build_file_stat(path, entry.stat(follow_symlinks=False))


def _build_file_stat(path: str, info: os.stat_result) -> FileStat:
    return FileStat(
        path,
        _classify_mode(path, info.st_mode),
        info.st_size,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
    )


def _classify_mode(path: str, mode: int) -> FileKind:
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_ISREG(mode):
        return "exec" if mode & 0o111 else "file"
    raise RequestError(
        f"{path} is neither a file, a directory nor a link",
        "Remove it: a kernel tree has no devices or sockets.",
    )


def count_disk_bytes(files: Iterable[FileStat]) -> int:
    """Bytes that a copy takes on a disk with blocks of 4 KiB."""
    return sum(-(-file.size // 4096) * 4096 for file in files)


def hash_tree(root: Path, files: Sequence[FileStat]) -> Manifest:
    """The manifest of these files as they are now."""
    return _build_manifest(files, lambda file: _hash_file(f"{root}/{file.path}", file))


def copy_tree(root: Path, files: Sequence[FileStat], to: Path) -> Manifest:
    """Copy the files, with their mtimes. The manifest is of what was written.

    Modes become 0755 or 0644, so that the container's user can read what only the owner could.
    """
    create_directories(to, files)
    return _build_manifest(files, lambda file: _copy_file(f"{root}/{file.path}", f"{to}/{file.path}", file))


def link_tree(root: Path, files: Sequence[FileStat], to: Path) -> None:
    """The cheap copy: hard links. Where the file system has none (or no more), a real copy."""
    create_directories(to, files)
    for file in files:
        link_file(f"{root}/{file.path}", f"{to}/{file.path}", file)


def link_file(source: str, target: str, file: FileStat) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as problem:
        if is_disk_full(problem):
            raise
        _copy_file(source, target, file)


def create_directories(to: Path, files: Iterable[FileStat]) -> None:
    """``to`` and every directory that the files need, readable for all whatever the umask."""
    parents = {os.path.dirname(file.path) for file in files}
    directories = {parent[:end] for parent in parents for end in _find_component_ends(parent)}
    for directory in sorted({"", *directories}):
        target = os.path.join(to, directory)
        with suppress(FileExistsError):
            os.mkdir(target)
            os.chmod(target, 0o755)


def _find_component_ends(path: str) -> Iterator[int]:
    """Where each parent of a path, and the path itself, ends."""
    return chain((index for index, letter in enumerate(path) if letter == "/"), (len(path),))


def _build_manifest(files: Sequence[FileStat], entry: Callable[[FileStat], ManifestEntry]) -> Manifest:
    """Build entries in threads, chunk by chunk: hashing and system calls release the interpreter's lock."""

    def hash_chunk(chunk: list[FileStat]) -> list[tuple[str, ManifestEntry]]:
        return [(file.path, entry(file)) for file in chunk]

    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            return Manifest(dict(chain.from_iterable(pool.map(hash_chunk, _split_chunks(files)))))
        except FileNotFoundError as problem:
            raise _build_vanished_error(problem) from problem
        finally:
            pool.shutdown(cancel_futures=True)


def _build_vanished_error(problem: OSError) -> RequestError:
    return RequestError(
        f"{problem.filename} went away while the tree was read", "Try again when nothing edits it."
    )


def _split_chunks(files: Sequence[FileStat]) -> Iterator[list[FileStat]]:
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK_FILES)):
        yield chunk


def _hash_file(path: str, file: FileStat) -> ManifestEntry:
    if file.kind == "link":
        return ManifestEntry("link", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest())
    descriptor = os.open(path, _READ_FLAGS)
    try:
        return ManifestEntry(file.kind, _stream_bytes(descriptor, None))
    finally:
        os.close(descriptor)


def _copy_file(source: str, target: str, file: FileStat) -> ManifestEntry:
    if file.kind == "link":
        os.symlink(os.readlink(source), target)
        os.utime(target, ns=(file.mtime, file.mtime), follow_symlinks=False)
        return _hash_file(target, file)
    reader = os.open(source, _READ_FLAGS)
    try:
        return ManifestEntry(file.kind, _write_copy(reader, target, file))
    finally:
        os.close(reader)


def _write_copy(reader: int, target: str, file: FileStat) -> str:
    writer = os.open(target, _WRITE_FLAGS, 0o600)
    try:
        digest = _stream_bytes(reader, writer)
        os.fchmod(writer, 0o755 if file.kind == "exec" else 0o644)
        os.utime(writer, ns=(file.mtime, file.mtime))
    finally:
        os.close(writer)
    return digest


def _stream_bytes(reader: int, writer: int | None) -> str:
    """Hash a file to its end, and copy it where there is a writer."""
    digest = hashlib.sha256()
    while piece := os.read(reader, _READ_BYTES):
        digest.update(piece)
        rest = memoryview(piece) if writer is not None else memoryview(b"")
        while rest and writer is not None:
            rest = rest[os.write(writer, rest) :]
    return digest.hexdigest()


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
