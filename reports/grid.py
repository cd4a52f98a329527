"""The matrix as a table: rows arch × toolchain (× base), columns the configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from string import ascii_lowercase
from typing import Generic, TypeVar

from matrix.record.run_model import Cell, RequestedCell, Run
from reports.style import STATE_SIGNS, STATE_STYLES, StyledLine

GridValues = tuple[str, ...]
_AnyCell = TypeVar("_AnyCell", bound=RequestedCell)


@dataclass(frozen=True)
class GridRow(Generic[_AnyCell]):
    """One lane: its heading (a text per field of the grid), and a cell, or None, per column."""

    heading: GridValues
    cells: tuple[_AnyCell | None, ...]


@dataclass(frozen=True)
class Grid(Generic[_AnyCell]):
    """``fields`` name the row headings; a column is one value per symbol, empty where not asked for."""

    fields: GridValues
    symbols: GridValues
    columns: tuple[GridValues, ...]
    rows: tuple[GridRow[_AnyCell], ...]

    @property
    def gap_columns(self) -> frozenset[int]:
        """The columns before which a gap helps the eye: where the first of several symbols changes."""
        if len(self.symbols) < 2:
            return frozenset()
        return frozenset(i for i, (a, b) in enumerate(pairwise(self.columns), start=1) if a[0] != b[0])


def build_grid(run: Run) -> Grid[Cell]:
    """A run's grid. Symbols, values and rows stand in plan order."""
    return arrange_cells(run.cells, run.axes)


def arrange_cells(cells: Sequence[_AnyCell], axes: Mapping[str, GridValues]) -> Grid[_AnyCell]:
    """The grid of any cells; ``axes`` are those of their plan, with the values in its order."""
    fields = ("arch", "toolchain", "base") if len({c.base for c in cells}) > 1 else ("arch", "toolchain")
    symbols = _list_symbols(cells, axes)
    columns = _sort_columns(cells, axes, symbols)
    rows: dict[GridValues, dict[GridValues, _AnyCell]] = {}
    for cell in cells:
        rows.setdefault(_build_heading(cell, fields), {})[_read_values(cell, symbols)] = cell
    return Grid(
        fields=fields,
        symbols=symbols,
        columns=columns,
        rows=tuple(GridRow(heading, tuple(map(row.get, columns))) for heading, row in rows.items()),
    )


@dataclass(frozen=True)
class ColumnSpan:
    """A symbol's value over ``columns`` neighbours, of which ``first_column`` is the index of the first."""

    value: str
    first_column: int
    columns: int


def find_spans(grid: Grid[_AnyCell], level: int) -> list[ColumnSpan]:
    """The values of one symbol from left to right, those of neighbours under one parent joined."""
    paths = enumerate(column[: level + 1] for column in grid.columns)
    joined = [[index for index, _ in run] for _, run in groupby(paths, key=lambda pair: pair[1])]
    return [ColumnSpan(grid.columns[run[0]][level], run[0], len(run)) for run in joined]


def _list_symbols(cells: Sequence[RequestedCell], axes: Mapping[str, GridValues]) -> GridValues:
    seen = dict.fromkeys(symbol for cell in cells for symbol in cell.request)
    planned = [name for name in axes if name in seen]
    return tuple(dict.fromkeys([*planned, *seen]))


def _sort_columns(
    cells: Sequence[RequestedCell], axes: Mapping[str, GridValues], symbols: GridValues
) -> tuple[GridValues, ...]:
    """In the order of the axes: a plan that leaves out some cells still gets a regular table."""
    seen = dict.fromkeys(_read_values(cell, symbols) for cell in cells)
    orders = [tuple(axes.get(symbol, ())) for symbol in symbols]

    def rank_column(column: GridValues) -> list[int]:
        return [_rank_value(order, value) for order, value in zip(orders, column, strict=True)]

    return tuple(sorted(seen, key=rank_column))


def _rank_value(order: GridValues, value: str) -> int:
    return order.index(value) if value in order else len(order)


def _read_values(cell: RequestedCell, symbols: GridValues) -> GridValues:
    return tuple(cell.request.get(symbol, "") for symbol in symbols)


def _build_heading(cell: RequestedCell, fields: GridValues) -> GridValues:
    return tuple(cell.axes[field] for field in fields)


_MAX_VALUE_LENGTH = 4
_ColumnSlots = list[tuple[int, int]]
"""Columns that stand side by side: the index of each, and the blanks before it."""


def render_grid(grid: Grid[Cell], width: int) -> list[StyledLine]:
    """The grid in at most ``width`` characters where that can be: wide ones continue underneath."""
    columns, key = _abbreviate_values(grid)
    wide = max((len(value) for column in columns for value in column), default=1)
    headings = [*(_format_heading(grid, row.heading) for row in grid.rows), *grid.symbols]
    head = max(map(len, headings), default=0)
    lines: list[StyledLine] = []
    for slots in _split_columns(grid, wide, width - head - 1):
        lines += [StyledLine()] if lines else []
        lines += _render_symbol_lines(grid, columns, slots, head, wide)
        lines += _render_row_lines(grid, slots, head, wide)
    return lines + key


def _abbreviate_values(grid: Grid[Cell]) -> tuple[tuple[GridValues, ...], list[StyledLine]]:
    """The columns with long values as letters, and a line per symbol that explains its letters."""
    levels: list[GridValues] = []
    key: list[StyledLine] = []
    for level, symbol in enumerate(grid.symbols):
        values = tuple(column[level] for column in grid.columns)
        distinct = [value for value in dict.fromkeys(values) if value]
        if max(map(len, distinct), default=0) > _MAX_VALUE_LENGTH:
            short = {value: _abbreviation_of_index(index) for index, value in enumerate(distinct)}
            values = tuple(short.get(value, "") for value in values)
            meanings = "  ".join(f"{letter} = {value}" for value, letter in short.items())
            key.append(StyledLine(f"{symbol}: {meanings}", style="dim"))
        levels.append(values)
    return tuple(zip(*levels, strict=True)) or grid.columns, key


def _abbreviation_of_index(index: int) -> str:
    return ascii_lowercase[index] if index < len(ascii_lowercase) else str(index)


def _split_columns(grid: Grid[Cell], wide: int, width: int) -> list[_ColumnSlots]:
    """Columns side by side, a gap where the first symbol changes; tighter, then cut, when too wide."""
    loose = [2 if index in grid.gap_columns else 1 for index in range(len(grid.columns))]
    tight = [gap - 1 for gap in loose]
    gaps = tight if wide == 1 and sum(loose) + len(loose) > width else loose
    parts: list[_ColumnSlots] = []
    used = width
    for index, gap in enumerate(gaps):
        if used + gap + wide > width:
            parts.append([])
            used, gap = 0, 1  # noqa: PLW2901 - a part's first column stands like the first of all
        parts[-1].append((index, gap))
        used += gap + wide
    return parts


def _render_symbol_lines(
    grid: Grid[Cell], columns: tuple[GridValues, ...], slots: _ColumnSlots, head: int, wide: int
) -> list[StyledLine]:
    lines = []
    for level, symbol in enumerate(grid.symbols):
        values = "".join(" " * gap + columns[index][level].rjust(wide) for index, gap in slots)
        lines.append(StyledLine(f"{symbol:>{head}} {values}", style="dim"))
    return lines


def _render_row_lines(grid: Grid[Cell], slots: _ColumnSlots, head: int, wide: int) -> list[StyledLine]:
    lines = []
    for row in grid.rows:
        line = StyledLine(f"{_format_heading(grid, row.heading):<{head}} ")
        for index, gap in slots:
            cell = row.cells[index]
            line.append(" " * (gap + wide - 1))
            line.append(STATE_SIGNS[cell.state] if cell else " ", STATE_STYLES[cell.state] if cell else "")
        lines.append(line)
    return lines


def _format_heading(grid: Grid[Cell], heading: GridValues) -> str:
    """``arm64    gcc-14``: the parts, each as wide as the widest of its field."""
    widths = [max(len(row.heading[field]) for row in grid.rows) for field in range(len(grid.fields))]
    return "  ".join(f"{part:<{width}}" for part, width in zip(heading, widths, strict=True)).rstrip()
