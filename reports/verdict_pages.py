"""A verdict as HTML and as Markdown, the comparison first.

Both are meant to lie in the after-run's directory; the page links to the reports of both runs.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.presence import list_affected_cells
from matrix.verdict.model import CellChange, FindingChange, Verdict
from reports import findings as words
from reports import html, markdown
from reports import verdict as told
from reports.changes import FATES, TRANSITIONS, Changes, Told
from reports.explain import said
from reports.recipe import Place, recipe, seen_in

_FINDINGS_SHOWN = 100
_CELLS_SHOWN = 20
_EXCERPT_SHOWN = 6


@dataclass(frozen=True)
class _Passage:
    """A finding: what each toolchain says, and what to type to see it, in the tree before or after."""

    change: FindingChange
    said: tuple[tuple[str, Diagnostic], ...]
    tree: str
    by_hand: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What the toolchains say, as they print it."""
        return [line for _, one in self.said for line in said(one)[:_EXCERPT_SHOWN]]


def render_verdict_html(verdict: Verdict, before: Told, after: Told) -> str:
    """The whole page: self-contained, in the look of a run's."""
    report = {"before": _report(before, after), "after": _report(after, after)}

    def link(cell: CellChange) -> str:
        """To the cell, on the after-side where that has it."""
        return f"{report['before' if cell.after is None else 'after']}#{html.fragment(cell)}"

    page = html.page("verdict.html.j2")
    return page.render(_facts(verdict, before, after), report=report, cell_link=link)


def render_verdict_markdown(verdict: Verdict, before: Told, after: Told) -> str:
    """The whole text: GitHub-flavoured, for a comment or a wiki."""
    page = markdown.page("verdict.md.j2")
    text = page.render(_facts(verdict, before, after), shown=_CELLS_SHOWN)
    return re.sub(r"\n{3,}", "\n\n", text)


def _facts(verdict: Verdict, before: Told, after: Told) -> dict[str, object]:
    """What both templates are given."""
    changes = Changes.of(verdict, before, after)
    return {
        "verdict": verdict,
        "changes": changes,
        "headline": told.headline(changes),
        "heads": told.heads(verdict, changes),
        "findings": [_passage(one, changes) for one in changes.findings[:_FINDINGS_SHOWN]],
        "more": max(0, len(changes.findings) - _FINDINGS_SHOWN),
        "facts": told.facts(before, after),
        "told": told,
        "words": words,
        "transitions": TRANSITIONS,
        "fates": FATES,
    }


def _passage(one: FindingChange, changes: Changes) -> _Passage:
    shown = changes.shown(one)
    if shown is None:
        return _Passage(one, (), "", ())
    side, finding = shown
    cell = list_affected_cells(side.cells, finding)[0]
    place = Place(side.directory, Path(_from(side.directory, changes.after)))
    return _Passage(
        change=one,
        said=tuple(changes.messages(one).items()),
        tree="after" if side is changes.after else "before",
        by_hand=tuple(command for _, command in recipe(side.run, cell, place, seen_in(cell, finding))),
    )


def _report(side: Told, after: Told) -> str:
    """The URL of a run's own report."""
    return html.link(_from(side.directory / "report.html", after))


def _from(path: Path, after: Told) -> str:
    return os.path.relpath(path, after.directory)
