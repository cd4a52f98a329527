"""A run as one self-contained HTML file: no script, nothing from elsewhere, light and dark."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Template

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.model import Finding, Findings
from matrix.findings.presence import index_cells, list_affected_cells
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from matrix.verdict.model import CellChange
from reports import findings as words
from reports import summary
from reports.grid import grid_of, spans
from reports.look import SIGNS
from reports.pages import environment
from reports.recipe import Place, recipe
from reports.text import clean, duration, log_tail, plural

_TAIL = 40
_MESSAGES_SHOWN = 30
# What comes after as many is told in a line each: nobody reads on, and no browser loads it.
_FINDINGS_SHOWN = 100
_NAMED = 50
_CARDS_SHOWN = 20
_WARNED_SHOWN = 100
# Cells whose messages are told in an article of their own, not only in the table of all cells.
_TOLD = frozenset({State.FAIL, State.TIMEOUT, State.OOM, State.INFRA})


@dataclass(frozen=True)
class Card:
    """A cell and everything that its article shows. ``by_hand``: where, and what to type there."""

    cell: Cell
    messages: tuple[Diagnostic, ...]
    unshown: int
    tail: tuple[str, ...]
    by_hand: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Passage:
    """A finding: each conjunction in words with its terms, and who says what."""

    finding: Finding
    conjunctions: tuple[tuple[str, tuple[words.Term, ...]], ...]
    said: tuple[tuple[str, Diagnostic], ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """Cells told together: what they have in common, how many they are, and a card for each of the first."""

    state: State
    title: str
    count: int
    cards: tuple[Card, ...]


def render_html(run: Run, findings: Findings, directory: Path) -> str:
    """The whole page; ``directory`` is where the logs are, and where the page is meant to lie."""
    told = {
        "Cells that failed": _sections(run, _failures(run, findings), directory),
        "What could not be tried": _sections(run, _faults(run), directory),
    }
    warned = _warned(run)
    cells = index_cells(run)
    return page("report.html.j2").render(
        run=run,
        cells=cells,
        summary=summary,
        facts=summary.facts(run),
        counts=summary.counts(run.cells),
        grid=grid_of(run),
        headline=summary.headline(run, findings),
        findings=[
            _passage(run, finding, list_affected_cells(cells, finding))
            for finding in findings.findings[:_FINDINGS_SHOWN]
        ],
        more=findings.findings[_FINDINGS_SHOWN:],
        named=_NAMED,
        words=words,
        told=told,
        warned=warned,
        elsewhere=_linked(told.values(), warned),
    )


@cache
def page(name: str) -> Template:
    """A page's template, with what all pages are given."""
    known = environment(escape=True)
    known.filters |= {"anchor": anchor, "fragment": fragment, "link": link, "duration": duration}
    known.globals |= {"title": summary.title, "spans": spans, "plural": plural, "signs": SIGNS}
    return known.get_template(name)


def anchor(cell: Cell | CellChange) -> str:
    """The cell's id as an HTML id: the same, but for blanks, which an id may not have."""
    return re.sub(r"\s", "_", clean(cell.id))


def fragment(cell: Cell | CellChange) -> str:
    """What stands behind ``#`` in a link to the cell."""
    return quote(anchor(cell), safe="/=,+@~:")


def link(path: str) -> str:
    """A path inside the run as a relative URL; never an absolute one, whatever it contains."""
    return "./" + quote(clean(path, 4000).lstrip("/"), safe="/=,+@~")


def _linked(told: Iterable[list[Section]], warned: list[tuple[list[Diagnostic], list[Cell]]]) -> set[str]:
    """The ids of the cells that have a place of their own in the page, before the table of all."""
    cards = (card.cell.id for sections in told for section in sections for card in section.cards)
    return {*cards, *(cell.id for _, cells in warned for cell in cells)}


def _passage(run: Run, finding: Finding, cells: Iterable[Cell]) -> Passage:
    return Passage(
        finding=finding,
        conjunctions=tuple(
            (words.conjunction(cube), tuple(words.terms(finding, number)))
            for number, cube in enumerate(finding.condition)
        ),
        said=tuple(words.telling(run, finding).items()),
        cells=tuple(cells),
    )


def _failures(run: Run, findings: Findings) -> list[summary.Group]:
    """Failing cells, each under the first finding that explains it; then those that none does."""
    left = {cell.id: cell for cell in run.cells if cell.state is State.FAIL}
    groups = []
    for finding in (one for one in findings.findings if one.is_error):
        mine = tuple(left.pop(name) for name in finding.cells if name in left)
        groups += [summary.Group(State.FAIL, f"{finding.id} {finding.title}", mine)] if mine else []
    return [*groups, *summary.failures(left.values())]


def _faults(run: Run) -> list[summary.Group]:
    return [group for group in summary.unproven(run) if group.state in _TOLD]


def _sections(run: Run, groups: Iterable[summary.Group], directory: Path) -> list[Section]:
    return [
        Section(
            state=group.state,
            title=group.title,
            count=len(group.cells),
            cards=tuple(_card(run, cell, directory) for cell in group.cells[:_CARDS_SHOWN]),
        )
        for group in groups
    ]


def _card(run: Run, cell: Cell, directory: Path) -> Card:
    messages = summary.diagnostics_of(run, cell)
    return Card(
        cell=cell,
        messages=tuple(messages[:_MESSAGES_SHOWN]),
        unshown=max(0, len(messages) - _MESSAGES_SHOWN),
        tail=log_tail(directory, cell.log, _TAIL),
        by_hand=tuple(recipe(run, cell, Place(directory, Path()))),
    )


def _warned(run: Run) -> list[tuple[list[Diagnostic], list[Cell]]]:
    """Cells in `warn`, those with the very same warnings together: the warnings, and the cells.

    The first groups only; all warnings are findings too.
    """
    groups: dict[frozenset[str], list[Cell]] = {}
    for cell in run.cells:
        if cell.state is State.WARN:
            groups.setdefault(frozenset(ref.key for ref in cell.diagnostics), []).append(cell)
    shown = list(groups.values())[:_WARNED_SHOWN]
    return [(summary.diagnostics_of(run, cells[0])[:_MESSAGES_SHOWN], cells) for cells in shown]
