"""The one error family: each class carries its exit code, each message says what to do next.

A failing cell is a result and never an exception; these are for a tool that cannot go on. They are
caught once, in ``matrix/command_line.py``.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar

from matrix.exit_codes import ExitCode


class KmatrixError(Exception):
    """Base of everything kmatrix raises on purpose.

    ``str()`` is one clear statement of what is wrong; ``hint`` is what to do about it (a command to
    type, where there is one), or empty.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RequestError(KmatrixError):
    """What was asked for is wrong: an option, a profile, a selection, a patch, a source."""

    exit_code = ExitCode.WRONG_REQUEST


class RejectedPatchError(RequestError):
    """A patch does not apply. ``index`` says which of those given, from 0: all before it do apply."""

    def __init__(self, message: str, hint: str, index: int) -> None:
        super().__init__(message, hint)
        self.patch_index = index


class MachineError(KmatrixError):
    """The machine let us down: no engine, no image, no space, no network."""

    exit_code = ExitCode.MACHINE_FAULT


class EngineError(MachineError):
    """The container engine is missing, refuses, or died."""


class DiskFullError(MachineError):
    """A file of ours could not be written for want of space."""


class InterruptedRunError(KmatrixError):
    """The user stopped it."""

    exit_code = ExitCode.INTERRUPTED


def format_nearest(word: str, words: Iterable[str]) -> str:
    """`` (nearest: 'gcc-14')``, or nothing where no valid word is near: the tail of a refusal."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (nearest: {found[0]!r})" if found else ""
