"""Which lines patches change, as the tree has them after the last one."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matrix.source.mbox.patch_file import find_touched_paths

_HUNK_HEADER = re.compile(r"^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
LineRanges = dict[str, tuple[tuple[int, int], ...]]
"""Path → the first and last lines of what is changed there, in order."""


class _Hunk(NamedTuple):
    """A hunk of one file: its first line before and after, and the signs of its lines."""

    path: str
    old_start: int
    new_start: int
    signs: str


def find_changed_lines(contents: Sequence[bytes]) -> list[LineRanges]:
    """For each patch of a series, the lines that it adds, where they are after the whole series.

    A line that a later patch takes away is in none.
    """
    added: list[dict[str, list[int]]] = []
    for content in contents:
        hunks = list(_parse_hunks(content))
        added = [_shift_lines(each, hunks) for each in added]
        added.append(_list_added_lines(hunks))
    return [{path: _join_ranges(lines) for path, lines in each.items() if lines} for each in added]


def _parse_hunks(content: bytes) -> Iterator[_Hunk]:
    path = ""
    lines = iter(os.fsdecode(content).split("\n"))
    for line in lines:
        if line.startswith("+++ "):
            path = next(iter(find_touched_paths(os.fsencode(f"--- /dev/null\n{line}"))), "")
        if hunk := _HUNK_HEADER.match(line):
            old, new = int(hunk[2] or 1), int(hunk[4] or 1)
            signs = "".join(_take_signs(lines, old, new))
            if path:
                # A side without lines is told by the line before it.
                yield _Hunk(path, int(hunk[1]) + (old == 0), int(hunk[3]) + (new == 0), signs)


def _take_signs(lines: Iterator[str], old: int, new: int) -> Iterator[str]:
    """The signs of a hunk's lines, until each side has as many as its header says."""
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            return
        sign = line[:1] or " "
        old -= sign in "- "
        new -= sign in "+ "
        yield sign


def _list_added_lines(hunks: Sequence[_Hunk]) -> dict[str, list[int]]:
    added: dict[str, list[int]] = {}
    for hunk in hunks:
        line = hunk.new_start
        for sign in hunk.signs:
            if sign == "+":
                added.setdefault(hunk.path, []).append(line)
            line += sign in "+ "
    return added


def _shift_lines(lines: dict[str, list[int]], hunks: Sequence[_Hunk]) -> dict[str, list[int]]:
    """Where these lines are when the hunks of a later patch are applied."""
    by_path: dict[str, list[_Hunk]] = {}
    for hunk in hunks:
        by_path.setdefault(hunk.path, []).append(hunk)
    return {
        path: [line for line in map(_LineShift(by_path.get(path, ())).shift, found) if line]
        for path, found in lines.items()
    }


class _LineShift:
    """Where lines of one file go; hunks are in the order of the file."""

    def __init__(self, hunks: Sequence[_Hunk]) -> None:
        self._inner: dict[int, int] = {}
        """Line of a hunk before it → after it; 0 for one that it takes away."""
        self._ends: list[tuple[int, int]] = []
        """First line after each hunk, and how far all from there on move."""
        for hunk in hunks:
            self._add(hunk)

    def _add(self, hunk: _Hunk) -> None:
        old, new = hunk.old_start, hunk.new_start
        for sign in hunk.signs:
            if sign in "- ":
                self._inner[old] = new if sign == " " else 0
            old += sign in "- "
            new += sign in "+ "
        self._ends.append((old, new - old))

    def shift(self, line: int) -> int:
        if line in self._inner:
            return self._inner[line]
        return line + next((by for end, by in reversed(self._ends) if end <= line), 0)


def _join_ranges(lines: Sequence[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[list[int]] = []
    for line in sorted(lines):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return tuple((first, last) for first, last in ranges)
