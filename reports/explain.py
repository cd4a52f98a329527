"""A finding explained: what, under which condition, with which proof, where, and how to see it."""

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.model import Finding
from matrix.findings.presence import index_cells, list_affected_cells
from matrix.record.model import Cell, Run
from reports import findings as words
from reports.look import print_line, replace_unencodable
from reports.recipe import RunLocation, find_diagnostic_ref, list_make_steps
from reports.summary import format_diagnostic_title
from reports.text import TERMINAL_WIDTH, clean_text, format_count, format_labelled_lines

_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 8
_NOTES_SHOWN = 4


def show_explanation(run: Run, shown: Sequence[Finding], directory: Path, console: Console) -> None:
    """Every finding of these, at length; prose in 80 columns, commands and compilers' lines as they are."""
    replace_unencodable(console)
    place = RunLocation.from_cwd(directory)
    if not shown:
        print_line(
            console,
            f"{clean_text(run.id)} has no findings: no compiler said anything in its {len(run.cells)} cells.",
        )
    cells = index_cells(run)
    for number, finding in enumerate(shown):
        lines = render_explanation(run, finding, list_affected_cells(cells, finding), place)
        print_line(console, Text("\n").join([*([Text()] if number else []), *lines]))


def render_explanation(run: Run, finding: Finding, cells: Sequence[Cell], place: RunLocation) -> list[Text]:
    """The lines of one finding's explanation; ``cells`` are those that have it."""
    head = textwrap.wrap(
        f"{finding.id}  {clean_text(finding.title)}", TERMINAL_WIDTH, subsequent_indent="    "
    )
    return [
        *(Text(line, "bold") for line in head),
        Text(),
        *map(Text, _format_facts(finding)),
        *map(Text, _format_proof_lines(finding)),
        *map(Text, _format_scope_lines(finding)),
        *map(Text, _format_messages(run, finding)),
        *map(Text, _format_cells(run, finding, cells, place)),
    ]


def _format_facts(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("severity", [words.format_severity(finding)])
    yield from format_labelled_lines("condition", words.format_condition(finding))
    if finding.context:
        yield from format_labelled_lines(
            "context", [f"{words.format_context(finding)} everywhere, so nothing else is known"]
        )
    yield from format_labelled_lines("assumed", map(words.format_assumption, finding.assumes))
    if not finding.minimal:
        yield from format_labelled_lines("", ["a smaller condition may exist: the search was cut short"])


def _format_proof_lines(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("proof", [words.format_proof(finding)])
    for number in range(len(finding.condition)):
        if len(finding.condition) > 1:
            yield from format_labelled_lines("", [f"{words.format_conjunction(finding.condition[number])}:"])
        for term in words.group_term_proofs(finding, number):
            for one in term.neighbours:
                told = f"{one.flip}: {one.from_} -> {one.to}: {words.format_neighbour(one)}"
                yield from format_labelled_lines("", [clean_text(told)])
                if one.cell and one.has_finding is not None:
                    yield from format_labelled_lines("", [f"  {clean_text(one.cell)}"], wrap=False)


def _format_scope_lines(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("seen", words.format_scope(finding.scope.seen))
    yield from format_labelled_lines("absent", words.format_scope(finding.scope.absent))
    yield from format_labelled_lines("not known", words.format_scope(finding.scope.unknown))


def _format_messages(run: Run, finding: Finding) -> Iterator[str]:
    for who, one in words.label_diagnostics(run, finding).items():
        yield ""
        yield f"  {who}"
        yield from (f"    {line}" for line in format_diagnostic(one))
    more = len(finding.diagnostics) - len(finding.severity)
    if more > 0:
        yield f"    and {format_count(more, 'more message')} of the same problem"


def format_diagnostic(one: Diagnostic) -> list[str]:
    """A diagnostic as the compiler printed it, and what it noted."""
    excerpt = [clean_text(line) for line in one.excerpt[:_EXCERPT_SHOWN]]
    return [
        format_diagnostic_title(one),
        *excerpt,
        *(f"note: {clean_text(note)}" for note in one.notes[:_NOTES_SHOWN]),
    ]


def _format_cells(run: Run, finding: Finding, cells: Sequence[Cell], place: RunLocation) -> Iterator[str]:
    yield ""
    yield f"  cells: {len(cells)}"
    for cell in cells[:_CELLS_SHOWN]:
        yield f"    {clean_text(cell.id)}"
        yield from [f"      {clean_text(str(place.display_path / cell.log))}"] if cell.log else []
    if len(cells) > _CELLS_SHOWN:
        yield f"    … and {format_count(len(cells) - _CELLS_SHOWN, 'more cell')}"
    yield from _format_commands(run, finding, cells[0], place)


def _format_commands(run: Run, finding: Finding, cell: Cell, place: RunLocation) -> Iterator[str]:
    steps = list_make_steps(run, cell, place, find_diagnostic_ref(cell, finding))
    if steps:
        yield ""
        yield "  to see it, in a kernel tree, with a cross compiler"
        yield from (f"    {command}" for _, command in steps)
    named = run.id if place.directory.name == run.id else str(place.directory)
    yield ""
    yield "  or in a container, with a script that stands alone"
    yield f"    ./inv repro --finding {finding.id} --run {shlex.quote(named)}"
