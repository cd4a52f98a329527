"""Walk, measure, inspect and remove a tree that a build left, whatever is in it.

Directories are opened by descriptor, each in the one above it: no link is followed, and no path is too long.
Only one is open at a time, since the nesting may be deeper than any limit. The way back is ``..``, which
must lead to the directory that the walk came from.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from matrix.errors import MachineError
from matrix.foreign_files import FOLDER_FLAGS, ForeignFileError

MAX_BUILD_FILES = 500_000
"""Names in a build directory. That of a whole kernel with all its modules has about 100,000."""
MAX_BUILD_DEPTH = 64
"""Directories below each other in a build directory. A kernel's are 12 deep."""

COMMAND_FILE_LIMIT = 4 * 2**20
"""Bytes of a command file. One that names every header of a kernel has some 100,000."""

_COMMAND_FILE = ".cmd"
_KBUILD_SUFFIXES = (".o", ".a", ".mod", ".order", _COMMAND_FILE)
_MAX_SHOWN_PATH = 200
_NO_FOLDER_ERRNOS = (errno.ENOTDIR, errno.ELOOP)
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID


class TreeEntry(NamedTuple):
    """A name in a walked tree, and its status; a directory comes after all that is in it.

    ``parent`` is the descriptor of the directory that holds it, open until the next entry is asked for.
    ``folder`` is that directory's path below the root, cut off at MAX_BUILD_DEPTH. Where ``error`` is why
    it could not be looked at, or a directory not entered, there is no status.
    """

    parent: int
    folder: str
    name: str
    depth: int
    status: os.stat_result | None = None
    error: OSError | None = None

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def is_folder(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return self.status is not None and stat.S_ISREG(self.status.st_mode)


@dataclass(frozen=True)
class TreeFacts:
    """What an inspection found. ``newest_time``: the latest mtime of a file or directory, in nanoseconds
    since the epoch; ``newest_path`` has it, and is relative to the root."""

    names: int = 0
    newest_time: int = -(2**63)
    newest_path: str = ""


@dataclass
class _Level:
    """A directory on the way from the root to where the walk is."""

    name: str
    folder: str
    identity: tuple[int, int]
    waiting: list[str] = field(default_factory=list)


def walk_tree(root: Path, *, force: bool = False) -> Iterator[TreeEntry]:
    """Every name below ``root``; nothing where that is missing. OSError where it cannot be entered itself.

    ``force``: directories that their owner locked are opened for the owner. Nothing on another file system
    is entered. MachineError when somebody moves directories meanwhile.
    """
    walk = _Walk(root, force=force)
    try:
        yield from walk.visit_all()
    finally:
        os.close(walk.descriptor)


class _Walk:
    """The state of a walk: the directory that is open now, and those above it."""

    def __init__(self, root: Path, *, force: bool) -> None:
        self._force = force
        self.descriptor = _open_folder(str(root), None, force=force)
        self._levels = [_Level("", "", _identify(self.descriptor))]

    def visit_all(self) -> Iterator[TreeEntry]:
        yield from self._scan()
        while self._levels:
            if not self._levels[-1].waiting:
                yield from self._leave()
                continue
            name = self._levels[-1].waiting.pop()
            try:
                self._enter(name)
            except OSError as error:
                yield self._build_entry(name, None, error)
            else:
                yield from self._scan()

    def _scan(self) -> Iterator[TreeEntry]:
        """What is in the open directory; the directories in it are kept for later."""
        descriptor, level, depth = self.descriptor, self._levels[-1], len(self._levels)
        # All names at once: what is removed while it is listed may hide other names.
        for name in os.listdir(descriptor):  # noqa: PTH208 - of a descriptor
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError as error:
                yield TreeEntry(descriptor, level.folder, name, depth, None, error)
                continue
            if stat.S_ISDIR(status.st_mode):
                level.waiting.append(name)
            else:
                yield TreeEntry(descriptor, level.folder, name, depth, status)

    def _enter(self, name: str) -> None:
        below = _open_folder(name, self.descriptor, force=self._force)
        try:
            self._check_folder(below)
        except OSError:
            os.close(below)
            raise
        os.close(self.descriptor)
        self.descriptor = below
        folder = self._levels[-1].folder
        # With all its parts, the paths of a tree that is no build's would fill the memory.
        if len(self._levels) <= MAX_BUILD_DEPTH:
            folder = f"{folder}/{name}" if folder else name
        self._levels.append(_Level(name, folder, _identify(below)))

    def _check_folder(self, descriptor: int) -> None:
        if _identify(descriptor)[0] != self._levels[0].identity[0]:
            raise OSError(errno.EXDEV, "it is another file system")
        # Without the right to search it there is no way back.
        os.stat("..", dir_fd=descriptor)

    def _leave(self) -> Iterator[TreeEntry]:
        left = self._levels.pop()
        if not self._levels:
            return
        above = os.open("..", FOLDER_FLAGS, dir_fd=self.descriptor)
        os.close(self.descriptor)
        self.descriptor = above
        if _identify(above) != self._levels[-1].identity:
            raise MachineError(f"{left.folder!r} was moved while it was read")
        yield self._build_entry(left.name, os.stat(left.name, dir_fd=above, follow_symlinks=False))

    def _build_entry(
        self, name: str, status: os.stat_result | None, error: OSError | None = None
    ) -> TreeEntry:
        return TreeEntry(self.descriptor, self._levels[-1].folder, name, len(self._levels), status, error)


def _open_folder(name: str, parent: int | None, *, force: bool) -> int:
    try:
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=parent)
    except PermissionError:
        if not force:
            raise
        _change_mode(name, parent, 0o700)
        descriptor = os.open(name, FOLDER_FLAGS, dir_fd=parent)
    if force and os.fstat(descriptor).st_mode & 0o700 != 0o700:
        # Of somebody else's nothing can be changed: what follows from it is the caller's error.
        with suppress(PermissionError):
            os.fchmod(descriptor, 0o700)
    return descriptor


def _change_mode(name: str, parent: int | None, mode: int) -> None:
    """chmod without following a link, also where the file cannot be opened."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101
    finally:
        os.close(descriptor)


def _identify(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def measure_tree(root: Path) -> int:
    """Bytes on disk of all that is in a tree. What cannot be read counts nothing."""
    try:
        return sum(entry.status.st_blocks * 512 for entry in walk_tree(root) if entry.status)
    except OSError:
        return 0


def walk_build(
    root: Path, max_names: int = MAX_BUILD_FILES, max_depth: int = MAX_BUILD_DEPTH
) -> Iterator[TreeEntry]:
    """Every name in a build directory, with its whole path.

    ForeignFileError where there is more than any build leaves, or where a directory cannot be entered.
    """
    try:
        for names, entry in enumerate(walk_tree(root), start=1):
            if names > max_names or entry.depth > max_depth or entry.error is not None:
                raise _build_walk_error(entry, names, max_names, max_depth)
            yield entry
    except OSError as error:
        raise ForeignFileError(f"the build directory cannot be read: {error.strerror}") from error


def inspect_tree(root: Path, max_names: int = MAX_BUILD_FILES, max_depth: int = MAX_BUILD_DEPTH) -> TreeFacts:
    """Look at all that a container left in a directory, and take setuid and setgid bits from it.

    ForeignFileError as `walk_build` has it, and where a file that make would read again is none: with it,
    the next build would fail or hang without a fault of its own.
    """
    names, newest = 0, (TreeFacts.newest_time, "")
    for entry in walk_build(root, max_names, max_depth):
        names += 1
        if entry.status is not None:
            _check_kind(entry, entry.status)
            _clear_special_bits(entry, entry.status)
            if entry.status.st_mtime_ns > newest[0]:
                newest = (entry.status.st_mtime_ns, entry.path)
    return TreeFacts(names, *newest)


def _build_walk_error(entry: TreeEntry, names: int, max_names: int, max_depth: int) -> ForeignFileError:
    if names > max_names:
        return ForeignFileError(f"the build directory has more than {max_names} files")
    if entry.depth > max_depth:
        return ForeignFileError(f"the build directory is more than {max_depth} directories deep")
    reason = entry.error.strerror if entry.error else None
    return ForeignFileError(f"{_shorten(entry.path)!r} cannot be entered: {reason}")


def _check_kind(entry: TreeEntry, status: os.stat_result) -> None:
    if not entry.name.endswith(_KBUILD_SUFFIXES) or entry.is_file:
        is_wrong = False
    else:
        # Some Makefiles link objects; a command file is always kbuild's own.
        is_wrong = not stat.S_ISLNK(status.st_mode) or entry.name.endswith(_COMMAND_FILE)
    if is_wrong:
        kind = "a directory" if entry.is_folder else "no regular file"
        raise ForeignFileError(f"{_shorten(entry.path)!r} is {kind}")
    if entry.name.endswith(_COMMAND_FILE) and status.st_size > COMMAND_FILE_LIMIT:
        raise ForeignFileError(f"{_shorten(entry.path)!r} has more than {COMMAND_FILE_LIMIT} bytes")


def _shorten(path: str) -> str:
    return path if len(path) <= _MAX_SHOWN_PATH else f"…{path[-_MAX_SHOWN_PATH:]}"


def _clear_special_bits(entry: TreeEntry, status: os.stat_result) -> None:
    # Outside of a container such a program would run as its owner for any user of the machine.
    if status.st_mode & _SPECIAL_BITS and not stat.S_ISLNK(status.st_mode):
        _change_mode(entry.name, entry.parent, stat.S_IMODE(status.st_mode) & ~_SPECIAL_BITS)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it; a missing one is no error.

    Everything that can go is gone when this ends. MachineError names the first file that could not be
    removed.
    """
    failure = None
    try:
        failure = _remove_below(path)
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in _NO_FOLDER_ERRNOS:
            path.unlink()
            return
        failure = failure or (str(path), error)
    if failure is not None:
        raise MachineError(
            f"{_shorten(failure[0])} cannot be removed: {failure[1].strerror}", "remove it by hand"
        )


def _remove_below(root: Path) -> tuple[str, OSError] | None:
    """Remove what is in a directory; the first path that stays, and why."""
    failure = None
    for entry in walk_tree(root, force=True):
        try:
            _remove_entry(entry)
        except OSError as error:
            failure = failure or (f"{root}/{entry.path}", error)
    return failure


def _remove_entry(entry: TreeEntry) -> None:
    if entry.error is not None:
        raise entry.error
    with suppress(FileNotFoundError):
        if entry.is_folder:
            os.rmdir(entry.name, dir_fd=entry.parent)
        else:
            os.unlink(entry.name, dir_fd=entry.parent)
