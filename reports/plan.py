"""A plan in the terminal: every request on its line, reachable or why not."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from matrix.findings.presence import index_cells
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports.look import STYLES, forgive, say
from reports.summary import target
from reports.text import clean, plural

_WIDE = len(State.UNREACHABLE)


def show_plan(run: Run, console: Console) -> None:
    """A line per request, in plan order, and the totals."""
    forgive(console)
    cells = index_cells(run)
    for cell in run.cells:
        _show_request(cell, _words(cells, cell), console)
    say(console, "" if run.cells else "no requests")
    say(console, Text(totals(run), "bold"))


def totals(run: Run) -> str:
    """``144 requests, 98 reachable, 46 unreachable, 8 lanes``."""
    states = [cell.state for cell in run.cells]
    gone = states.count(State.UNREACHABLE)
    reached = sum(cell.is_reachable for cell in run.cells)
    unknown = len(states) - gone - reached
    lanes = {(cell.arch, cell.toolchain, cell.base) for cell in run.cells}
    told = [
        plural(len(states), "request"),
        f"{reached} reachable",
        f"{gone} unreachable",
    ]
    told += [f"{unknown} unknown"] if unknown else []
    return ", ".join([*told, plural(len(lanes), "lane")])


def _show_request(cell: Cell, words: str, console: Console) -> None:
    state = "reachable" if cell.is_reachable else cell.state.value
    style = "green" if cell.is_reachable else STYLES[cell.state]
    line = Text(f"{state:<{_WIDE}}  ", style).append(clean(cell.id), "default")
    if words and console.is_terminal and line.cell_len + len(words) + 2 > console.width:
        words = f"\n{'':<{_WIDE + 2}}{words}"
    elif words:
        words = f"  {words}"
    say(console, line.append(words, "dim"))


def _words(cells: Mapping[str, Cell], cell: Cell) -> str:
    """Why, and the cell that the tree made of it."""
    told = clean(cell.reason or "")
    return f"{told} → {target(cells, cell)}".strip() if cell.resolves_to else told
