"""Whole files reach the disk whole: written to a temporary name beside, synced, renamed."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matrix.errors import DiskFullError


@contextmanager
def translate_disk_full(path: Path) -> Iterator[None]:
    """Turns the full disk that a write met into a DiskFullError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"no space left to write {path}",
            "free some (./inv sweep helps), or choose another place with --out",
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by this content at once. DiskFullError when there is no space for it."""
    data = content.encode() if isinstance(content, str) else content
    with translate_disk_full(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner reads; a container's user must read a .config.
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
