"""Files and directories that a person names: on the command line, in a profile, in a variable."""

import errno
import os
from pathlib import Path
from stat import S_IROTH, S_ISDIR, S_ISREG
from typing import BinaryIO

from matrix.errors import MachineError, RequestError
from matrix.fs import write_atomically

USER_FILE_LIMIT = 64 * 2**20
"""Bytes that are read of one file; a whole kernel's .config has 0.3 MB."""
_READ_HINT = "check the path, and what you may read of it"
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def expand_user_path(text: str) -> Path:
    """The path, with ``~`` and ``~user`` expanded. RequestError for what no path can be."""
    if "\0" in text:
        raise RequestError(f"{text!r} is no path: it has a NUL in it", "name a file or a directory")
    check_utf8(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise RequestError(
            f"{text}: there is no such user here, or none with a home directory", "write the whole path"
        ) from None


def check_utf8(text: str) -> None:
    """RequestError for a word of the command line that is no UTF-8: records and an engine's API, which are
    JSON, cannot hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RequestError(
            f"{text!r} is no UTF-8", "rename it, or reach it by a link with another name"
        ) from None


def find_home_directory() -> Path:
    """The user's home directory. MachineError where none is known."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise MachineError(
            "this user has no home directory, where the cache would lie",
            "set KMATRIX_CACHE to a directory of yours, or HOME",
        )
    return home


def stat_user_path(path: Path, label: str) -> os.stat_result | None:
    """The status of what is there, links followed; None where there is nothing. RequestError, which begins
    with ``label``, where it cannot be told: no permission, a name that is too long, links in a circle."""
    try:
        return path.stat()
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _build_read_error(label, error, _READ_HINT) from error


def check_output_file(path: Path, label: str) -> Path:
    """The file that will be written, links followed. RequestError, which begins with ``label``, where its
    directory is missing or may not be written, or where something else than a file is there."""
    directory = stat_user_path(path.parent, label)
    if directory is None or not S_ISDIR(directory.st_mode):
        raise RequestError(f"{label}: there is no directory {path.parent}", f"mkdir -p {path.parent}")
    status = stat_user_path(path, label)
    if status is not None and S_ISDIR(status.st_mode):
        raise RequestError(f"{label}: {path} is a directory", "name a file in it")
    if status is not None and not S_ISREG(status.st_mode):
        # It would be replaced by a file: /dev/stdout, or a pipe.
        raise RequestError(f"{label}: {path} is no file", "name a file, or none to have it on stdout")
    file = path.resolve()
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise RequestError(f"{label}: {file.parent} may not be written", "name a file in another directory")
    return file


def write_user_file(path: Path, content: str) -> None:
    """Write a file that the user named, whole or not at all; a link stays, and leads to it. OSError, and
    DiskFullError where there is no space."""
    write_atomically(path.resolve(), content)


def append_user_file(path: Path, content: str, limit: int) -> bool:
    """Append to a file that the user or a CI named. False where it would have more than ``limit`` bytes
    then. OSError where it cannot be written, and for what is no file."""
    data = content.encode()
    status = stat_user_path(path, str(path))
    if status is not None and not S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))
    if len(data) + (status.st_size if status else 0) > limit:
        return False
    with path.open("ab") as file:
        file.write(data)
    return True


def read_user_file(path: Path, label: str, hint: str = _READ_HINT, limit: int = USER_FILE_LIMIT) -> bytes:
    """The content. RequestError, which begins with ``label``, where it cannot be read or is too big."""
    try:
        with path.open("rb") as file:
            return read_user_stream(file, label, hint, limit)
    except OSError as error:
        raise _build_read_error(label, error, hint) from error


def read_private_file(path: Path, label: str, limit: int = USER_FILE_LIMIT) -> bytes:
    """The content of a file with a secret. RequestError as `read_user_file` has it, and where others than its
    owner and group may read it."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & S_IROTH:
                raise RequestError(f"{label} can be read by everybody", "chmod 600 keeps it from the others")
            return read_user_stream(file, label, _READ_HINT, limit)
    except OSError as error:
        raise _build_read_error(label, error, _READ_HINT) from error


def read_user_stream(
    file: BinaryIO, label: str, hint: str = _READ_HINT, limit: int = USER_FILE_LIMIT
) -> bytes:
    """As `read_user_file`, of what is open already; OSError where it cannot be read."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise RequestError(f"{label} cannot be read: it has more than {limit >> 20} MiB", hint)
    return content


def _build_read_error(label: str, error: OSError, hint: str) -> RequestError:
    return RequestError(f"{label} cannot be read: {error.strerror}", hint)
