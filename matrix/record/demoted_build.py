"""An object that promoted warnings kept from being made, and how it came out with those demoted.

Such a build is made to see what is behind other diagnostics. It is no cell's, and its object counts nowhere.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic

_PLAIN_PROMOTION = "-Werror"
"""What gcc names in place of a flag where the warning has none of its own."""


class HiddenObject(NamedTuple):
    """An object of one cell (its id) of the run in this directory; errors of it may hide others."""

    run: Path
    cell: str
    object: str


@dataclass(frozen=True)
class DemotedBuild:
    """How one object came out that was made by itself.

    ``command`` is empty where nothing was made. ``diagnostics`` are what was printed for it. ``reason``: why
    it was not made. ``switched_off``: symbols of the configuration that promote warnings, which were changed
    for it. ``log`` is relative to the run's directory.
    """

    command: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    is_made: bool = False
    reason: str = ""
    demoted: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()
    log: str | None = None


def is_demotable(error: Diagnostic) -> bool:
    """Whether an error is a warning that something promoted, so that the code may be compiled in spite of
    it."""
    return (error.promoted or error.flag == _PLAIN_PROMOTION) and not error.internal
