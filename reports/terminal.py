"""A run in a terminal at its end, and the same without colour as a text file."""

import shlex
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from matrix.findings.model import Finding, Findings
from matrix.findings.presence import index_cells, list_affected_cells
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports import findings as words
from reports import summary
from reports.explain import said
from reports.grid import grid_of
from reports.grid_text import grid_lines
from reports.look import SIGNS, STYLES, forgive, say, tally
from reports.plan import show_plan
from reports.recipe import Place, Steps, recipe
from reports.text import clean, inside, plural

__all__ = ["render_text", "show", "show_plan"]

_FINDINGS_SHOWN = 20
_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 6
_FLAGS_SHOWN = 8
_TEXT_WIDTH = 80


def render_text(run: Run, findings: Findings, directory: Path) -> str:
    """The end summary without colour, 80 columns wide where its lines can be broken."""
    return _plain(run, findings, Place(directory, Path()), _TEXT_WIDTH)


def show(run: Run, findings: Findings, directory: Path, console: Console) -> None:
    """The end summary: what ran, the findings, the grid, where the report lies, what to type next."""
    forgive(console)
    place = Place.here(directory)
    if console.is_terminal:
        _show(run, findings, place, console)
    else:
        console.file.write(_plain(run, findings, place, console.width))


def _plain(run: Run, findings: Findings, place: Place, width: int) -> str:
    """Without colour, and without the blanks that a table puts at the end of its lines."""
    out = StringIO()
    _show(run, findings, place, Console(file=out, width=width, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _show(run: Run, findings: Findings, place: Place, console: Console) -> None:
    _show_header(run, findings, console)
    _show_findings(run, findings, place, console)
    _show_grid(run, console)
    _show_unexplained(run, findings, place, console)
    _show_rest(run, console)
    _show_next(run, findings, place, console)


def _show_header(run: Run, findings: Findings, console: Console) -> None:
    say(console)
    say(console, Text(summary.headline(run, findings), _outcome_style(run)))
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


def _show_findings(run: Run, findings: Findings, place: Place, console: Console) -> None:
    """Each finding in short, the most severe first; `./inv explain` tells the rest."""
    cells = index_cells(run)
    for finding in findings.findings[:_FINDINGS_SHOWN]:
        _show_finding(run, finding, console)
        if finding.is_error:
            _show_cells(tuple(list_affected_cells(cells, finding)), place, console)
    if len(findings.findings) > _FINDINGS_SHOWN:
        say(console)
        say(console, f"… and {len(findings.findings) - _FINDINGS_SHOWN} more findings: ./inv explain")


def _show_finding(run: Run, finding: Finding, console: Console) -> None:
    say(console)
    state = State.FAIL if finding.is_error else State.WARN
    told = [*words.condition(finding), f"{words.severity(finding)}; {plural(len(finding.cells), 'cell')}"]
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(finding.id, STYLES[state]), Text(clean(finding.title), "bold"))
    table.add_row(Text(), Text("\n".join(told)))
    console.print(table)
    for one in words.telling(run, finding).values():
        _show_said(said(one)[:_EXCERPT_SHOWN], console)


def _show_said(lines: list[str], console: Console) -> None:
    for line in lines:
        text = Text(f"  {line}", "dim")
        if console.is_terminal:
            # Cut, not wrapped: the caret below must stay under what it points at.
            console.print(text, no_wrap=True, overflow="ellipsis")
        else:
            say(console, text)


def _show_unexplained(run: Run, findings: Findings, place: Place, console: Console) -> None:
    for group in summary.failures(words.unexplained(run, findings)):
        _show_group(group, console)
        _show_cells(group.cells, place, console)


def _show_group(group: summary.Group, console: Console) -> None:
    say(console)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    style = STYLES[group.state]
    table.add_row(Text(SIGNS[group.state], style), Text(group.title, "bold"))
    console.print(table)


def _show_cells(cells: tuple[Cell, ...], place: Place, console: Console) -> None:
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


def _show_next(run: Run, findings: Findings, place: Place, console: Console) -> None:
    """Where the report lies, and the commands that go on from here."""
    say(console)
    written = inside(place.directory, "report.html")
    name = run.id if place.directory.name == run.id else str(place.directory)
    other = "markdown" if written else "html"
    _label(console, "kept in", str(place.shown if place.shown.name else place.directory.name))
    if written:
        _label(console, "report", str(place.shown / "report.html"))
    _label(console, "next", f"./inv report --run {shlex.quote(name)} --format {other}")
    if findings.findings:
        _label(console, "", f"./inv explain --finding {findings.findings[0].id} --run {shlex.quote(name)}")
    for label, line in _unexplained_recipe(run, findings, place):
        _label(console, label, line)


def _unexplained_recipe(run: Run, findings: Findings, place: Place) -> Steps:
    """How to see a failure that no finding explains; `./inv explain` says it for the others."""
    cells = words.unexplained(run, findings)
    return recipe(run, cells[0], place) if cells else []


def _label(console: Console, label: str, text: str) -> None:
    say(console, Text(f"{label:<9}", "dim").append(clean(text, 4000), "default not dim"))
