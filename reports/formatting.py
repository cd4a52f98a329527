"""Foreign text made fit to be shown: no control characters, no endless lines, and no surprises."""

import re
import textwrap
from collections.abc import Iterable, Iterator

TERMINAL_WIDTH = 80
"""Columns of what is told at length in a terminal."""
MAX_LINE_LENGTH = 500
_LABEL_WIDTH = 12

# What a terminal would obey: CSI sequences (colours, cursor), terminated OSC ones (titles, links).
_TERMINAL_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# C0 but tab, DEL, C1, and what reorders or joins text (bidi controls, zero-width, lone surrogates).
_INVISIBLE_CHARACTERS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean_text(text: str, limit: int = MAX_LINE_LENGTH) -> str:
    """Foreign text as one harmless line of at most ``limit`` characters; tabs stay."""
    line = _TERMINAL_ESCAPES.sub("", text[: 4 * limit]).replace("\r\n", " ").replace("\n", " ")
    line = _INVISIBLE_CHARACTERS.sub("\ufffd", line)
    cut = len(line) > limit or len(text) > 4 * limit
    return line[: limit - 1] + "…" if cut else line


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


def format_labelled_lines(label: str, lines: Iterable[str], *, wrap: bool = True) -> Iterator[str]:
    """Lines beside a label, which stands before the first one; wrapped unless they are to be copied."""
    for number, line in enumerate(lines):
        width = TERMINAL_WIDTH - _LABEL_WIDTH - 2 if wrap else 10**6
        for part, text in enumerate(textwrap.wrap(line, width, break_on_hyphens=False) or [""]):
            yield f"  {label if not (number or part) else '':<{_LABEL_WIDTH}}{text}".rstrip()
