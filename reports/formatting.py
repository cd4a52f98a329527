"""Durations, counts, ranges and lines of 80 columns, as every report writes them."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from matrix.foreign_text import clean_text

TERMINAL_WIDTH = 80
"""Columns of prose in a terminal."""
_LABEL_WIDTH = 12


def format_duration(seconds: float) -> str:
    """``9.4 s``, ``3 min 12 s``, ``1 h 04 min``."""
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def format_count(count: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shorten_line(line: str, limit: int) -> str:
    """A line of at most ``limit`` characters; where it is cut, an ellipsis ends it."""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def join_first(words: Sequence[str], limit: int, more: str) -> str:
    """The first words with commas between them, and how many more there are: ``a, b, 3 more``.

    ``more`` stands before that number, and has the comma if there is to be one.
    """
    rest = len(words) - limit
    return ", ".join(words[:limit]) + (f"{more}{rest} more" if rest > 0 else "")


def wrap_text(
    text: str, first: str = "", rest: str = "", width: int = TERMINAL_WIDTH, *, hyphens: bool = False
) -> list[str]:
    """Prose in lines of the terminal's width; they begin with ``first``, then with ``rest``.

    Foreign text is cleaned before, so that it is measured as it is shown. ``hyphens``: break there, too.
    """
    return textwrap.wrap(
        clean_text(text), width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=hyphens
    )


def format_labelled_lines(label: str, lines: Iterable[str], *, wrap: bool = True) -> Iterator[str]:
    """Lines beside a label, which stands before the first one; wrapped unless they are to be copied."""
    for number, line in enumerate(lines):
        parts = wrap_text(line, width=TERMINAL_WIDTH - _LABEL_WIDTH - 2) if wrap else [line]
        for part, text in enumerate(parts or [""]):
            yield f"  {label if not (number or part) else '':<{_LABEL_WIDTH}}{text}".rstrip()


def join_ranges(numbers: Iterable[int]) -> str:
    """``0-4 9 12-20``: ascending numbers, neighbours joined."""
    given = sorted(numbers)
    starts = given[:1] + [b for a, b in pairwise(given) if b != a + 1]
    ends = [a for a, b in pairwise(given) if b != a + 1] + given[-1:]
    pairs = zip(starts, ends, strict=True)
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in pairs)
