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
from reports.look import forgive, say
from reports.recipe import Place, recipe, seen_in
from reports.summary import title
from reports.text import WIDTH, clean, labelled, plural

_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 8
_NOTES_SHOWN = 4


def show_explanation(run: Run, shown: Sequence[Finding], directory: Path, console: Console) -> None:
    """Every finding of these, at length; prose in 80 columns, commands and compilers' lines as they are."""
    forgive(console)
    place = Place.here(directory)
    if not shown:
        say(
            console,
            f"{clean(run.id)} has no findings: no compiler said anything in its {len(run.cells)} cells.",
        )
    cells = index_cells(run)
    for number, finding in enumerate(shown):
        lines = explanation(run, finding, list_affected_cells(cells, finding), place)
        say(console, Text("\n").join([*([Text()] if number else []), *lines]))


def explanation(run: Run, finding: Finding, cells: Sequence[Cell], place: Place) -> list[Text]:
    """The lines of one finding's explanation; ``cells`` are those that have it."""
    head = textwrap.wrap(f"{finding.id}  {clean(finding.title)}", WIDTH, subsequent_indent="    ")
    return [
        *(Text(line, "bold") for line in head),
        Text(),
        *map(Text, _facts(finding)),
        *map(Text, _proof(finding)),
        *map(Text, _scope(finding)),
        *map(Text, _messages(run, finding)),
        *map(Text, _how(run, finding, cells, place)),
    ]


def _facts(finding: Finding) -> Iterator[str]:
    yield from labelled("severity", [words.severity(finding)])
    yield from labelled("condition", words.condition(finding))
    if finding.context:
        yield from labelled("context", [f"{words.context(finding)} everywhere, so nothing else is known"])
    yield from labelled("assumed", map(words.assumption, finding.assumes))
    if not finding.minimal:
        yield from labelled("", ["a smaller condition may exist: the search was cut short"])


def _proof(finding: Finding) -> Iterator[str]:
    yield from labelled("proof", [words.verdict(finding)])
    for number in range(len(finding.condition)):
        if len(finding.condition) > 1:
            yield from labelled("", [f"{words.conjunction(finding.condition[number])}:"])
        for term in words.terms(finding, number):
            for one in term.neighbours:
                told = f"{one.flip}: {one.from_} -> {one.to}: {words.neighbour(one)}"
                yield from labelled("", [clean(told)])
                if one.cell and one.has_finding is not None:
                    yield from labelled("", [f"  {clean(one.cell)}"], wrap=False)


def _scope(finding: Finding) -> Iterator[str]:
    yield from labelled("seen", words.scope(finding.scope.seen))
    yield from labelled("absent", words.scope(finding.scope.absent))
    yield from labelled("not known", words.scope(finding.scope.unknown))


def _messages(run: Run, finding: Finding) -> Iterator[str]:
    for who, one in words.telling(run, finding).items():
        yield ""
        yield f"  {who}"
        yield from (f"    {line}" for line in said(one))
    more = len(finding.diagnostics) - len(finding.severity)
    if more > 0:
        yield f"    and {plural(more, 'more message')} of the same problem"


def said(one: Diagnostic) -> list[str]:
    """A diagnostic as the compiler printed it, and what it noted."""
    excerpt = [clean(line) for line in one.excerpt[:_EXCERPT_SHOWN]]
    return [title(one), *excerpt, *(f"note: {clean(note)}" for note in one.notes[:_NOTES_SHOWN])]


def _how(run: Run, finding: Finding, cells: Sequence[Cell], place: Place) -> Iterator[str]:
    yield ""
    yield f"  cells: {len(cells)}"
    for cell in cells[:_CELLS_SHOWN]:
        yield f"    {clean(cell.id)}"
        yield from [f"      {clean(str(place.shown / cell.log))}"] if cell.log else []
    if len(cells) > _CELLS_SHOWN:
        yield f"    … and {plural(len(cells) - _CELLS_SHOWN, 'more cell')}"
    yield from _see_it(run, finding, cells[0], place)


def _see_it(run: Run, finding: Finding, cell: Cell, place: Place) -> Iterator[str]:
    steps = recipe(run, cell, place, seen_in(cell, finding))
    if steps:
        yield ""
        yield "  to see it, in a kernel tree, with a cross compiler"
        yield from (f"    {command}" for _, command in steps)
    named = run.id if place.directory.name == run.id else str(place.directory)
    yield ""
    yield "  or in a container, with a script that stands alone"
    yield f"    ./inv repro --finding {finding.id} --run {shlex.quote(named)}"
