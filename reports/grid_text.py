"""The grid in characters: a column per configuration, its values written downwards above it."""

from string import ascii_lowercase

from rich.text import Text

from reports.grid import Grid, Values
from reports.look import SIGNS, STYLES
from reports.text import clean

_WIDEST_VALUE = 4
_Slots = list[tuple[int, int]]
"""Columns that stand side by side: the index of each, and the blanks before it."""


def grid_lines(grid: Grid, width: int) -> list[Text]:
    """The grid in at most ``width`` characters where that can be: wide ones continue underneath."""
    columns, key = _abbreviated(grid)
    wide = max((len(value) for column in columns for value in column), default=1)
    headings = [*(_heading(grid, row.heading) for row in grid.rows), *map(clean, grid.symbols)]
    head = max(map(len, headings), default=0)
    lines: list[Text] = []
    for slots in _parts(grid, wide, width - head - 1):
        lines += [Text()] if lines else []
        lines += _symbol_lines(grid, columns, slots, head, wide)
        lines += _row_lines(grid, slots, head, wide)
    return lines + key


def _abbreviated(grid: Grid) -> tuple[tuple[Values, ...], list[Text]]:
    """The columns with long values as letters, and a line per symbol that explains its letters."""
    levels: list[Values] = []
    key: list[Text] = []
    for level, symbol in enumerate(grid.symbols):
        values = tuple(clean(column[level]) for column in grid.columns)
        distinct = [value for value in dict.fromkeys(values) if value]
        if max(map(len, distinct), default=0) > _WIDEST_VALUE:
            short = {value: _letter(index) for index, value in enumerate(distinct)}
            values = tuple(short.get(value, "") for value in values)
            told = "  ".join(f"{letter} = {value}" for value, letter in short.items())
            key.append(Text(f"{clean(symbol)}: {told}", style="dim"))
        levels.append(values)
    return tuple(zip(*levels, strict=True)) or grid.columns, key


def _letter(index: int) -> str:
    return ascii_lowercase[index] if index < len(ascii_lowercase) else str(index)


def _parts(grid: Grid, wide: int, room: int) -> list[_Slots]:
    """Columns side by side, a gap where the first symbol changes; tighter, then cut, when too wide."""
    loose = [2 if index in grid.breaks else 1 for index in range(len(grid.columns))]
    tight = [gap - 1 for gap in loose]
    gaps = tight if wide == 1 and sum(loose) + len(loose) > room else loose
    parts: list[_Slots] = []
    used = room
    for index, gap in enumerate(gaps):
        if used + gap + wide > room:
            parts.append([])
            used, gap = 0, 1  # noqa: PLW2901 - a part's first column stands like the first of all
        parts[-1].append((index, gap))
        used += gap + wide
    return parts


def _symbol_lines(grid: Grid, columns: tuple[Values, ...], slots: _Slots, head: int, wide: int) -> list[Text]:
    lines = []
    for level, symbol in enumerate(grid.symbols):
        values = "".join(" " * gap + columns[index][level].rjust(wide) for index, gap in slots)
        lines.append(Text(f"{clean(symbol):>{head}} {values}", style="dim"))
    return lines


def _row_lines(grid: Grid, slots: _Slots, head: int, wide: int) -> list[Text]:
    lines = []
    for row in grid.rows:
        line = Text(f"{_heading(grid, row.heading):<{head}} ")
        for index, gap in slots:
            cell = row.cells[index]
            line.append(" " * (gap + wide - 1))
            line.append(SIGNS[cell.state] if cell else " ", STYLES[cell.state] if cell else "")
        lines.append(line)
    return lines


def _heading(grid: Grid, heading: Values) -> str:
    """``arm64    gcc-14``: the parts, each as wide as the widest of its field."""
    widths = [max(len(clean(row.heading[field])) for row in grid.rows) for field in range(len(grid.fields))]
    return "  ".join(f"{clean(part):<{width}}" for part, width in zip(heading, widths, strict=True)).rstrip()
