"""A run as GitHub-flavoured Markdown: for a comment, a mail, a wiki."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Template

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import State
from reports import finding_text, summary
from reports.explain import format_diagnostic
from reports.formatting import clean_text, format_count
from reports.grid import build_grid
from reports.jinja_templates import create_jinja_environment
from reports.make_steps import RunLocation, find_diagnostic_ref, list_make_steps

_CELLS_SHOWN = 20
_EXCERPT_SHOWN = 6
_FINDINGS_SHOWN = 40
_BACKTICKS = re.compile("`+")
# What means something anywhere, an underscore at a word's edge, and what begins a heading or a list.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#+-]|(?<=^\d)[.)])")
_HTML_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render_markdown(stored: StoredRun) -> str:
    """The whole text, which is meant to lie in the run's directory: paths are relative to that."""
    run, findings, place = stored.run, stored.findings, RunLocation(stored, Path())
    told = load_markdown_template("report.md.j2").render(
        run=run,
        summary=summary,
        facts=summary.collect_run_facts(run),
        counts=summary.count_states(run.cells),
        grid=build_grid(run),
        headline=summary.format_run_headline(stored),
        findings=[_build_markdown_finding(finding, place) for finding in findings.findings[:_FINDINGS_SHOWN]],
        more=max(0, len(findings.findings) - _FINDINGS_SHOWN),
        failures=summary.group_failures(finding_text.find_unexplained_cells(stored)),
        state=_format_cell_state,
        shown=_CELLS_SHOWN,
    )
    return re.sub(r"\n{3,}", "\n\n", told)


@cache
def load_markdown_template(name: str) -> Template:
    """A text's template, with what all of them are given."""
    known = create_jinja_environment(escape=False)
    known.filters |= {"text": escape_markdown, "code": format_code_span}
    known.globals |= {"plural": format_count, "fence": format_fence}
    return known.get_template(name)


def escape_markdown(words: str) -> str:
    """Words that mean only themselves: nothing is emphasised, linked, mentioned, or HTML."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", clean_text(words).translate(_HTML_ENTITIES))


def format_code_span(words: str) -> str:
    """A code span that holds whatever the words hold."""
    line = clean_text(words, 4000)
    if not line:
        return ""
    ticks = "`" * (_count_longest_backticks(line) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line else f"{ticks}{line}{ticks}"


def format_fence(lines: Sequence[str]) -> str:
    """A fence that none of these lines closes."""
    return "`" * max(3, max(map(_count_longest_backticks, lines), default=0) + 1)


def _count_longest_backticks(line: str) -> int:
    return max(map(len, _BACKTICKS.findall(line)), default=0)


@dataclass(frozen=True)
class _MarkdownFinding:
    """A finding with everything that its section shows, as plain lines."""

    finding: Finding
    facts: tuple[tuple[str, str], ...]
    message_lines: tuple[str, ...]
    cells: tuple[Cell, ...]
    commands: tuple[str, ...]


def _build_markdown_finding(finding: Finding, place: RunLocation) -> _MarkdownFinding:
    cells = place.stored.list_affected_cells(finding)
    lines = [
        line
        for one in finding_text.label_diagnostics(place.stored.run, finding).values()
        for line in format_diagnostic(one)[:_EXCERPT_SHOWN]
    ]
    steps = (
        list_make_steps(cells[0], place, find_diagnostic_ref(cells[0], finding)) if finding.is_error else []
    )
    facts = [
        ("severity", finding_text.format_severity(finding)),
        *(("condition", line) for line in finding_text.format_condition(finding)),
        ("context", finding_text.format_context(finding)),
        *(("assumed", finding_text.format_assumption(one)) for one in finding.assumes),
        ("proof", finding_text.format_proof(finding)),
        *(("absent", line) for line in finding_text.format_scope(finding.scope.absent)),
        *(("not known", line) for line in finding_text.format_scope(finding.scope.unknown)),
    ]
    return _MarkdownFinding(
        finding=finding,
        facts=tuple(fact for fact in facts if fact[1]),
        message_lines=tuple(lines),
        cells=tuple(cells),
        commands=tuple(command for _, command in steps),
    )


def _format_cell_state(cell: Cell | None) -> str:
    if cell is None:
        return ""
    plain = {State.PASS: "pass", State.UNREACHABLE: "-"}
    return plain.get(cell.state, f"**{cell.state}**")
