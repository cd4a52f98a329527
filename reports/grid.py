"""The matrix as a table: rows arch × toolchain (× base), columns the configurations."""

from dataclasses import dataclass
from itertools import groupby, pairwise

from matrix.record.model import Cell, Run

GridValues = tuple[str, ...]


@dataclass(frozen=True)
class GridRow:
    """One lane: its heading (a text per field of the grid), and a cell, or None, per column."""

    heading: GridValues
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Grid:
    """``fields`` name the row headings; a column is one value per symbol, empty where not asked for."""

    fields: GridValues
    symbols: GridValues
    columns: tuple[GridValues, ...]
    rows: tuple[GridRow, ...]

    @property
    def gap_columns(self) -> frozenset[int]:
        """The columns before which a gap helps the eye: where the first of several symbols changes."""
        if len(self.symbols) < 2:
            return frozenset()
        return frozenset(i for i, (a, b) in enumerate(pairwise(self.columns), start=1) if a[0] != b[0])


def build_grid(run: Run) -> Grid:
    """A run's grid. Symbols, values and rows stand in plan order."""
    fields = ("arch", "toolchain", "base") if len({c.base for c in run.cells}) > 1 else ("arch", "toolchain")
    symbols = _list_symbols(run)
    columns = _sort_columns(run, symbols)
    rows: dict[GridValues, dict[GridValues, Cell]] = {}
    for cell in run.cells:
        rows.setdefault(_build_heading(cell, fields), {})[_read_values(cell, symbols)] = cell
    return Grid(
        fields=fields,
        symbols=symbols,
        columns=columns,
        rows=tuple(GridRow(heading, tuple(map(row.get, columns))) for heading, row in rows.items()),
    )


@dataclass(frozen=True)
class ColumnSpan:
    """A symbol's value over ``columns`` neighbours, of which ``first`` is the index of the first."""

    value: str
    first_column: int
    columns: int


def find_spans(grid: Grid, level: int) -> list[ColumnSpan]:
    """The values of one symbol from left to right, those of neighbours under one parent joined."""
    paths = enumerate(column[: level + 1] for column in grid.columns)
    joined = [[index for index, _ in run] for _, run in groupby(paths, key=lambda pair: pair[1])]
    return [ColumnSpan(grid.columns[run[0]][level], run[0], len(run)) for run in joined]


def _list_symbols(run: Run) -> GridValues:
    seen = dict.fromkeys(symbol for cell in run.cells for symbol in cell.request)
    axes = [name for name in run.axes if name in seen]
    return tuple(dict.fromkeys([*axes, *seen]))


def _sort_columns(run: Run, symbols: GridValues) -> tuple[GridValues, ...]:
    """In the order of the axes: a plan that leaves out some cells still gets a regular table."""
    seen = dict.fromkeys(_read_values(cell, symbols) for cell in run.cells)
    orders = [tuple(run.axes.get(symbol, ())) for symbol in symbols]

    def rank_column(column: GridValues) -> list[int]:
        return [_rank_value(order, value) for order, value in zip(orders, column, strict=True)]

    return tuple(sorted(seen, key=rank_column))


def _rank_value(order: GridValues, value: str) -> int:
    return order.index(value) if value in order else len(order)


def _read_values(cell: Cell, symbols: GridValues) -> GridValues:
    return tuple(cell.request.get(symbol, "") for symbol in symbols)


def _build_heading(cell: Cell, fields: GridValues) -> GridValues:
    parts = {"arch": cell.arch, "toolchain": cell.toolchain, "base": cell.base}
    return tuple(parts[field] for field in fields)
