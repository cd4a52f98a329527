"""The exit codes: their numbers, their meaning, and which one is returned when several apply."""

from enum import IntEnum
from typing import Self, TypeVar

_Code = TypeVar("_Code", bound=int)


class ExitCode(IntEnum):
    """How a task ends. ``meaning`` is the text in README's table."""

    meaning: str

    PASSED = 0, "every cell that was built passed"
    WRONG_REQUEST = 1, "the request was wrong, or nothing was proven: no cell compiled anything"
    MACHINE_FAULT = 2, "the machine let us down, so something that was planned was not tried"
    BUG = 70, "kmatrix itself is wrong: a bug, or a difference that `--verify` found"
    FAILED = 100, "at least one cell failed"
    WARNED = 101, "with `--werror`: warnings, and no failure"
    INTERRUPTED = 130, "interrupted"

    def __new__(cls, number: int, meaning: str) -> Self:
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code


LADDER = (
    ExitCode.INTERRUPTED,
    ExitCode.FAILED,
    ExitCode.MACHINE_FAULT,
    ExitCode.WRONG_REQUEST,
    ExitCode.WARNED,
    ExitCode.PASSED,
)
"""The codes of a run or a verdict, in order of precedence. A failure is final; what could not be tried never
counts as passed."""


def choose_exit_code(
    *, interrupted: bool, failed: bool, untried: bool, unproven: bool, warned: bool
) -> ExitCode:
    """The first code of the ladder that applies.

    ``untried``: something that was planned could not be tried. ``unproven``: nothing was compiled, or some
    question cannot be decided from what was. ``warned``: there are warnings, and the request counts them.
    """
    holds = (interrupted, failed, untried, unproven, warned, True)
    return next(code for code, held in zip(LADDER, holds, strict=True) if held)


def choose_worse_code(*codes: _Code) -> _Code:
    """The code that stands first in the ladder; one that is not there wins: of a bug, of a shell."""
    order: list[int] = list(LADDER)
    return min(codes, key=lambda code: order.index(code) if code in order else -1)
