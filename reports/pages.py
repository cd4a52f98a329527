"""A run and a verdict as HTML and as GitHub-flavoured Markdown.

An HTML page is one self-contained file: nothing from elsewhere, light and dark, and complete without its
script. The pages of a verdict lie in the after-run's directory, and the HTML one links to the reports of both
runs.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Template

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding
from matrix.findings.make_steps import MakeSteps, RunLocation, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import QUIET_STATES, STOPPED_STATES, State
from matrix.verdict.baseline import Regression
from matrix.verdict.verdict_model import Verdict
from reports import limits, summary, verdict_text
from reports.baseline_view import BaselineView
from reports.cell_story import CellStories
from reports.changes import FINDING_OUTCOME_STATES, TRANSITION_STATES, RunChanges
from reports.embedded_logs import compress_failing_logs
from reports.finding_view import FindingView, view_finding_change
from reports.formatting import shorten_line
from reports.grid import build_grid
from reports.jinja_templates import format_relative_url, load_html_template, load_markdown_template
from reports.lane_times import measure_lanes
from reports.page_data import build_page_data, embed_json
from reports.ranking import rank_findings
from reports.side_by_side import SideBySide, name_finding


@dataclass(frozen=True)
class CellCard:
    """A cell and everything that its article shows. ``commands``: where, and what to type there.

    ``unproven_messages`` were printed before it was stopped, and prove nothing.
    """

    cell: Cell
    messages: tuple[Diagnostic, ...]
    unproven_messages: tuple[Diagnostic, ...]
    hidden_count: int
    log_tail: tuple[str, ...]
    commands: MakeSteps


@dataclass(frozen=True)
class CellSection:
    """Cells shown together: what they have in common, how many they are, and a card for each of the first."""

    state: State
    title: str
    count: int
    cards: tuple[CellCard, ...]


@dataclass(frozen=True)
class WarnedGroup:
    """Cells with the very same warnings."""

    messages: list[Diagnostic]
    cells: list[Cell]


def render_html(stored: StoredRun, regression: Regression | None = None, *, single_file: bool = False) -> str:
    """The whole page, which is meant to lie in the run's directory; with what it changed since its baseline.

    ``single_file``: with the whole logs of the cells that failed, compressed.
    """
    run, baseline = stored.run, BaselineView(regression) if regression else None
    sides = _pair_with_baseline(stored, regression) if regression else None
    ranked = rank_findings(stored, limits.HTML, baseline)
    stories = CellStories(stored, [each.view.finding for each in ranked])
    sections = {
        "Cells that failed": _build_sections(stored, _group_failures(stored)),
    }
    faults = _build_sections(stored, _group_stopped(run))
    warned_groups = _group_warned_cells(run)
    return load_html_template("report.html.j2").render(
        **(_collect_run_values(stored, limits.HTML) | {"findings": ranked}),
        baseline=baseline,
        sides=sides,
        finding_states=FINDING_OUTCOME_STATES,
        detailed_count=limits.HTML.findings,
        shown_cells=limits.HTML.cells,
        lanes=measure_lanes(run),
        cells=stored.cells_by_id,
        cell_sections=sections,
        faults=faults,
        warned_groups=warned_groups,
        linked_cells=_collect_linked_ids([*sections.values(), faults], warned_groups),
        data=embed_json(build_page_data(stored, stories.findings, stories, sides)),
        logs=compress_failing_logs(stored) if single_file else {},
    )


def _pair_with_baseline(stored: StoredRun, regression: Regression) -> SideBySide:
    verdict = regression.verdict
    return SideBySide(regression.before, stored, verdict.cells, verdict.findings)


def render_markdown(
    stored: StoredRun, shown: limits.FindingLimits = limits.MARKDOWN, *, has_grid: bool = True
) -> str:
    """The whole text, which is meant to lie in the run's directory: paths are relative to that."""
    return _render_markdown_template(
        load_markdown_template("report.md.j2"),
        **_collect_run_values(stored, shown),
        has_grid=has_grid,
        more_findings=max(0, len(stored.findings.findings) - shown.findings),
        failures=summary.group_failures(stored.find_unexplained_cells()),
        format_state=_format_cell_state,
        cells_shown=shown.cells,
    )


def _collect_run_values(stored: StoredRun, shown: limits.FindingLimits) -> dict[str, object]:
    """What both templates of a run are given."""
    run, location = stored.run, RunLocation(stored, Path())
    findings = stored.findings.findings[: shown.findings]
    return {
        "run": run,
        "summary": summary,
        "facts": summary.collect_run_facts(run),
        "counts": summary.count_states(run.cells),
        "grid": build_grid(run),
        "headline": summary.format_run_headline(stored),
        "findings": [FindingView(location, finding, shown) for finding in findings],
    }


def _render_markdown_template(template: Template, **values: object) -> str:
    """Parts that are left out leave blank lines: one is enough."""
    return re.sub(r"\n{3,}", "\n\n", template.render(**values))


def _format_cell_state(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.state is State.UNREACHABLE:
        return cell.state.row.sign
    return str(cell.state) if cell.state in QUIET_STATES else f"**{cell.state}**"


def _collect_linked_ids(
    sections: Iterable[list[CellSection]], warned_groups: Iterable[WarnedGroup]
) -> set[str]:
    """The ids of the cells that the page shows before the table of all: links lead there."""
    cards = (card.cell.id for some in sections for section in some for card in section.cards)
    return {*cards, *(cell.id for group in warned_groups for cell in group.cells)}


def _group_failures(stored: StoredRun) -> list[summary.OutcomeGroup]:
    """Failing cells, each under the first finding that explains it; then those that none does."""
    left = {cell.id: cell for cell in stored.run.cells if cell.state is State.FAIL}
    groups = []
    for finding in (finding for finding in stored.findings.findings if finding.is_error):
        cells = tuple(left.pop(name) for name in finding.cells if name in left)
        groups += [_group_by_finding(finding, cells)] if cells else []
    return [*groups, *summary.group_failures(left.values())]


def _group_by_finding(finding: Finding, cells: tuple[Cell, ...]) -> summary.OutcomeGroup:
    return summary.OutcomeGroup(State.FAIL, f"{finding.id} {finding.title}", cells)


def _group_stopped(run: Run) -> list[summary.OutcomeGroup]:
    """Cells that the machine stopped: their logs are worth a look, unlike those of empty ones."""
    return [group for group in summary.group_unproven_cells(run) if group.state in STOPPED_STATES]


def _build_sections(stored: StoredRun, groups: Sequence[summary.OutcomeGroup]) -> list[CellSection]:
    """A section for each group. Where there are very many, each has room for fewer cells, but for one."""
    room = max(1, min(limits.HTML_CARDS, limits.HTML_ALL_CARDS // max(1, len(groups))))
    return [
        CellSection(
            state=group.state,
            title=group.title,
            count=len(group.cells),
            cards=tuple(_build_card(stored, cell) for cell in group.cells[:room]),
        )
        for group in groups
    ]


def _build_card(stored: StoredRun, cell: Cell) -> CellCard:
    messages = summary.list_cell_diagnostics(stored.run, cell)
    unproven = summary.list_unproven_diagnostics(stored.run, cell)
    tail = stored.read_log_tail(cell, limits.HTML_LOG_LINES)
    return CellCard(
        cell=cell,
        messages=tuple(messages[: limits.HTML_CELL_MESSAGES]),
        unproven_messages=tuple(unproven[: limits.HTML_CELL_MESSAGES]),
        hidden_count=sum(max(0, len(some) - limits.HTML_CELL_MESSAGES) for some in (messages, unproven)),
        log_tail=tuple(shorten_line(line, limits.LINE_LENGTH) for line in tail),
        commands=list_make_steps(cell, RunLocation(stored, Path())),
    )


def _group_warned_cells(run: Run) -> list[WarnedGroup]:
    """Cells in `warn`, those with the very same warnings together; the first groups only: all warnings are
    findings too."""
    groups: dict[frozenset[str], list[Cell]] = {}
    for cell in run.cells:
        if cell.state is State.WARN:
            groups.setdefault(frozenset(ref.key for ref in cell.proven_diagnostics), []).append(cell)
    return [
        WarnedGroup(summary.list_cell_diagnostics(run, cells[0])[: limits.HTML_CELL_MESSAGES], cells)
        for cells in list(groups.values())[: limits.HTML_WARNED_GROUPS]
    ]


def render_verdict_html(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The whole page, in the look of a run's."""
    sides = SideBySide(before, after, verdict.cells, verdict.findings)
    findings = [each.view.finding for each in rank_findings(after, limits.HTML)]
    stories = CellStories(after, findings)
    return load_html_template("verdict.html.j2").render(
        **_collect_verdict_values(verdict, before, after),
        report={"before": _link_run_report(before, after), "after": _link_run_report(after, after)},
        sides=sides,
        name_finding=name_finding,
        data=embed_json(build_page_data(after, findings, stories, sides)),
    )


def render_verdict_markdown(
    verdict: Verdict,
    before: StoredRun,
    after: StoredRun,
    shown: limits.FindingLimits = limits.VERDICT_PAGE,
) -> str:
    """The whole text, for a comment or a wiki."""
    return _render_markdown_template(
        load_markdown_template("verdict.md.j2"),
        **_collect_verdict_values(verdict, before, after, shown),
        cells_shown=shown.cells,
    )


def _collect_verdict_values(
    verdict: Verdict, before: StoredRun, after: StoredRun, shown: limits.FindingLimits = limits.VERDICT_PAGE
) -> dict[str, object]:
    """What both templates of a verdict are given."""
    changes = RunChanges.from_verdict(verdict, before, after)
    return {
        "verdict": verdict,
        "changes": changes,
        "headline": verdict_text.format_verdict_headline(changes),
        "summary_lines": verdict_text.collect_summary_lines(verdict, changes),
        "findings": [
            view_finding_change(changes, change, shown) for change in changes.findings[: shown.findings]
        ],
        "more_findings": max(0, len(changes.findings) - shown.findings),
        "facts": verdict_text.compare_run_facts(before, after),
        "verdict_text": verdict_text,
        "transition_states": TRANSITION_STATES,
        "finding_states": FINDING_OUTCOME_STATES,
    }


def _link_run_report(side: StoredRun, after: StoredRun) -> str:
    """The URL of a run's own report, in the after-run's directory."""
    return format_relative_url(os.path.relpath(side.directory / "report.html", after.directory))
