"""A run, a plan and a verdict in a terminal, and the same without colour as a text file."""

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from matrix.findings.make_steps import RunLocation, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell, Run
from matrix.record.states import PROVEN_STATES, Evidence, State, find_worst_state
from matrix.shell_words import format_command, quote_word
from matrix.verdict.verdict_model import Verdict
from reports import limits, summary, verdict_text
from reports.changes import TRANSITION_STATES, CellChangeGroup, RunChanges
from reports.finding_view import FindingChangeView, FindingView, view_finding_change
from reports.formatting import TERMINAL_WIDTH, format_count, format_labelled_lines, shorten_line, wrap_text
from reports.grid import build_grid, render_grid
from reports.style import (
    STATE_SIGNS,
    STATE_STYLES,
    StyledLine,
    format_state_counts,
    print_columns,
    print_line,
    print_lines,
    replace_unencodable,
)


def render_verdict_text(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The verdict without colour; prose in 80 columns, what tools printed as it is."""
    out = StringIO()
    console = Console(file=out, width=TERMINAL_WIDTH, color_system=None, force_terminal=False)
    _show_verdict_lines(verdict, before, after, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show_verdict(verdict: Verdict, before: StoredRun, after: StoredRun, console: Console) -> None:
    """What came out in one sentence, then findings, cells, symbols and what else differs, then both runs."""
    replace_unencodable(console)
    _show_verdict_lines(verdict, before, after, console)


def _show_verdict_lines(verdict: Verdict, before: StoredRun, after: StoredRun, console: Console) -> None:
    changes = RunChanges.from_verdict(verdict, before, after)
    for line in (
        *_render_headline(verdict, changes),
        *_render_findings(changes),
        *_render_groups(changes),
        *_render_remaining_facts(changes),
    ):
        print_line(console, line)


def _render_headline(verdict: Verdict, changes: RunChanges) -> Iterator[StyledLine | str]:
    yield ""
    style = next((STATE_STYLES[TRANSITION_STATES[group.transition]] for group in changes.cell_groups), "")
    for line in wrap_text(verdict_text.format_verdict_headline(changes)):
        yield StyledLine(line, f"bold {style.removeprefix('bold ')}")
    yield ""
    for name, lines in verdict_text.collect_summary_lines(verdict, changes).items():
        yield from format_labelled_lines(name, lines)


def _render_findings(changes: RunChanges) -> Iterator[StyledLine | str]:
    for change in changes.findings[: limits.TERMINAL.findings]:
        yield ""
        yield from _render_finding(view_finding_change(changes, change, limits.TERMINAL))
    more = len(changes.findings) - limits.TERMINAL.findings
    yield from ["", f"… and {format_count(more, 'more finding')}, in verdict.json"] if more > 0 else []


def _render_finding(view: FindingChangeView) -> Iterator[StyledLine | str]:
    width = TERMINAL_WIDTH - len(view.status) - 2
    head, *rest = wrap_text(f"{view.ids}  {view.title}", width=width)
    yield StyledLine(f"{view.status}: ", STATE_STYLES[view.state]).append(head, "bold default")
    yield from (StyledLine(f"  {line}", "bold") for line in rest)
    for label, lines in view.conditions.items():
        yield from format_labelled_lines(label, lines)
    yield from format_labelled_lines("severity", filter(None, [view.severity]))
    yield from format_labelled_lines("blames", filter(None, [view.blame]))
    yield from format_labelled_lines("outcome", [view.outcome])
    yield from format_labelled_lines("seen with", view.look_commands)
    yield from (StyledLine(f"    {line}", "dim") for line in view.message_lines)


def _render_groups(changes: RunChanges) -> Iterator[StyledLine | str]:
    for group in changes.cell_groups[: limits.CELL_GROUPS]:
        yield ""
        yield from _render_group(group)
    more = sum(len(group.cells) for group in changes.cell_groups[limits.CELL_GROUPS :])
    yield from ["", f"… and {format_count(more, 'more cell')}, in verdict.json"] if more else []


def _render_group(group: CellChangeGroup) -> Iterator[StyledLine | str]:
    style = STATE_STYLES[TRANSITION_STATES[group.transition]]
    for line in wrap_text(verdict_text.format_cell_group(group), rest="  "):
        yield StyledLine(line, style)
    yield from (f"    {cell.id}" for cell in group.cells[: limits.TERMINAL.cells])
    more = len(group.cells) - limits.TERMINAL.cells
    yield from [f"    … and {format_count(more, 'more cell')}"] if more > 0 else []


def _render_remaining_facts(changes: RunChanges) -> Iterator[str]:
    yield ""
    symbols = changes.symbols[: limits.SYMBOL_CHANGES]
    yield from format_labelled_lines("symbols", map(verdict_text.format_symbol_change, symbols))
    more = len(changes.symbols) - limits.SYMBOL_CHANGES
    rest = [f"and {format_count(more, 'more group')}, in verdict.json"] if more > 0 else []
    yield from format_labelled_lines("", rest)
    yield from format_labelled_lines("differs", verdict_text.format_differences(changes))
    for fact, lines in verdict_text.compare_run_facts(changes.before, changes.after).items():
        yield from format_labelled_lines(fact, lines)
    yield from _render_next_command(changes)


def _render_next_command(changes: RunChanges) -> Iterator[str]:
    """The command that goes on from there: the first finding at length."""
    shown = next(filter(None, map(changes.locate_finding, changes.findings)), None)
    if shown:
        side, finding = shown
        command = format_command("./inv", "explain", "--finding", finding.id, "--run", side.name)
        yield from format_labelled_lines("next", [command], wrap=False)


_STATE_WIDTH = max(map(len, State))
_LABEL_WIDTH = 9


def show_plan(run: Run, console: Console) -> None:
    """A line per request, in plan order, and the totals."""
    replace_unencodable(console)
    cells = {cell.id: cell for cell in run.cells}
    for cell in run.cells:
        _show_request(cell, _format_reason(cells, cell), console)
    print_line(console, "" if run.cells else "no requests")
    print_line(console, StyledLine(format_plan_totals(run), "bold"))
    if summary.format_planned_coverage(run):
        print_line(console, summary.format_planned_coverage(run))


def format_plan_totals(run: Run) -> str:
    """``144 requests, 98 reachable, 46 unreachable, 8 lanes``."""
    states = [cell.state for cell in run.cells]
    unreachable = states.count(State.UNREACHABLE)
    reachable = sum(cell.is_reachable for cell in run.cells)
    remembered = sum(cell.is_reachable and cell.evidence is Evidence.REMEMBERED for cell in run.cells)
    unknown = len(states) - unreachable - reachable
    lanes = {tuple(cell.axes[axis] for axis in LANE_AXES) for cell in run.cells}
    counts = [
        format_count(len(states), "request"),
        f"{reachable} reachable" + (f" ({remembered} remembered)" if remembered else ""),
        f"{unreachable} unreachable",
        *([f"{unknown} unknown"] if unknown else []),
        format_count(len(lanes), "lane"),
    ]
    return ", ".join(counts)


def _show_request(cell: Cell, reason: str, console: Console) -> None:
    state = "reachable" if cell.is_reachable else cell.state.value
    style = "green" if cell.is_reachable else STATE_STYLES[cell.state]
    line = StyledLine(f"{state:<{_STATE_WIDTH}}  ", style).append(cell.id, "default")
    if not reason:
        print_line(console, line)
    elif console.is_terminal and line.cell_len + len(reason) + 2 > console.width:
        print_lines(console, [line, StyledLine("", style).append(f"{'':<{_STATE_WIDTH + 2}}{reason}", "dim")])
    else:
        print_line(console, line.append(f"  {reason}", "dim"))


def _format_reason(cells: Mapping[str, Cell], cell: Cell) -> str:
    """Why, and the cell that the tree made of it."""
    reason = shorten_line(cell.reason or "", limits.LINE_LENGTH)
    return f"{reason} → {summary.format_resolved_target(cells, cell)}".strip() if cell.resolves_to else reason


def render_text(stored: StoredRun) -> str:
    """The end summary without colour, 80 columns wide where its lines can be broken."""
    return _render_plain(RunLocation(stored, Path()), TERMINAL_WIDTH)


def show_run_summary(stored: StoredRun, console: Console) -> None:
    """The end summary: what ran, the findings, the grid, where the report lies, what to type next."""
    replace_unencodable(console)
    location = RunLocation.from_cwd(stored)
    if console.is_terminal:
        _show_sections(location, console)
    else:
        console.file.write(_render_plain(location, console.width))


def _render_plain(location: RunLocation, width: int) -> str:
    """Without colour, and without the blanks that a table puts at the end of its lines."""
    out = StringIO()
    _show_sections(location, Console(file=out, width=width, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _show_sections(location: RunLocation, console: Console) -> None:
    _show_header(location.stored, console)
    _show_findings(location, console)
    _show_grid(location.stored.run, console)
    _show_unexplained(location, console)
    _show_unproven(location.stored.run, console)
    _show_next_commands(location, console)


def _show_header(stored: StoredRun, console: Console) -> None:
    style = _choose_headline_style(stored.run)
    print_lines(console, ["", StyledLine(summary.format_run_headline(stored), style), ""])
    facts = summary.collect_run_facts(stored.run)
    print_columns(console, ((StyledLine(name, "dim"), lines) for name, lines in facts.items()), gap=2)


def _choose_headline_style(run: Run) -> str:
    proven = PROVEN_STATES & {cell.state for cell in run.cells}
    return f"bold {STATE_STYLES[find_worst_state(proven) if proven else State.INFRA]}"


def _show_grid(run: Run, console: Console) -> None:
    if not run.cells:
        return
    print_line(console)
    for line in render_grid(build_grid(run), console.width - 2):
        print_line(console, StyledLine("  ").append(line))
    print_line(console)
    counts = format_state_counts(summary.count_states(run.cells), console.width - 2)
    print_lines(console, (StyledLine("  ").append(line) for line in counts))


def _show_findings(location: RunLocation, console: Console) -> None:
    """Each finding in short, the most severe first; `./inv explain` shows the rest."""
    findings = location.stored.findings.findings
    for finding in findings[: limits.TERMINAL.findings]:
        view = FindingView(location, finding, limits.TERMINAL)
        _show_finding(view, console)
        if finding.is_error:
            _show_cells(view.affected_cells, location, console)
    more = len(findings) - limits.TERMINAL.findings
    if more > 0:
        print_lines(console, ["", f"… and {more} more findings: ./inv explain"])


def _show_finding(view: FindingView, console: Console) -> None:
    counts = f"{view.severity}; {format_count(len(view.finding.cells), 'cell')}"
    print_line(console)
    head = StyledLine(view.id, STATE_STYLES[view.state]), [StyledLine(view.title, "bold")]
    blame = [f"blames {view.blame}"] if view.blame else []
    print_columns(console, [head, (StyledLine(), [*view.condition, counts, *blame])], gap=1)
    for line in view.message_lines:
        _show_message_line(StyledLine(f"  {line}", "dim"), console)


def _show_message_line(line: StyledLine, console: Console) -> None:
    if console.is_terminal:
        # Cut, not wrapped: the caret below must stay under what it points at.
        console.print(line, no_wrap=True, overflow="ellipsis")
    else:
        print_line(console, line)


def _show_unexplained(location: RunLocation, console: Console) -> None:
    for group in summary.group_failures(location.stored.find_unexplained_cells()):
        _show_group(group, console)
        _show_cells(group.cells, location, console)


def _show_group(group: summary.OutcomeGroup, console: Console) -> None:
    print_line(console)
    sign = StyledLine(STATE_SIGNS[group.state], STATE_STYLES[group.state])
    print_columns(console, [(sign, [StyledLine(group.title, "bold")])], gap=1)


def _show_cells(cells: Sequence[Cell], location: RunLocation, console: Console) -> None:
    """Each cell's id, and where its log lies."""
    for cell in cells[: limits.TERMINAL.cells]:
        print_line(console, f"  {cell.id}")
        if cell.log:
            print_line(console, StyledLine(f"    {location.display_path / cell.log}", "dim"))
    more = len(cells) - limits.TERMINAL.cells
    if more > 0:
        print_line(console, f"  … and {format_count(more, 'more cell')}, in the report")


def _show_unproven(run: Run, console: Console) -> None:
    """What neither passed nor failed: cells that prove nothing, warnings, unreachable requests."""
    for group in summary.group_unproven_cells(run):
        _show_group(group, console)
        for cell in group.cells[: limits.TERMINAL.cells]:
            print_line(console, f"  {cell.id}")
        more = len(group.cells) - limits.TERMINAL.cells
        if more > 0:
            print_line(console, f"  … and {format_count(more, 'more cell')}")
    paragraphs = (
        _format_warnings(run),
        summary.format_coverage(run),
        summary.format_unreachable(run),
        summary.format_attempts(run),
    )
    for paragraph in filter(None, paragraphs):
        print_line(console)
        console.print(StyledLine(paragraph), overflow="fold")


def _format_warnings(run: Run) -> str:
    counts = summary.count_warnings(run)
    words = [
        f"{count.warnings} × {count.flag} in {format_count(count.cells, 'cell')}"
        for count in counts[: limits.WARNING_FLAGS]
    ]
    rest = sum(count.warnings for count in counts[limits.WARNING_FLAGS :])
    words += [f"{rest} others"] if rest else []
    return "warnings: " + "; ".join(words) if words else ""


def _show_next_commands(location: RunLocation, console: Console) -> None:
    """Where the report lies, and the commands that go on from there."""
    stored = location.stored
    name, has_page = quote_word(stored.name), stored.find_file("report.html") is not None
    directory = location.display_path if location.display_path.name else stored.directory.name
    print_line(console)
    _show_labelled_line(console, "kept in", str(directory))
    if has_page:
        _show_labelled_line(console, "report", str(location.display_path / "report.html"))
    other = "markdown" if has_page else "html"
    _show_labelled_line(console, "next", f"./inv report --run {name} --format {other}")
    for finding in stored.findings.findings[:1]:
        _show_labelled_line(console, "", f"./inv explain --finding {finding.id} --run {name}")
    # How to see a failure that no finding explains; `./inv explain` shows it for the others.
    for cell in stored.find_unexplained_cells()[:1]:
        for where, command in list_make_steps(cell, location):
            _show_labelled_line(console, where, command)


def _show_labelled_line(console: Console, label: str, text: str) -> None:
    print_line(console, StyledLine(f"{label:<{_LABEL_WIDTH}}", "dim").append(text, "default not dim"))
