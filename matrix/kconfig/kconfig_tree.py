"""The Kconfig files of a kernel tree, read within bounds: a stranger's tree may have any number, of any size.

Linux 6.12 has 1600 of them, of 6 MB together and 108 kB at most, seven directories deep among 5800.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from matrix.foreign_files import ForeignDirectory, ForeignFileError

MAX_PATH_PARTS = 32
"""Components of a path that is looked at; conf is told of no deeper file by any kernel."""
_MAX_DIRECTORIES = 100_000
_MAX_FILES = 20_000
_MAX_FILE_BYTES = 4 * 2**20
_MAX_BYTES = 64 * 2**20


@dataclass
class KconfigFiles:
    """Path → text, and path → why it was not read. ``left_out`` is why some may be in neither, or empty."""

    texts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    left_out: str = ""


def read_kconfig_files(root: Path, srcarch: str) -> KconfigFiles:
    """Read the Kconfig files of a tree that conf may read for ``arch/<srcarch>``. Nothing in it raises.

    No link is followed; bytes that are no UTF-8 are replaced.
    """
    directory, files, size = ForeignDirectory(root), KconfigFiles(), 0
    for number, path in enumerate(_find_kconfig_files(root, srcarch, files)):
        if number == _MAX_FILES or size > _MAX_BYTES:
            files.left_out = (
                f"the tree has more than {_MAX_FILES} Kconfig files, or {_MAX_BYTES} bytes of them"
            )
            break
        try:
            files.texts[path] = directory.read_text(path, _MAX_FILE_BYTES) or ""
        except ForeignFileError as error:
            files.unread[path] = str(error)
        size += len(files.texts.get(path, ""))
    return files


def _find_kconfig_files(root: Path, srcarch: str, files: KconfigFiles) -> Iterator[str]:
    """Their paths, sorted within each directory; what cannot be listed is noted in ``files``."""
    # A list in place of recursion, whose depth the tree would decide.
    pending, seen = [""], 0
    while pending:
        folder = pending.pop()
        names, below = _list_directory(root / folder, files)
        parents = tuple(folder.split("/")) if folder else ()
        seen += len(below)
        if seen > _MAX_DIRECTORIES:
            files.left_out = f"the tree has more than {_MAX_DIRECTORIES} directories"
            return
        if len(parents) < MAX_PATH_PARTS - 1:
            read = (name for name in reversed(below) if _is_read_by_conf((*parents, name), srcarch))
            pending += ["/".join((*parents, name)) for name in read]
        yield from ("/".join((*parents, name)) for name in names if name.startswith("Kconfig"))


def _list_directory(path: Path, files: KconfigFiles) -> tuple[list[str], list[str]]:
    """(names of files, names of directories), sorted; a link is a file."""
    try:
        with os.scandir(path) as entries:
            is_directory = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        files.left_out = files.left_out or f"{path.name!r} cannot be read: {error.strerror}"
        return [], []
    names = sorted(is_directory)
    return [n for n in names if not is_directory[n]], [n for n in names if is_directory[n]]


def _is_read_by_conf(parts: tuple[str, ...], srcarch: str) -> bool:
    """Whether conf may read below this directory. Walking the others would take most of the time."""
    match parts:
        case ["tools"] | ["Documentation", _] | ["scripts", "kconfig"]:
            return False
        case ["arch", arch]:
            return arch == srcarch
    return not parts[-1].startswith(".")
