"""The one door to files that a build or a stranger's tree left: no link followed, regular files, bounded.

What a container wrote is a stranger's: a name may be a link to a file of this machine, a pipe that never
ends, a directory, or a file of any size. So each name is opened below its root, one component after the
other, and nothing but a regular file comes out.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from matrix.errors import MachineError, RequestError

FOREIGN_FILE_LIMIT = 64 * 2**20
"""Bytes that are read of one foreign file where the caller names no other limit."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a foreign directory is opened."""
# Without O_NONBLOCK the opening of a pipe waits for its other end.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_REASON = 300
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class ForeignFileError(MachineError):
    """A foreign file is there and cannot be read: a link, no regular file, too big, no permission."""


@contextmanager
def translate_foreign_faults() -> Iterator[None]:
    """Raise ForeignFileError in place of the errors that any content of foreign files can bring about.

    A mistake of the program (TypeError, AssertionError) stays what it is.
    """
    try:
        yield
    except RequestError as error:
        # What is wrong in a user's file is a request's fault; here it is in a file that a build left.
        raise ForeignFileError(f"a file of this cell is wrong: {error}"[:_MAX_REASON]) from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        reason = f"{type(error).__name__}: {words}".replace("\n", " ")[:_MAX_REASON]
        raise ForeignFileError(f"a file of this cell cannot be handled: {reason}") from error


@dataclass(frozen=True)
class ForeignDirectory:
    """A directory that a stranger wrote to. Names are relative to it; one that leads out is an error."""

    root: Path

    @contextmanager
    def open_file(self, name: str) -> Iterator[BinaryIO | None]:
        """A regular file, open for reading; None where there is nothing of that name.

        ForeignFileError where it cannot be opened, and where an OSError ends the ``with`` block.
        """
        with self._open_parent(name) as parent:
            try:
                descriptor = -1 if parent is None else _open_regular(name, parent)
                if descriptor == -1:
                    yield None
                else:
                    with os.fdopen(descriptor, "rb") as file:
                        yield file
            except OSError as error:
                raise _build_error(name, error) from error

    def read_bytes(self, name: str, limit: int = FOREIGN_FILE_LIMIT) -> bytes | None:
        """The content; None where there is nothing of that name. ForeignFileError where it cannot be read."""
        with self.open_file(name) as file:
            content = None if file is None else file.read(limit + 1)
        if content is not None and len(content) > limit:
            raise ForeignFileError(f"{name!r} has more than {limit} bytes, so it is not read")
        return content

    def read_tail(self, name: str, limit: int) -> bytes | None:
        """The last bytes of a file, so many at most; otherwise as `read_bytes`."""
        with self.open_file(name) as file:
            if file is None:
                return None
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read(limit)

    def read_text(self, name: str, limit: int = FOREIGN_FILE_LIMIT) -> str | None:
        """The same as text; what is no UTF-8 is replaced."""
        content = self.read_bytes(name, limit)
        return None if content is None else content.decode("utf-8", "replace")

    def stat_file(self, name: str) -> os.stat_result | None:
        """The status of a regular file; None where there is none, whatever else there is."""
        try:
            with self._open_parent(name) as parent:
                if parent is None:
                    return None
                status = os.stat(_split_name(name)[-1], dir_fd=parent, follow_symlinks=False)
        except (OSError, ForeignFileError):
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def remove_file(self, name: str) -> None:
        """Remove a file or a link; what is a directory, is missing or lies behind a link stays as it is."""
        try:
            with self._open_parent(name) as parent:
                if parent is not None:
                    os.unlink(_split_name(name)[-1], dir_fd=parent)
        except (OSError, ForeignFileError):
            return

    def write_file(self, name: str, content: bytes, owner: tuple[int, int]) -> os.stat_result:
        """Write a file at once, with the folders that it needs, all owned by this user and group; its status.

        ForeignFileError where a part of its path is no directory, or nothing can be written.
        """
        *folders, last = _split_name(name)
        temporary = f".{last[:100]}.{secrets.token_hex(4)}"
        with self._create_folders(name, folders, owner) as parent:
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=parent)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    _give_to(descriptor, owner)
                    status = os.fstat(descriptor)
                os.rename(temporary, last, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError as error:
                raise _build_error(name, error) from error
        return status

    def set_fresh_time(self, name: str) -> os.stat_result | None:
        """Give a regular file the present as its mtime; its status then, None where there is none."""
        with self.open_file(name) as file:
            if file is None:
                return None
            os.utime(file.fileno())
            return os.fstat(file.fileno())

    @contextmanager
    def _create_folders(self, name: str, folders: Iterable[str], owner: tuple[int, int]) -> Iterator[int]:
        """The directory at the end of these, each made in the one before where it is missing."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folders:
                below = _enter_or_create(part, descriptor, owner)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        except OSError as error:
            raise _build_error(name, error) from error
        finally:
            os.close(descriptor)

    @contextmanager
    def _open_parent(self, name: str) -> Iterator[int | None]:
        """The directory that holds the name; None where it is missing."""
        try:
            descriptor = self._walk_to_parent(name)
        except OSError as error:
            if error.errno not in _MISSING:
                raise _build_error(name, error) from error
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _walk_to_parent(self, name: str) -> int:
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in _split_name(name)[:-1]:
            try:
                below = _open_folder(part, descriptor)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor


def _open_regular(name: str, parent: int) -> int:
    """A descriptor of a regular file; -1 where there is nothing of that name."""
    try:
        descriptor = os.open(_split_name(name)[-1], _FILE_FLAGS, dir_fd=parent)
    except OSError as error:
        if error.errno in _MISSING:
            return -1
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
    raise ForeignFileError(f"{name!r} is {kind}, so it is not read")


def _open_folder(part: str, parent: int) -> int:
    try:
        return os.open(part, FOLDER_FLAGS, dir_fd=parent)
    except NotADirectoryError as error:
        # Linux says this of a link as well.
        if stat.S_ISLNK(os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
        raise


def _enter_or_create(part: str, parent: int, owner: tuple[int, int]) -> int:
    try:
        return _open_folder(part, parent)
    except FileNotFoundError:
        os.mkdir(part, 0o755, dir_fd=parent)
        descriptor = _open_folder(part, parent)
        _give_to(descriptor, owner)
        return descriptor


def _give_to(descriptor: int, owner: tuple[int, int]) -> None:
    # Only root can; for any other user, the container's user is the caller.
    if os.geteuid() == 0:
        os.fchown(descriptor, *owner)


def _split_name(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise ForeignFileError(f"{name!r} is no name of a file in its directory")
    return parts


def _build_error(name: str, error: OSError) -> ForeignFileError:
    if error.errno == errno.ELOOP:
        return ForeignFileError(f"{name!r} is a link or lies behind one, and links are not followed")
    if error.errno == errno.EISDIR:
        return ForeignFileError(f"{name!r} is a directory, so it is not read")
    return ForeignFileError(f"{name!r} cannot be read: {error.strerror}")
