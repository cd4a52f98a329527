"""A run in a terminal at its end, and the same without colour as a text file."""

import shlex
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from reports import finding_text, summary
from reports.explain import format_diagnostic
from reports.formatting import clean_text, format_count
from reports.grid import build_grid, render_grid
from reports.make_steps import MakeSteps, RunLocation, list_make_steps
from reports.style import STATE_SIGNS, STATE_STYLES, format_state_counts, print_line, replace_unencodable
from reports.summary import format_resolved_target

_STATE_WIDTH = len(State.UNREACHABLE)


def show_plan(run: Run, console: Console) -> None:
    """A line per request, in plan order, and the totals."""
    replace_unencodable(console)
    cells = {cell.id: cell for cell in run.cells}
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


__all__ = ["render_text", "show_plan", "show_run_summary"]

_FINDINGS_SHOWN = 20
_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 6
_FLAGS_SHOWN = 8
_REPORT_WIDTH = 80


def render_text(stored: StoredRun) -> str:
    """The end summary without colour, 80 columns wide where its lines can be broken."""
    return _render_plain(RunLocation(stored, Path()), _REPORT_WIDTH)


def show_run_summary(stored: StoredRun, console: Console) -> None:
    """The end summary: what ran, the findings, the grid, where the report lies, what to type next."""
    replace_unencodable(console)
    place = RunLocation.from_cwd(stored)
    if console.is_terminal:
        _show_sections(place, console)
    else:
        console.file.write(_render_plain(place, console.width))


def _render_plain(place: RunLocation, width: int) -> str:
    """Without colour, and without the blanks that a table puts at the end of its lines."""
    out = StringIO()
    _show_sections(place, Console(file=out, width=width, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _show_sections(place: RunLocation, console: Console) -> None:
    run = place.stored.run
    _show_header(place.stored, console)
    _show_findings(place, console)
    _show_grid(run, console)
    _show_unexplained(place, console)
    _show_unproven(run, console)
    _show_next_commands(place, console)


def _show_header(stored: StoredRun, console: Console) -> None:
    run = stored.run
    print_line(console)
    print_line(console, Text(summary.format_run_headline(stored), _choose_headline_style(run)))
    print_line(console)
    _show_facts(summary.collect_run_facts(run), console)


def _choose_headline_style(run: Run) -> str:
    states = summary.count_states(run.cells)
    worst = next((state for state in (State.FAIL, State.WARN, State.PASS) if state in states), State.OOM)
    return f"bold {STATE_STYLES[worst]}"


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
    print_line(console)
    for line in render_grid(build_grid(run), console.width - 2):
        print_line(console, Text("  ").append_text(line))
    print_line(console)
    console.print(
        Padding(format_state_counts(summary.count_states(run.cells), console.width - 2), (0, 0, 0, 2))
    )


def _show_findings(place: RunLocation, console: Console) -> None:
    """Each finding in short, the most severe first; `./inv explain` tells the rest."""
    findings = place.stored.findings
    for finding in findings.findings[:_FINDINGS_SHOWN]:
        _show_finding(place.stored.run, finding, console)
        if finding.is_error:
            _show_cells(tuple(place.stored.list_affected_cells(finding)), place, console)
    if len(findings.findings) > _FINDINGS_SHOWN:
        print_line(console)
        print_line(console, f"… and {len(findings.findings) - _FINDINGS_SHOWN} more findings: ./inv explain")


def _show_finding(run: Run, finding: Finding, console: Console) -> None:
    print_line(console)
    state = State.FAIL if finding.is_error else State.WARN
    told = [
        *finding_text.format_condition(finding),
        f"{finding_text.format_severity(finding)}; {format_count(len(finding.cells), 'cell')}",
    ]
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(finding.id, STATE_STYLES[state]), Text(clean_text(finding.title), "bold"))
    table.add_row(Text(), Text("\n".join(told)))
    console.print(table)
    for one in finding_text.label_diagnostics(run, finding).values():
        _show_message(format_diagnostic(one)[:_EXCERPT_SHOWN], console)


def _show_message(lines: list[str], console: Console) -> None:
    for line in lines:
        text = Text(f"  {line}", "dim")
        if console.is_terminal:
            # Cut, not wrapped: the caret below must stay under what it points at.
            console.print(text, no_wrap=True, overflow="ellipsis")
        else:
            print_line(console, text)


def _show_unexplained(place: RunLocation, console: Console) -> None:
    for group in summary.group_failures(finding_text.find_unexplained_cells(place.stored)):
        _show_group(group, console)
        _show_cells(group.cells, place, console)


def _show_group(group: summary.OutcomeGroup, console: Console) -> None:
    print_line(console)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    style = STATE_STYLES[group.state]
    table.add_row(Text(STATE_SIGNS[group.state], style), Text(group.title, "bold"))
    console.print(table)


def _show_cells(cells: tuple[Cell, ...], place: RunLocation, console: Console) -> None:
    """Each cell's id, and where its log lies."""
    for cell in cells[:_CELLS_SHOWN]:
        print_line(console, f"  {clean_text(cell.id)}")
        if cell.log:
            print_line(console, Text(f"    {clean_text(str(place.display_path / cell.log))}", "dim"))
    if len(cells) > _CELLS_SHOWN:
        print_line(console, f"  … and {format_count(len(cells) - _CELLS_SHOWN, 'more cell')}, in the report")


def _show_unproven(run: Run, console: Console) -> None:
    """What neither passed nor failed: cells that prove nothing, warnings, unreachable requests."""
    for group in summary.group_unproven_cells(run):
        _show_group(group, console)
        ids = [clean_text(cell.id) for cell in group.cells]
        for line in ids[:_CELLS_SHOWN]:
            print_line(console, f"  {line}")
        if len(ids) > _CELLS_SHOWN:
            print_line(console, f"  … and {format_count(len(ids) - _CELLS_SHOWN, 'more cell')}")
    for told in filter(None, (_format_warnings(run), summary.format_unreachable(run))):
        print_line(console)
        console.print(Text(told, overflow="fold"))


def _format_warnings(run: Run) -> str:
    counted = summary.count_warnings(run)
    told = [f"{c.warnings} × {c.flag} in {format_count(c.cells, 'cell')}" for c in counted[:_FLAGS_SHOWN]]
    rest = sum(count.warnings for count in counted[_FLAGS_SHOWN:])
    told += [f"{rest} others"] if rest else []
    return "warnings: " + "; ".join(told) if told else ""


def _show_next_commands(place: RunLocation, console: Console) -> None:
    """Where the report lies, and the commands that go on from here."""
    print_line(console)
    findings, name = place.stored.findings, place.stored.name
    written = place.stored.find_file("report.html")
    other = "markdown" if written else "html"
    _show_labelled_line(
        console,
        "kept in",
        str(place.display_path if place.display_path.name else place.stored.directory.name),
    )
    if written:
        _show_labelled_line(console, "report", str(place.display_path / "report.html"))
    _show_labelled_line(console, "next", f"./inv report --run {shlex.quote(name)} --format {other}")
    if findings.findings:
        _show_labelled_line(
            console, "", f"./inv explain --finding {findings.findings[0].id} --run {shlex.quote(name)}"
        )
    for label, line in _list_unexplained_steps(place):
        _show_labelled_line(console, label, line)


def _list_unexplained_steps(place: RunLocation) -> MakeSteps:
    """How to see a failure that no finding explains; `./inv explain` says it for the others."""
    cells = finding_text.find_unexplained_cells(place.stored)
    return list_make_steps(cells[0], place) if cells else []


def _show_labelled_line(console: Console, label: str, text: str) -> None:
    print_line(console, Text(f"{label:<9}", "dim").append(clean_text(text, 4000), "default not dim"))
