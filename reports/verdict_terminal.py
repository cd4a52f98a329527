"""A verdict in a terminal, and the same without colour as a text file: the comparison first."""

import shlex
import textwrap
from collections.abc import Iterator
from io import StringIO

from rich.console import Console
from rich.text import Text

from matrix.findings.stored_run import StoredRun
from matrix.verdict.verdict_model import FindingChange, Verdict
from reports import finding_text, verdict_text
from reports.changes import FINDING_STATUS_STATES, TRANSITION_STATES, CellChangeGroup, RunChanges
from reports.explain import format_diagnostic
from reports.formatting import TERMINAL_WIDTH, clean_text, format_count, format_labelled_lines
from reports.style import STATE_STYLES, print_line, replace_unencodable

_FINDINGS_SHOWN = 20
_GROUPS_SHOWN = 20
_CELLS_SHOWN = 6
_SYMBOLS_SHOWN = 12
_EXCERPT_SHOWN = 6


def render_verdict_text(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The verdict without colour; prose in 80 columns, what tools said as it is."""
    out = StringIO()
    _show_verdict_lines(
        verdict,
        before,
        after,
        Console(file=out, width=TERMINAL_WIDTH, color_system=None, force_terminal=False),
    )
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


def _render_headline(verdict: Verdict, changes: RunChanges) -> Iterator[Text | str]:
    yield ""
    style = next((STATE_STYLES[TRANSITION_STATES[one.transition]] for one in changes.cell_groups), "")
    for line in textwrap.wrap(
        clean_text(verdict_text.format_verdict_headline(changes)), TERMINAL_WIDTH, break_on_hyphens=False
    ):
        yield Text(line, f"bold {style.removeprefix('bold ')}")
    yield ""
    for name, lines in verdict_text.collect_summary_lines(verdict, changes).items():
        yield from format_labelled_lines(name, lines)


def _render_findings(changes: RunChanges) -> Iterator[Text | str]:
    for one in changes.findings[:_FINDINGS_SHOWN]:
        yield ""
        yield from _render_finding(one, changes)
    more = len(changes.findings) - _FINDINGS_SHOWN
    yield from ["", f"… and {format_count(more, 'more finding')}, in verdict.json"] if more > 0 else []


def _render_finding(one: FindingChange, changes: RunChanges) -> Iterator[Text | str]:
    head = f"{verdict_text.format_ids_by_side(one)}  {clean_text(one.title)}"
    lines = textwrap.wrap(head, TERMINAL_WIDTH - len(one.fate) - 2, break_on_hyphens=False)
    yield Text(f"{one.fate}: ", STATE_STYLES[FINDING_STATUS_STATES[one.fate]]).append(
        lines[0], "bold default"
    )
    yield from (Text(f"  {line}", "bold") for line in lines[1:])
    for label, said_of in verdict_text.collect_conditions(one).items():
        yield from format_labelled_lines(label, said_of)
    yield from format_labelled_lines(
        "severity", [finding_text.format_severity(seen) for seen in [one.after or one.before] if seen]
    )
    yield from format_labelled_lines("outcome", [verdict_text.format_finding_status(one)])
    for diagnostic in changes.label_messages(one).values():
        yield from (Text(f"    {line}", "dim") for line in format_diagnostic(diagnostic)[:_EXCERPT_SHOWN])


def _render_groups(changes: RunChanges) -> Iterator[Text | str]:
    for one in changes.cell_groups[:_GROUPS_SHOWN]:
        yield ""
        yield from _render_group(one)
    more = sum(len(one.cells) for one in changes.cell_groups[_GROUPS_SHOWN:])
    yield from ["", f"… and {format_count(more, 'more cell')}, in verdict.json"] if more else []


def _render_group(one: CellChangeGroup) -> Iterator[Text | str]:
    lines = textwrap.wrap(
        verdict_text.format_cell_group(one), TERMINAL_WIDTH, subsequent_indent="  ", break_on_hyphens=False
    )
    yield from (Text(line, STATE_STYLES[TRANSITION_STATES[one.transition]]) for line in lines)
    yield from (f"    {clean_text(cell.id)}" for cell in one.cells[:_CELLS_SHOWN])
    more = len(one.cells) - _CELLS_SHOWN
    yield from [f"    … and {format_count(more, 'more cell')}"] if more > 0 else []


def _render_remaining_facts(changes: RunChanges) -> Iterator[str]:
    yield ""
    yield from format_labelled_lines(
        "symbols", map(verdict_text.format_symbol_change, changes.symbols[:_SYMBOLS_SHOWN])
    )
    more = len(changes.symbols) - _SYMBOLS_SHOWN
    yield from format_labelled_lines(
        "", [f"and {format_count(more, 'more group')}, in verdict.json"] if more > 0 else []
    )
    yield from format_labelled_lines("differs", verdict_text.format_differences(changes))
    for fact, lines in verdict_text.compare_run_facts(changes.before, changes.after).items():
        yield from format_labelled_lines(fact, lines)
    yield from _render_next_command(changes)


def _render_next_command(changes: RunChanges) -> Iterator[str]:
    """The command that goes on from here: the first finding at length."""
    shown = next(filter(None, map(changes.locate_finding, changes.findings)), None)
    if shown:
        side, finding = shown
        command = f"./inv explain --finding {finding.id} --run {shlex.quote(clean_text(side.name, 4000))}"
        yield from format_labelled_lines("next", [command], wrap=False)
