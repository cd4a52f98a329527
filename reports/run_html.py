"""A run as one self-contained HTML file: no script, nothing from elsewhere, light and dark."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Template

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding, Findings
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.verdict.verdict_model import CellChange
from reports import finding_text, summary
from reports.formatting import clean_text, format_count, format_duration
from reports.grid import build_grid, find_spans
from reports.jinja_templates import create_jinja_environment
from reports.make_steps import RunLocation, list_make_steps
from reports.style import STATE_SIGNS

_LOG_LINES_SHOWN = 40
_MESSAGES_SHOWN = 30
# What comes after as many is told in a line each: nobody reads on, and no browser loads it.
_FINDINGS_SHOWN = 100
_CELLS_SHOWN = 50
_CARDS_SHOWN = 20
_WARNED_GROUPS_SHOWN = 100
# Cells whose messages are told in an article of their own, not only in the table of all cells.
_ARTICLE_STATES = frozenset({State.FAIL, State.TIMEOUT, State.OOM, State.INFRA})


@dataclass(frozen=True)
class CellCard:
    """A cell and everything that its article shows. ``by_hand``: where, and what to type there."""

    cell: Cell
    messages: tuple[Diagnostic, ...]
    hidden_count: int
    log_tail: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class HtmlFinding:
    """A finding: each conjunction in words with its terms, and who says what."""

    finding: Finding
    conjunctions: tuple[tuple[str, tuple[finding_text.TermProof, ...]], ...]
    diagnostics: tuple[tuple[str, Diagnostic], ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CellSection:
    """Cells told together: what they have in common, how many they are, and a card for each of the first."""

    state: State
    title: str
    count: int
    cards: tuple[CellCard, ...]


def render_html(stored: StoredRun) -> str:
    """The whole page, which is meant to lie in the run's directory."""
    run, findings = stored.run, stored.findings
    told = {
        "Cells that failed": _build_sections(stored, _group_failures(run, findings)),
        "What could not be tried": _build_sections(stored, _group_untried(run)),
    }
    warned = _group_warned_cells(run)
    return load_html_template("report.html.j2").render(
        run=run,
        cells=stored.cells_by_id,
        summary=summary,
        facts=summary.collect_run_facts(run),
        counts=summary.count_states(run.cells),
        grid=build_grid(run),
        headline=summary.format_run_headline(stored),
        findings=[_build_finding(stored, finding) for finding in findings.findings[:_FINDINGS_SHOWN]],
        more=findings.findings[_FINDINGS_SHOWN:],
        named=_CELLS_SHOWN,
        finding_text=finding_text,
        told=told,
        warned=warned,
        elsewhere=_collect_linked_ids(told.values(), warned),
    )


@cache
def load_html_template(name: str) -> Template:
    """A page's template, with what all pages are given."""
    known = create_jinja_environment(escape=True)
    known.filters |= {
        "anchor": format_anchor,
        "fragment": quote_anchor,
        "link": format_relative_url,
        "duration": format_duration,
    }
    known.globals |= {
        "title": summary.format_diagnostic_title,
        "spans": find_spans,
        "plural": format_count,
        "signs": STATE_SIGNS,
    }
    return known.get_template(name)


def format_anchor(cell: Cell | CellChange) -> str:
    """The cell's id as an HTML id: the same, but for blanks, which an id may not have."""
    return re.sub(r"\s", "_", clean_text(cell.id))


def quote_anchor(cell: Cell | CellChange) -> str:
    """What stands behind ``#`` in a link to the cell."""
    return quote(format_anchor(cell), safe="/=,+@~:")


def format_relative_url(path: str) -> str:
    """A path inside the run as a relative URL; never an absolute one, whatever it contains."""
    return "./" + quote(clean_text(path, 4000).lstrip("/"), safe="/=,+@~")


def _collect_linked_ids(
    told: Iterable[list[CellSection]], warned: list[tuple[list[Diagnostic], list[Cell]]]
) -> set[str]:
    """The ids of the cells that have a place of their own in the page, before the table of all."""
    cards = (card.cell.id for sections in told for section in sections for card in section.cards)
    return {*cards, *(cell.id for _, cells in warned for cell in cells)}


def _build_finding(stored: StoredRun, finding: Finding) -> HtmlFinding:
    return HtmlFinding(
        finding=finding,
        conjunctions=tuple(
            (finding_text.format_conjunction(cube), tuple(finding_text.group_term_proofs(finding, number)))
            for number, cube in enumerate(finding.condition)
        ),
        diagnostics=tuple(finding_text.label_diagnostics(stored.run, finding).items()),
        cells=tuple(stored.list_affected_cells(finding)),
    )


def _group_failures(run: Run, findings: Findings) -> list[summary.OutcomeGroup]:
    """Failing cells, each under the first finding that explains it; then those that none does."""
    left = {cell.id: cell for cell in run.cells if cell.state is State.FAIL}
    groups = []
    for finding in (one for one in findings.findings if one.is_error):
        mine = tuple(left.pop(name) for name in finding.cells if name in left)
        groups += [summary.OutcomeGroup(State.FAIL, f"{finding.id} {finding.title}", mine)] if mine else []
    return [*groups, *summary.group_failures(left.values())]


def _group_untried(run: Run) -> list[summary.OutcomeGroup]:
    return [group for group in summary.group_unproven_cells(run) if group.state in _ARTICLE_STATES]


def _build_sections(stored: StoredRun, groups: Iterable[summary.OutcomeGroup]) -> list[CellSection]:
    return [
        CellSection(
            state=group.state,
            title=group.title,
            count=len(group.cells),
            cards=tuple(_build_card(stored, cell) for cell in group.cells[:_CARDS_SHOWN]),
        )
        for group in groups
    ]


def _build_card(stored: StoredRun, cell: Cell) -> CellCard:
    messages = summary.list_cell_diagnostics(stored.run, cell)
    return CellCard(
        cell=cell,
        messages=tuple(messages[:_MESSAGES_SHOWN]),
        hidden_count=max(0, len(messages) - _MESSAGES_SHOWN),
        log_tail=tuple(map(clean_text, stored.read_log_tail(cell, _LOG_LINES_SHOWN))),
        commands=tuple(list_make_steps(cell, RunLocation(stored, Path()))),
    )


def _group_warned_cells(run: Run) -> list[tuple[list[Diagnostic], list[Cell]]]:
    """Cells in `warn`, those with the very same warnings together: the warnings, and the cells.

    The first groups only; all warnings are findings too.
    """
    groups: dict[frozenset[str], list[Cell]] = {}
    for cell in run.cells:
        if cell.state is State.WARN:
            groups.setdefault(frozenset(ref.key for ref in cell.diagnostics), []).append(cell)
    shown = list(groups.values())[:_WARNED_GROUPS_SHOWN]
    return [(summary.list_cell_diagnostics(run, cells[0])[:_MESSAGES_SHOWN], cells) for cells in shown]
