"""The clock of a file system, and files that are newer than it: make compares nothing but time stamps.

An object that is newer than now hides every edit of its sources until its time has come. A build sets such
times (``touch -d '+1 day'``), and a clock that was set back leaves them.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from matrix.foreign_trees import inspect_tree, walk_tree
from matrix.fs import translate_disk_full

_CLOCK_GRANULARITY_NS = 10_000_000
"""How far a time that a program sets may be ahead of the one that the kernel gives to a new file."""


def read_file_clock(directory: Path) -> int:
    """The present of the file system that holds this directory, in its own nanoseconds.

    It is a new file's time: a server's clock, which gives files their times, may differ from this machine's.
    Raises DiskFullError, or another OSError where nothing may be written.
    """
    with translate_disk_full(directory), tempfile.NamedTemporaryFile(dir=directory, prefix=".clock-") as file:
        return os.fstat(file.fileno()).st_mtime_ns


def find_future_file(root: Path) -> str:
    """The newest file or directory below ``root`` if it is newer than now, or nothing.

    ForeignFileError where something cannot be looked at.
    """
    facts = inspect_tree(root)
    return facts.newest_path if _is_future(facts.newest_time, read_file_clock(root.parent)) else ""


def touch_future_files(root: Path) -> None:
    """Give whatever is newer than now in kmatrix's own copy of a tree the present as its mtime.

    make would compile it again in every cell, and report a clock that is wrong. What may not be changed
    stays as it is.
    """
    clock = read_file_clock(root.parent)
    for entry in walk_tree(root):
        if entry.status is not None and _is_future(entry.status.st_mtime_ns, clock):
            with suppress(PermissionError):
                os.utime(entry.name, dir_fd=entry.parent, follow_symlinks=False)


def _is_future(moment: int, clock: int) -> bool:
    return moment > clock + _CLOCK_GRANULARITY_NS
