"""A plan in the terminal: every request on its line, reachable or why not."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from matrix.findings.presence import index_cells
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports.look import STATE_STYLES, print_line, replace_unencodable
from reports.summary import format_resolved_target
from reports.text import clean_text, format_count

_STATE_WIDTH = len(State.UNREACHABLE)


def show_plan(run: Run, console: Console) -> None:
    """A line per request, in plan order, and the totals."""
    replace_unencodable(console)
    cells = index_cells(run)
    for cell in run.cells:
        _show_request(cell, _format_reason(cells, cell), console)
    print_line(console, "" if run.cells else "no requests")
    print_line(console, Text(format_plan_totals(run), "bold"))


def format_plan_totals(run: Run) -> str:
    """``144 requests, 98 reachable, 46 unreachable, 8 lanes``."""
    states = [cell.state for cell in run.cells]
    gone = states.count(State.UNREACHABLE)
    reached = sum(cell.is_reachable for cell in run.cells)
    unknown = len(states) - gone - reached
    lanes = {(cell.arch, cell.toolchain, cell.base) for cell in run.cells}
    told = [
        format_count(len(states), "request"),
        f"{reached} reachable",
        f"{gone} unreachable",
    ]
    told += [f"{unknown} unknown"] if unknown else []
    return ", ".join([*told, format_count(len(lanes), "lane")])


def _show_request(cell: Cell, words: str, console: Console) -> None:
    state = "reachable" if cell.is_reachable else cell.state.value
    style = "green" if cell.is_reachable else STATE_STYLES[cell.state]
    line = Text(f"{state:<{_STATE_WIDTH}}  ", style).append(clean_text(cell.id), "default")
    if words and console.is_terminal and line.cell_len + len(words) + 2 > console.width:
        words = f"\n{'':<{_STATE_WIDTH + 2}}{words}"
    elif words:
        words = f"  {words}"
    print_line(console, line.append(words, "dim"))


def _format_reason(cells: Mapping[str, Cell], cell: Cell) -> str:
    """Why, and the cell that the tree made of it."""
    told = clean_text(cell.reason or "")
    return f"{told} → {format_resolved_target(cells, cell)}".strip() if cell.resolves_to else told
