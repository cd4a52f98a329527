"""The output of a step, bounded: what a build prints must fill neither the memory nor the disk.

The first part and the last are kept, in the log and in memory; what lies between is counted. The lines
themselves are bounded where the engine's bytes become lines.
"""

import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.engine.protocol import LineCallback


@dataclass(frozen=True)
class OutputLimits:
    """Bounds of what is kept of a step's output. Bytes are of memory; in a log the same lines take less.

    ``diagnostics`` counts errors and warnings. A kernel with all its modules prints some 50,000 lines, each
    of about a hundred bytes.
    """

    first_lines: int = 100_000
    first_bytes: int = 32 * 2**20
    last_lines: int = 25_000
    last_bytes: int = 8 * 2**20
    diagnostics: int = 10_000


OUTPUT_LIMITS = OutputLimits()


class StepOutput:
    """Takes the lines of a step as they come; ``log`` gets at once what is kept of the first part."""

    def __init__(self, log: LineCallback, limits: OutputLimits | None = None) -> None:
        self.left_out_lines = 0
        self.left_out_messages = 0
        """How many of the lines left out name a warning or an error."""
        self._log = log
        self._limits = limits or OUTPUT_LIMITS
        self._first: list[str] = []
        self._first_bytes = 0
        self._is_first_full = False
        self._last: deque[str] = deque()
        self._last_bytes = 0

    def add_line(self, line: str) -> None:
        """Take the next line."""
        size = sys.getsizeof(line)
        limits = self._limits
        if not self._is_first_full:
            full = self._first_bytes + size > limits.first_bytes or len(self._first) >= limits.first_lines
            self._is_first_full = full
        if self._is_first_full:
            self._add_last(line, size)
            return
        self._first.append(line)
        self._first_bytes += size
        self._log(line)

    def finish(self) -> tuple[str, ...]:
        """The lines that are kept, when the step is over. The log gets its last part now."""
        rest = [*self._list_rest()]
        for line in rest:
            self._log(line)
        return (*self._first, *rest)

    def _list_rest(self) -> Iterator[str]:
        if self.left_out_lines:
            yield f"[kmatrix: {self.left_out_lines:,} lines of the output were left out here]"
        yield from self._last

    def _add_last(self, line: str, size: int) -> None:
        self._last.append(line)
        self._last_bytes += size
        while self._last_bytes > self._limits.last_bytes or len(self._last) > self._limits.last_lines:
            gone = self._last.popleft()
            self._last_bytes -= sys.getsizeof(gone)
            self.left_out_lines += 1
            self.left_out_messages += "arning" in gone or "rror" in gone


def bound_occurrences(
    occurrences: list[Occurrence], left_out_lines: int, limits: OutputLimits | None = None
) -> tuple[list[Occurrence], bool]:
    """(as many as may be kept, errors first, and one more that says what is missing; whether all is there).

    ``left_out_lines``: lines of the output that name a warning or an error, and were not kept.
    """
    most = (limits or OUTPUT_LIMITS).diagnostics
    left_out = len(occurrences) - most
    if left_out <= 0 and not left_out_lines:
        return occurrences, True
    first = sorted(occurrences, key=lambda item: item.diagnostic.severity != "error")[:most]
    return [*first, Occurrence(_build_notice(max(0, left_out), left_out_lines), None)], False


def _build_notice(diagnostics: int, lines: int) -> Diagnostic:
    message = "there was more output than is kept, so warnings and errors are missing"
    notes = (
        f"{diagnostics:,} errors and warnings were left out",
        f"{lines:,} lines that name an error or a warning were left out of the log",
    )
    return Diagnostic(severity="warning", tool="kmatrix", message=message, notes=notes)
