"""The clock of a file system, and files that are newer than it: make compares nothing but time stamps.

An object that is newer than now hides every edit of its sources until its time has come. A build sets such
times (``touch -d '+1 day'``), and a clock that was set back leaves them.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from matrix.fs import translate_disk_full

CLOCK_GRANULARITY_NS = 10_000_000
"""How far a time that a program sets may be ahead of the one that the kernel gives to a new file."""


def read_file_clock(directory: Path) -> int:
    """The present of the file system that holds this directory, in its own nanoseconds.

    It is a new file's time: a server's clock, which gives files their times, may differ from this machine's.
    Raises DiskFullError, or another OSError where nothing may be written.
    """
    with (
        translate_disk_full(directory),
        tempfile.NamedTemporaryFile(dir=directory, prefix=".kmatrix-clock-") as file,
    ):
        return os.fstat(file.fileno()).st_mtime_ns


def list_newer_files(root: Path, moment: int) -> Iterator[str]:
    """Whatever lies below ``root`` and was modified after a moment (nanoseconds): files, links, directories.

    No link is followed. Raises OSError where something cannot be looked at.
    """
    pending = [os.fspath(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_mtime_ns > moment:
                    yield entry.path
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)


def has_future_files(root: Path, clock: int) -> bool:
    """Whether anything below ``root`` is newer than its file system's ``clock``, or cannot be looked at."""
    try:
        return any(True for _ in list_newer_files(root, clock + CLOCK_GRANULARITY_NS))
    except OSError:
        return True
