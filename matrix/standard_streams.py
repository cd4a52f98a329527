"""stdin, stdout and stderr of this process, in whatever state they are.

Whoever starts kmatrix may have closed them, a disk behind them may be full, a reader or a terminal may go
away, and an encoding may lack a character. None of that ends a run that takes hours: what cannot be printed
is dropped, and is a side failure.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from matrix.errors import MachineError
from matrix.side_failures import record_side_failure

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# What a closed one becomes. A write to stdout must fail, as it did; an error on stderr has nowhere to go.
_REPLACEMENTS = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)


@contextmanager
def guard_standard_streams() -> Iterator[None]:
    """Open those that are closed; while the ``with`` block runs, no write to stdout or stderr raises."""
    _open_closed_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = before[0] or open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    # A stream that is not the process's own, as in a test, stays.
    if before[1] is sys.__stdout__:
        sys.stdout = _open_forgiving(1, before[1], "stdout")
    if before[2] is sys.__stderr__:
        sys.stderr = _open_forgiving(2, before[2], "")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Otherwise the next file that is opened gets the number, and the output goes into it."""
    for number, flags in enumerate(_REPLACEMENTS):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)


class _ForgivingFile(io.FileIO):
    """A descriptor whose failed writes are dropped. ``label`` names it in the side failure; without a label,
    nobody is told."""

    def __init__(self, descriptor: int, label: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._label = label

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self._label:
                record_side_failure(_build_output_error(self._label, error))
            return memoryview(data).nbytes


def _build_output_error(label: str, error: OSError) -> MachineError:
    return MachineError(
        f"{label} could not be written: {error.strerror}", "what stood there is not all that was to be shown"
    )


def _open_forgiving(descriptor: int, stream: Any, label: str) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(_ForgivingFile(descriptor, label))
    return io.TextIOWrapper(buffer, encoding=encoding, errors="replace", line_buffering=os.isatty(descriptor))
