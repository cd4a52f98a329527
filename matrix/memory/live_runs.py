"""The runs that are at work now, and since when: what they have used or written since then stays.

Each has a file in the memories' folder, whose lock it holds while it lives, and whose mtime is when it began.
A killed run holds no lock.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from matrix.fs import create_private_directory, lock_path, try_lock_path
from matrix.memory.index_file import lock_layers, survive_write_errors

_LIVE_RUNS = "live"
_CLOCK_SLACK = 2.0
"""Seconds. Entries have the time of this machine, and lanes that of their disk, whose clock is coarser."""


@contextmanager
def register_live_run(folder: Path) -> Iterator[None]:
    """Count as a live run while the ``with`` block runs. ``folder`` has all layers.

    Where the file cannot be made, the run goes on: what it used may be gone for the next one.
    """
    with ExitStack() as stack:
        with survive_write_errors(folder):
            path = _create_live_file(folder, stack)
            stack.callback(_remove_file, path)
        yield


def find_live_start(folder: Path) -> float:
    """When the oldest live run began, in seconds since the epoch; now, where there is none.

    The files of killed runs are removed. A run that begins later is of no concern: it uses everything later.
    """
    now = time.time()
    create_private_directory(folder)
    with lock_layers(folder):
        return min(
            (start for path in folder.glob(f"{_LIVE_RUNS}/*") if (start := _find_start(path))), default=now
        )


def _create_live_file(folder: Path, stack: ExitStack) -> Path:
    create_private_directory(folder / _LIVE_RUNS)
    # Nobody may find it before it is locked.
    with lock_layers(folder):
        handle, name = tempfile.mkstemp(dir=folder / _LIVE_RUNS)
        os.close(handle)
        path = Path(name)
        began = time.time() - _CLOCK_SLACK
        os.utime(path, (began, began))
        stack.enter_context(lock_path(path))
    return path


def _remove_file(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _find_start(path: Path) -> float | None:
    """When the run of this file began; None where it is dead."""
    with suppress(OSError), try_lock_path(path, create=False) as is_free:
        if not is_free:
            return path.stat().st_mtime
        path.unlink()
    return None
