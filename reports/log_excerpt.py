"""The part of a build log around its error, for a page that cannot hold whole logs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Diagnostic
from reports.formatting import shorten_line
from reports.limits import HTML_LOG_LINES, LINE_LENGTH

_LINES_BEFORE = 12
_MESSAGE_LENGTH = 60
"""Characters of a message by which it is looked for: the log may wrap or colour what follows."""
_ERROR_LINE = re.compile(r"\b(?:error|ERROR): |\*\*\*")


@dataclass(frozen=True)
class LogExcerpt:
    """Lines of a log. ``first`` is the number of the first of them in the log, which has ``total``;
    ``error`` the number of the line with the error, 0 where none is found: then they are the last lines. Of
    a log that is too large to be read whole all three are 0."""

    first: int
    total: int
    error: int
    lines: tuple[str, ...]


def excerpt_log(text: str, diagnostics: Iterable[Diagnostic]) -> LogExcerpt:
    """The lines around the first of these diagnostics that the log shows, else around its first error, else
    its last."""
    lines = text.rstrip("\n").split("\n")
    error = find_error_line(text, lines, diagnostics)
    last = len(lines) - HTML_LOG_LINES
    start = max(0, min(error - 1 - _LINES_BEFORE, last) if error else last)
    shown = lines[start : start + HTML_LOG_LINES]
    return LogExcerpt(
        first=start + 1,
        total=len(lines),
        error=error,
        lines=tuple(shorten_line(line, LINE_LENGTH) for line in shown),
    )


def excerpt_tail(lines: Iterable[str]) -> LogExcerpt:
    """The last lines of a log that is too large to be read whole."""
    return LogExcerpt(0, 0, 0, tuple(shorten_line(line, LINE_LENGTH) for line in lines))


def find_error_line(text: str, lines: Iterable[str], diagnostics: Iterable[Diagnostic]) -> int:
    """The number of the line with the first of these diagnostics, or else with an error; 0 without any."""
    for diagnostic in diagnostics:
        place = text.find(diagnostic.message[:_MESSAGE_LENGTH]) if diagnostic.message else -1
        if place >= 0:
            return text.count("\n", 0, place) + 1
    return next((number for number, line in enumerate(lines, 1) if _ERROR_LINE.search(line)), 0)
