"""Files that are written whole or not at all, locks between processes, and the disk that is full."""

import errno
import fcntl
import gzip
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from matrix.errors import DiskFullError, MachineError

_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY_NAME = re.compile(r"\..+\.[a-z0-9_]{8}")
"""What mkstemp makes of the prefix that `replace_file` gives it."""
DISK_FULL_MESSAGES = ("No space left on device", "Disk quota exceeded")
"""What programs print for these errors."""


def is_disk_full(error: OSError) -> bool:
    """Whether this is the error of a disk, or a quota, that is full."""
    return error.errno in _DISK_FULL_ERRNOS


def measure_free_space(path: Path) -> int:
    """Free bytes on the disk where ``path`` is, or will be. OSError where that cannot be had."""
    return shutil.disk_usage(find_existing_path(path)).free


def find_existing_path(path: Path) -> Path:
    """The path, or the nearest of its parents that exists. OSError where they may not be looked at."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def create_private_directory(path: Path) -> None:
    """Create a directory, with its parents, that only its owner can enter. One that is there stays as it
    is."""
    missing = [parent for parent in (path, *path.parents) if not parent.is_dir()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)


def is_open_to_others(path: Path) -> bool:
    """Whether a directory of the caller's own lets other users in."""
    status = path.stat()
    return status.st_uid == os.geteuid() and bool(status.st_mode & 0o077)


@contextmanager
def translate_disk_full(path: Path) -> Iterator[None]:
    """Raise DiskFullError in place of the OSError of a full disk."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(
            f"no space left to write {path}",
            "free some (./inv sweep helps), or choose another place with --out",
        ) from error


@contextmanager
def translate_write_errors(path: Path) -> Iterator[None]:
    """Raise MachineError in place of any OSError: the disk of a run broke, or somebody removed its directory
    while it was written."""
    try:
        with translate_disk_full(path):
            yield
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror}", "look at its disk, and run again"
        ) from error


def write_atomically(path: Path, content: str | bytes | Iterable[bytes]) -> None:
    """Replace ``path`` by this content, or these parts of it, at once, on the disk. DiskFullError when there
    is no space for it."""
    with translate_disk_full(path):
        replace_file(path, content, sync=True)


def replace_file(path: Path, content: str | bytes | Iterable[bytes], *, sync: bool = False) -> None:
    """Write a temporary file beside ``path`` and rename it: no reader gets half of it. Raises OSError.

    With ``sync`` its content is on the disk before its name is, and its name when this returns. Without, a
    crash of the machine may leave an empty file: enough where the content is checked when it is read, and can
    be made again.
    """
    data = content.encode() if isinstance(content, str) else content
    parts = [data] if isinstance(data, bytes) else data
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; a container's user must read a .config.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def list_temporary_files(directory: Path, name: str = "*") -> list[Path]:
    """What a process that was killed in `replace_file` left beside files that match this name."""
    return [path for path in directory.glob(f".{name}.*") if _TEMPORARY_NAME.fullmatch(path.name)]


def remove_durably(path: Path) -> None:
    """Remove a file, so that a crash of the machine does not bring it back; a missing one is no error.

    MachineError where it cannot be removed.
    """
    with translate_write_errors(path), suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk: without, a crash of the machine may undo a rename or take a
    new file along. OSError where the disk fails or is full."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # it may be written and not read; its names come to the disk in a while all the same
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems sync no directory.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_gzip_json(path: Path, value: object, *, sync: bool = False) -> None:
    """Replace ``path`` by gzipped JSON, as `replace_file` does.

    The lowest level: hashes hardly shrink, and a .config shrinks to a quarter at any level.
    """
    replace_file(path, gzip.compress(json.dumps(value).encode(), compresslevel=1, mtime=0), sync=sync)


def read_gzip_json(path: Path) -> Any:
    """What `write_gzip_json` wrote. OSError when it cannot be read, ValueError when it is damaged."""
    data = path.read_bytes()
    try:
        return json.loads(gzip.decompress(data))
    except (EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def record_use(path: Path) -> None:
    """Set the mtime of a cached file to now: a sweep removes first what was not used for longest."""
    # Another user's cache may be readable only: its mtime cannot be set then.
    with suppress(OSError):
        os.utime(path)


@contextmanager
def lock_path(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a file, which is made where it is missing, or on a directory. Waits for it.

    The lock ends with the process, also when that is killed.
    """
    with _open_for_lock(path, create=True) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextmanager
def try_lock_path(path: Path, *, shared: bool = False, create: bool = True) -> Iterator[bool]:
    """The same without waiting; False when another holds it. Without ``create`` FileNotFoundError is raised
    where there is nothing to lock."""
    with _open_for_lock(path, create=create) as descriptor:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _open_for_lock(path: Path, *, create: bool) -> Iterator[int]:
    # A directory opens for reading only; a file for writing, as NFS grants an exclusive lock on no other.
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
