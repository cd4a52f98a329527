"""A run as GitHub-flavoured Markdown: for a comment, a mail, a wiki."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Template

from matrix.findings.model import Finding, Findings
from matrix.findings.presence import index_cells, list_affected_cells
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports import findings as words
from reports import summary
from reports.explain import said
from reports.grid import grid_of
from reports.pages import environment
from reports.recipe import Place, recipe, seen_in
from reports.text import clean, plural

_CELLS_SHOWN = 20
_EXCERPT_SHOWN = 6
_FINDINGS_SHOWN = 40
_TICKS = re.compile("`+")
# What means something anywhere, an underscore at a word's edge, and what begins a heading or a list.
_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#+-]|(?<=^\d)[.)])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render_markdown(run: Run, findings: Findings, directory: Path) -> str:
    """The whole text; ``directory`` is where it is meant to lie, and paths are relative to it."""
    place, cells = Place(directory, Path()), index_cells(run)
    told = page("report.md.j2").render(
        run=run,
        summary=summary,
        facts=summary.facts(run),
        counts=summary.counts(run.cells),
        grid=grid_of(run),
        headline=summary.headline(run, findings),
        findings=[
            _section(run, finding, list_affected_cells(cells, finding), place)
            for finding in findings.findings[:_FINDINGS_SHOWN]
        ],
        more=max(0, len(findings.findings) - _FINDINGS_SHOWN),
        failures=summary.failures(words.unexplained(run, findings)),
        state=_state,
        shown=_CELLS_SHOWN,
    )
    return re.sub(r"\n{3,}", "\n\n", told)


@cache
def page(name: str) -> Template:
    """A text's template, with what all of them are given."""
    known = environment(escape=False)
    known.filters |= {"text": text, "code": code}
    known.globals |= {"plural": plural, "fence": fence}
    return known.get_template(name)


def text(words: str) -> str:
    """Words that mean only themselves: nothing is emphasised, linked, mentioned, or HTML."""
    return _SPECIAL.sub(r"\\\1", clean(words).translate(_HTML))


def code(words: str) -> str:
    """A code span that holds whatever the words hold."""
    line = clean(words, 4000)
    if not line:
        return ""
    ticks = "`" * (_longest(line) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line else f"{ticks}{line}{ticks}"


def fence(lines: Sequence[str]) -> str:
    """A fence that none of these lines closes."""
    return "`" * max(3, max(map(_longest, lines), default=0) + 1)


def _longest(line: str) -> int:
    return max(map(len, _TICKS.findall(line)), default=0)


@dataclass(frozen=True)
class _Section:
    """A finding with everything that its section shows, as plain lines."""

    finding: Finding
    facts: tuple[tuple[str, str], ...]
    said: tuple[str, ...]
    cells: tuple[Cell, ...]
    by_hand: tuple[str, ...]


def _section(run: Run, finding: Finding, cells: Sequence[Cell], place: Place) -> _Section:
    lines = [line for one in words.telling(run, finding).values() for line in said(one)[:_EXCERPT_SHOWN]]
    steps = recipe(run, cells[0], place, seen_in(cells[0], finding)) if finding.is_error else []
    facts = [
        ("severity", words.severity(finding)),
        *(("condition", line) for line in words.condition(finding)),
        ("context", words.context(finding)),
        *(("assumed", words.assumption(one)) for one in finding.assumes),
        ("proof", words.verdict(finding)),
        *(("absent", line) for line in words.scope(finding.scope.absent)),
        *(("not known", line) for line in words.scope(finding.scope.unknown)),
    ]
    return _Section(
        finding=finding,
        facts=tuple(fact for fact in facts if fact[1]),
        said=tuple(lines),
        cells=tuple(cells),
        by_hand=tuple(command for _, command in steps),
    )


def _state(cell: Cell | None) -> str:
    if cell is None:
        return ""
    plain = {State.PASS: "pass", State.UNREACHABLE: "-"}
    return plain.get(cell.state, f"**{cell.state}**")
