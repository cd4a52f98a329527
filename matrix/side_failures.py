"""What fails beside a command's own work: its output, its display, its reports.

None of it ends the work. It is kept here, for the command to tell at its end, and for its exit code.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from matrix.errors import MachineError

_failures: dict[str, MachineError] = {}


def record_side_failure(error: MachineError) -> None:
    """Keep a failure; the same sentence counts once. May be called from any thread."""
    _failures.setdefault(str(error), error)


def take_side_failures() -> list[MachineError]:
    """The failures since this was last asked, in their order."""
    taken = list(_failures.values())
    _failures.clear()
    return taken


@contextmanager
def survive_failures(what: str) -> Iterator[None]:
    """Let the work go on when the machine fails the ``with`` block. ``what`` it makes starts the sentence."""
    try:
        yield
    except MachineError as error:
        record_side_failure(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        record_side_failure(MachineError(f"{what} could not be written: {reason}"))
