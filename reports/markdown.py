"""A run as GitHub-flavoured Markdown: for a comment, a mail, a wiki."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Template

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from reports import summary
from reports.by_hand import by_hand
from reports.grid import grid_of
from reports.pages import environment
from reports.text import clean, plural

_CELLS_SHOWN = 20
_EXCERPT_SHOWN = 6
_TICKS = re.compile("`+")
# What means something anywhere, an underscore at a word's edge, and what begins a heading or a list.
_SPECIAL = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#+-]|(?<=^\d)[.)])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def render_markdown(run: Run, directory: Path) -> str:
    """The whole text; ``directory`` is where it is meant to lie, and paths are relative to it."""
    del directory  # every format has the same signature; this one reads no file
    told = _template().render(
        run=run,
        summary=summary,
        facts=summary.facts(run),
        counts=summary.counts(run.cells),
        grid=grid_of(run),
        failures=[(group, _lines(group)) for group in summary.failures(run)],
        fence=fence,
        state=_state,
        shown=_CELLS_SHOWN,
    )
    return re.sub(r"\n{3,}", "\n\n", told)


@cache
def _template() -> Template:
    page = environment(escape=False)
    page.filters |= {"text": text, "code": code}
    page.globals |= {"plural": plural, "by_hand": lambda cell: by_hand(cell, Path())}
    return page.get_template("report.md.j2")


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


def fence(lines: list[str]) -> str:
    """A fence that none of these lines closes."""
    return "`" * max(3, max(map(_longest, lines), default=0) + 1)


def _longest(line: str) -> int:
    return max(map(len, _TICKS.findall(line)), default=0)


def _lines(group: summary.Group) -> list[str]:
    """The first error as the compiler printed it."""
    one: Diagnostic | None = group.diagnostic
    return [group.title, *(clean(line) for line in (one.excerpt[:_EXCERPT_SHOWN] if one else ()))]


def _state(cell: Cell | None) -> str:
    if cell is None:
        return ""
    plain = {State.PASS: "pass", State.UNREACHABLE: "-"}
    return plain.get(cell.state, f"**{cell.state}**")
