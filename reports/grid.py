"""The matrix as a table: rows arch × toolchain (× base), columns the configurations."""

from dataclasses import dataclass
from itertools import groupby, pairwise

from matrix.record.model import Cell, Run

Values = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One lane: its heading (a text per field of the grid), and a cell, or None, per column."""

    heading: Values
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Grid:
    """``fields`` name the row headings; a column is one value per symbol, empty where not asked for."""

    fields: Values
    symbols: Values
    columns: tuple[Values, ...]
    rows: tuple[Row, ...]

    @property
    def breaks(self) -> frozenset[int]:
        """The columns before which a gap helps the eye: where the first of several symbols changes."""
        if len(self.symbols) < 2:
            return frozenset()
        return frozenset(i for i, (a, b) in enumerate(pairwise(self.columns), start=1) if a[0] != b[0])


def grid_of(run: Run) -> Grid:
    """A run's grid. Symbols, values and rows stand in plan order."""
    fields = ("arch", "toolchain", "base") if len({c.base for c in run.cells}) > 1 else ("arch", "toolchain")
    symbols = _symbols(run)
    columns = _columns(run, symbols)
    rows: dict[Values, dict[Values, Cell]] = {}
    for cell in run.cells:
        rows.setdefault(_heading(cell, fields), {})[_values(cell, symbols)] = cell
    return Grid(
        fields=fields,
        symbols=symbols,
        columns=columns,
        rows=tuple(Row(heading, tuple(map(row.get, columns))) for heading, row in rows.items()),
    )


@dataclass(frozen=True)
class Span:
    """A symbol's value over ``columns`` neighbours, of which ``first`` is the index of the first."""

    value: str
    first: int
    columns: int


def spans(grid: Grid, level: int) -> list[Span]:
    """The values of one symbol from left to right, those of neighbours under one parent joined."""
    paths = enumerate(column[: level + 1] for column in grid.columns)
    joined = [[index for index, _ in run] for _, run in groupby(paths, key=lambda pair: pair[1])]
    return [Span(grid.columns[run[0]][level], run[0], len(run)) for run in joined]


def _symbols(run: Run) -> Values:
    seen = dict.fromkeys(symbol for cell in run.cells for symbol in cell.request)
    axes = [name for name in run.axes if name in seen]
    return tuple(dict.fromkeys([*axes, *seen]))


def _columns(run: Run, symbols: Values) -> tuple[Values, ...]:
    """In the order of the axes: a plan that leaves out some cells still gets a regular table."""
    seen = dict.fromkeys(_values(cell, symbols) for cell in run.cells)
    orders = [tuple(run.axes.get(symbol, ())) for symbol in symbols]

    def position(column: Values) -> list[int]:
        return [_index(order, value) for order, value in zip(orders, column, strict=True)]

    return tuple(sorted(seen, key=position))


def _index(order: Values, value: str) -> int:
    return order.index(value) if value in order else len(order)


def _values(cell: Cell, symbols: Values) -> Values:
    return tuple(cell.request.get(symbol, "") for symbol in symbols)


def _heading(cell: Cell, fields: Values) -> Values:
    parts = {"arch": cell.arch, "toolchain": cell.toolchain, "base": cell.base}
    return tuple(parts[field] for field in fields)
