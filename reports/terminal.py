"""A run in a terminal at its end, and the same without colour as a text file."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports import summary
from reports.by_hand import by_hand
from reports.grid import grid_of
from reports.grid_text import grid_lines
from reports.look import SIGNS, STYLES, forgive, say, tally
from reports.plan import show_plan
from reports.text import clean, inside, plural

__all__ = ["render_text", "show", "show_plan"]

_GROUPS_SHOWN = 20
_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 6
_FLAGS_SHOWN = 8
_TEXT_WIDTH = 80


@dataclass(frozen=True)
class _Place:
    """A run's directory, and how its paths are shown to whoever reads this."""

    directory: Path
    shown: Path


def render_text(run: Run, directory: Path) -> str:
    """The end summary without colour, 80 columns wide where its lines can be broken."""
    out = StringIO()
    console = Console(file=out, width=_TEXT_WIDTH, color_system=None, force_terminal=False)
    _show(run, _Place(directory, Path()), console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show(run: Run, directory: Path, console: Console) -> None:
    """The end summary: what ran, the grid, the failures, where the report lies, what to type next."""
    forgive(console)
    here = Path.cwd()
    shown = directory.relative_to(here) if directory.is_relative_to(here) else directory
    _show(run, _Place(directory, shown), console)


def _show(run: Run, place: _Place, console: Console) -> None:
    _show_header(run, console)
    _show_grid(run, console)
    _show_failures(run, place, console)
    _show_rest(run, console)
    _show_next(run, place, console)


def _show_header(run: Run, console: Console) -> None:
    say(console)
    say(console, Text(summary.headline(run), _outcome_style(run)))
    say(console)
    _show_facts(summary.facts(run), console)


def _outcome_style(run: Run) -> str:
    states = summary.counts(run.cells)
    worst = next((state for state in (State.FAIL, State.WARN, State.PASS) if state in states), State.OOM)
    return f"bold {STYLES[worst]}"


def _show_facts(facts: Mapping[str, Iterable[str]], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, values in facts.items():
        table.add_row(Text(name), Text("\n".join(values)))
    console.print(table)


def _show_grid(run: Run, console: Console) -> None:
    if not run.cells:
        return
    say(console)
    for line in grid_lines(grid_of(run), console.width - 2):
        say(console, Text("  ").append_text(line))
    say(console)
    console.print(Padding(tally(summary.counts(run.cells), console.width - 2), (0, 0, 0, 2)))


def _show_failures(run: Run, place: _Place, console: Console) -> None:
    groups = summary.failures(run)
    for group in groups[:_GROUPS_SHOWN]:
        _show_group(group, console)
        if group.diagnostic:
            _show_excerpt(group.diagnostic, console)
        _show_more_errors(run, group, console)
        _show_cells(group.cells, place, console)
    if len(groups) > _GROUPS_SHOWN:
        say(console)
        say(console, f"… and {len(groups) - _GROUPS_SHOWN} more different failures in the report")


def _show_group(group: summary.Group, console: Console) -> None:
    say(console)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    style = STYLES[group.state]
    table.add_row(Text(SIGNS[group.state], style), Text(group.title, "bold"))
    console.print(table)


def _show_excerpt(diagnostic: Diagnostic, console: Console) -> None:
    for line in diagnostic.excerpt[:_EXCERPT_SHOWN]:
        text = Text(f"  {clean(line)}", "dim")
        if console.is_terminal:
            # Cut, not wrapped: the caret below must stay under what it points at.
            console.print(text, no_wrap=True, overflow="ellipsis")
        else:
            say(console, text)


def _show_more_errors(run: Run, group: summary.Group, console: Console) -> None:
    errors = [d for d in summary.diagnostics_of(run, group.cells[0]) if d.severity == "error"]
    if len(errors) > 1:
        say(console, Text(f"  and {plural(len(errors) - 1, 'more error')} after it", "dim"))


def _show_cells(cells: tuple[Cell, ...], place: _Place, console: Console) -> None:
    """Each cell's id, and where its log lies."""
    for cell in cells[:_CELLS_SHOWN]:
        say(console, f"  {clean(cell.id)}")
        if cell.log:
            say(console, Text(f"    {clean(str(place.shown / cell.log))}", "dim"))
    if len(cells) > _CELLS_SHOWN:
        say(console, f"  … and {plural(len(cells) - _CELLS_SHOWN, 'more cell')}, in the report")


def _show_rest(run: Run, console: Console) -> None:
    """What neither passed nor failed: cells that prove nothing, warnings, unreachable requests."""
    for group in summary.unproven(run):
        _show_group(group, console)
        ids = [clean(cell.id) for cell in group.cells]
        for line in ids[:_CELLS_SHOWN]:
            say(console, f"  {line}")
        if len(ids) > _CELLS_SHOWN:
            say(console, f"  … and {plural(len(ids) - _CELLS_SHOWN, 'more cell')}")
    for told in filter(None, (_warnings(run), summary.unreachable(run))):
        say(console)
        console.print(Text(told, overflow="fold"))


def _warnings(run: Run) -> str:
    counted = summary.warnings(run)
    told = [f"{c.warnings} × {c.flag} in {plural(c.cells, 'cell')}" for c in counted[:_FLAGS_SHOWN]]
    rest = sum(count.warnings for count in counted[_FLAGS_SHOWN:])
    told += [f"{rest} others"] if rest else []
    return "warnings: " + "; ".join(told) if told else ""


def _show_next(run: Run, place: _Place, console: Console) -> None:
    """Where the report lies, and the commands that go on from here."""
    say(console)
    written = inside(place.directory, "report.html")
    name = run.id if place.directory.name == run.id else str(place.directory)
    other = "markdown" if written else "html"
    _label(console, "kept in", str(place.shown if place.shown.name else place.directory.name))
    if written:
        _label(console, "report", str(place.shown / "report.html"))
    _label(console, "next", f"./inv report --run {shlex.quote(name)} --format {other}")
    failing = next((cell for cell in run.cells if cell.state is State.FAIL), None)
    if failing is not None:
        for label, line in by_hand(failing, place.shown):
            _label(console, label, line)


def _label(console: Console, label: str, text: str) -> None:
    say(console, Text(f"{label:<9}", "dim").append(clean(text, 4000), "default not dim"))
