"""The one error family: each class has its exit code, each error a hint at what to do next.

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
    """A patch does not apply. ``patch_index`` is its place among those given, from 0; all before it apply.

    ``is_applied``: what it changes is in the tree already.
    """

    def __init__(self, message: str, hint: str, index: int, *, is_applied: bool = False) -> None:
        super().__init__(message, hint)
        self.patch_index = index
        self.is_applied = is_applied


class MachineError(KmatrixError):
    """The machine failed: no engine, no image, no space, no network."""

    exit_code = ExitCode.MACHINE_FAULT


class EngineError(MachineError):
    """The container engine is missing, refuses access, or has stopped."""


class RegistryError(EngineError):
    """A registry does not give or take an image. ``is_missing``: it answers, and has none of that name."""

    def __init__(self, message: str, hint: str, *, is_missing: bool = False) -> None:
        super().__init__(message, hint)
        self.is_missing = is_missing


class DiskFullError(MachineError):
    """A file could not be written for want of space."""


class InterruptedRunError(KmatrixError):
    """The user interrupted the command."""

    exit_code = ExitCode.INTERRUPTED


def format_nearest(word: str, words: Iterable[str]) -> str:
    """`` (nearest: 'gcc-14')``, or nothing where no valid word is near: for the end of a message."""
    matches = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (nearest: {matches[0]!r})" if matches else ""
