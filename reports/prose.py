"""The body of a mail: prose wrapped at 75 columns, and what is never wrapped."""

import re
import textwrap
from collections.abc import Iterable, Sequence

from reports.text import clean_text

MAIL_WIDTH = 75
"""Columns of prose, as for a commit's message: with a few marks of quotation it still fits in 80."""

_INDENT = "  "
_FIELD_WIDTH = 11
# What tools for patches look for in a mail: a tag would be credited, the beginning of a diff applied.
_PATCH_TOOL_SYNTAX = re.compile(
    r"\s*(?:[\w-]+-by|cc|fixes|closes|links?|references|message-id|change-id|base-commit)\s*:"
    r"|diff |--- |\+\+\+ |@@ |-- ?$",
    re.IGNORECASE,
)


def wrap_paragraph(text: str, most: int = 6) -> list[str]:
    """Prose in at most so many lines, and the empty line behind it; nothing of no text."""
    lines = textwrap.wrap(
        clean_text(text, 4000),
        MAIL_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" …",
    )
    return [*map(escape_mail_line, lines), ""] if lines else []


def indent_verbatim(lines: Iterable[str], limit: int = 240) -> list[str]:
    """What is never wrapped, indented, and the empty line behind it; longer lines are cut at ``limit``.

    A mail's line has at most 998 bytes, and a character up to four.
    """
    told = [escape_mail_line(f"{_INDENT}{clean_text(line, limit)}".rstrip()) for line in lines]
    return [*told, ""] if told else []


def format_wrapped_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """Prose behind a name, which stands before its first line; in at most so many lines."""
    wrapped = (
        textwrap.wrap(clean_text(line), MAIL_WIDTH - _FIELD_WIDTH, break_on_hyphens=False) for line in lines
    )
    return _prefix_field_name(name, [part for parts in wrapped for part in parts], most)


def format_verbatim_field(name: str, lines: Iterable[str], most: int = 6) -> list[str]:
    """The same for what is never wrapped."""
    return _prefix_field_name(name, list(map(clean_text, lines)), most)


def _prefix_field_name(name: str, told: list[str], most: int) -> list[str]:
    shown = told if len(told) <= most else [*told[: most - 1], f"{told[most - 1]} …"]
    return [f"{'' if number else f'{name}:':<{_FIELD_WIDTH}}{line}" for number, line in enumerate(shown)]


def format_marked_lines(lines: Sequence[str], mark: str = "") -> list[str]:
    """What a tool printed, never wrapped, the first line behind a mark."""
    return [
        escape_mail_line(f"{mark if not number else '':<3}{clean_text(line, 240)}".rstrip())
        for number, line in enumerate(lines)
    ]


def format_quotation(lines: Sequence[str], most: int) -> list[str]:
    """The first of these lines as a quotation, never wrapped, and the empty line behind it."""
    shown = [f"> {clean_text(line, 240)}".rstrip() for line in lines[:most]]
    return [*shown, *(["> [...]"] if len(lines) > most else []), ""] if shown else []


def escape_mail_line(line: str) -> str:
    """A line that is no tag and begins no diff, whatever it says."""
    return f"| {line}" if _PATCH_TOOL_SYNTAX.match(line) else line


def join_with_and(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
