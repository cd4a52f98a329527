"""A verdict in a terminal, and the same without colour as a text file: the comparison first."""

import shlex
from collections.abc import Iterator
from io import StringIO

from rich.console import Console

from matrix.findings.stored_run import StoredRun
from matrix.verdict.verdict_model import Verdict
from reports import limits, verdict_text
from reports.changes import TRANSITION_STATES, CellChangeGroup, RunChanges
from reports.finding_view import FindingChangeView, view_finding_change
from reports.formatting import TERMINAL_WIDTH, format_count, format_labelled_lines, wrap_text
from reports.style import STATE_STYLES, StyledLine, print_line, replace_unencodable


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
    yield from format_labelled_lines("outcome", [view.outcome])
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
        command = f"./inv explain --finding {finding.id} --run {shlex.quote(side.name)}"
        yield from format_labelled_lines("next", [command], wrap=False)
