"""Read a tree of files once: find them, hash them, copy them. Links are never followed.

Paths are joined as text here: a kernel has 87,000 files, and pathlib would take longer than the reading.
"""

# ruff: noqa: PTH101, PTH102, PTH115, PTH118, PTH211, S103

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.foreign_text import clean_text
from matrix.fs import is_disk_full
from matrix.source.manifest import FileKind, Manifest, ManifestEntry
from matrix.source.tree_links import resolve_inside

_READ_BYTES = 1 << 20
_CHUNK_FILES = 512
_WORKERS = min(8, (os.cpu_count() or 1) + 1)
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


MAX_TREE_NAMES = 500_000
"""Files and directories. Linux 6.12 has 92,000."""
MAX_TREE_BYTES = 64 * 2**30
"""Sizes of all files. Those of Linux 6.12 have 1.5 GiB; a tree may hold build directories as well."""
MAX_TREE_DEPTH = 64
MAX_PATH_BYTES = 2000
MAX_TREE_LINKS = 20_000
_TOO_LARGE_HINT = "Give the kernel tree alone: DIR@REV leaves out what is not committed."
# What is written at the end of a file while it is read.
_MAX_GROWTH_BYTES = 64 * 2**20


class FileStat(NamedTuple):
    """A file or link as the directory shows it: sizes in bytes, times in nanoseconds."""

    path: str
    kind: FileKind
    size: int
    mtime: int
    ctime: int
    inode: int


def list_files(root: Path) -> list[FileStat]:
    """Every file and link below ``root`` but ``.git``, by path.

    RequestError for a device, pipe or socket, for more than a kernel tree can have, and for what goes away
    or cannot be read.
    """
    with translate_read_errors():
        files = sorted(_scan_directories(str(root), ""))
    _refuse_large_tree(files)
    return files


def stat_files(root: Path, paths: Iterable[str]) -> list[FileStat]:
    """The same for these files only."""
    return [_build_file_stat(path, os.lstat(f"{root}/{path}")) for path in paths]


def find_escaping_links(root: Path, manifest: Manifest) -> set[str]:
    """The links of a tree that lead out of it, also through other links, and also to a missing file; and
    those that nobody can follow to their end."""
    links = [path for path, entry in manifest.entries.items() if entry.kind == "link"]
    return {path for path in links if resolve_inside(str(root), path) is None}


def _scan_directories(root: str, below: str) -> Iterator[FileStat]:
    waiting, names = [below], 0
    while waiting:
        directory = waiting.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if entry.name == ".git":
                    continue
                names += 1
                _refuse_odd_path(path, names)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield _build_file_stat(path, entry.stat(follow_symlinks=False))


def _refuse_odd_path(path: str, names: int) -> None:
    if names > MAX_TREE_NAMES:
        raise RequestError(f"the tree has more than {MAX_TREE_NAMES} files and directories", _TOO_LARGE_HINT)
    if path.count("/") >= MAX_TREE_DEPTH:
        top = clean_text(path.partition("/")[0])
        raise RequestError(f"{top} is more than {MAX_TREE_DEPTH} directories deep", _TOO_LARGE_HINT)
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise RequestError(
            f"{clean_text(path, 80)} has a path of more than {MAX_PATH_BYTES} bytes", "Shorten it."
        )


def _refuse_large_tree(files: Sequence[FileStat]) -> None:
    if sum(file.size for file in files) > MAX_TREE_BYTES:
        largest = clean_text(max(files, key=lambda file: file.size).path)
        raise RequestError(
            f"the tree has more than {MAX_TREE_BYTES >> 30} GiB; its largest file is {largest}",
            _TOO_LARGE_HINT,
        )
    if sum(file.kind == "link" for file in files) > MAX_TREE_LINKS:
        raise RequestError(f"the tree has more than {MAX_TREE_LINKS} links", _TOO_LARGE_HINT)


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
        f"{clean_text(path)} is neither a file, a directory nor a link",
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
    create_directories(to, (file.path for file in files))
    return _build_manifest(files, lambda file: _copy_file(f"{root}/{file.path}", f"{to}/{file.path}", file))


def link_tree(root: Path, paths: Sequence[str], to: Path) -> list[str]:
    """The cheap copy of these files: hard links. Those of which the file system has none (or no more) are
    copied, and returned."""
    create_directories(to, paths)
    return [path for path in paths if not link_file(root, path, to)]


def link_file(root: Path, path: str, to: Path) -> bool:
    """Link one file, or copy it; whether it is a link."""
    try:
        os.link(f"{root}/{path}", f"{to}/{path}", follow_symlinks=False)
    except OSError as problem:
        if is_disk_full(problem):
            raise
        (file,) = stat_files(root, [path])
        _copy_file(f"{root}/{path}", f"{to}/{path}", file)
        return False
    return True


def create_directories(to: Path, paths: Iterable[str]) -> None:
    """``to`` and every directory that files at these paths need, readable for all whatever the umask."""
    parents = {path.rpartition("/")[0] for path in paths}
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

    with translate_read_errors(), ThreadPoolExecutor(_WORKERS) as pool:
        try:
            return Manifest(dict(chain.from_iterable(pool.map(hash_chunk, _split_chunks(files)))))
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def translate_read_errors() -> Iterator[None]:
    """Raise RequestError for a file of the tree that went away, or became something else, meanwhile."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise _build_vanished_error(problem.filename) from problem
    except OSError as problem:
        if problem.errno not in (errno.ELOOP, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG, errno.ENXIO):
            raise
        where = clean_text(str(problem.filename or "a file of the tree"))
        raise RequestError(f"{where} cannot be read: {problem.strerror}", "Repair the tree.") from problem


def _build_vanished_error(path: str) -> RequestError:
    return RequestError(
        f"{clean_text(path)} went away while the tree was read", "Try again when nothing edits it."
    )


def _split_chunks(files: Sequence[FileStat]) -> Iterator[list[FileStat]]:
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK_FILES)):
        yield chunk


def _hash_file(path: str, file: FileStat) -> ManifestEntry:
    if file.kind == "link":
        return ManifestEntry("link", hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest())
    with _open_source(path) as reader:
        return ManifestEntry(file.kind, _stream_bytes(reader, None, file))


def _copy_file(source: str, target: str, file: FileStat) -> ManifestEntry:
    if file.kind == "link":
        os.symlink(os.readlink(source), target)
        os.utime(target, ns=(file.mtime, file.mtime), follow_symlinks=False)
        return _hash_file(target, file)
    with _open_source(source) as reader:
        return ManifestEntry(file.kind, _write_copy(reader, target, file))


@contextmanager
def _open_source(path: str) -> Iterator[int]:
    """A regular file, open for reading; RequestError where something else has taken its place."""
    reader = os.open(path, _READ_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(reader).st_mode):
            raise _build_vanished_error(path)
        yield reader
    finally:
        os.close(reader)


def _write_copy(reader: int, target: str, file: FileStat) -> str:
    writer = os.open(target, _WRITE_FLAGS, 0o600)
    try:
        digest = _stream_bytes(reader, writer, file)
        os.fchmod(writer, 0o755 if file.kind == "exec" else 0o644)
        os.utime(writer, ns=(file.mtime, file.mtime))
    finally:
        os.close(writer)
    return digest


def _stream_bytes(reader: int, writer: int | None, file: FileStat) -> str:
    """Hash a file to its end, and copy it where there is a writer. RequestError when it has no end."""
    digest, left = hashlib.sha256(), file.size + _MAX_GROWTH_BYTES
    while piece := os.read(reader, _READ_BYTES):
        left -= len(piece)
        if left < 0:
            raise RequestError(
                f"{clean_text(file.path)} grows while it is read", "Try again when nothing writes it."
            )
        digest.update(piece)
        rest = memoryview(piece) if writer is not None else memoryview(b"")
        while rest and writer is not None:
            rest = rest[os.write(writer, rest) :]
    return digest.hexdigest()
