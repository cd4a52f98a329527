"""A verdict as HTML and as Markdown, the comparison first.

Both are meant to lie in the after-run's directory; the page links to the reports of both runs.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.verdict.verdict_model import CellChange, FindingChange, Verdict
from reports import finding_text, run_html, run_markdown, verdict_text
from reports.changes import FINDING_STATUS_STATES, TRANSITION_STATES, RunChanges
from reports.explain import format_diagnostic
from reports.make_steps import RunLocation, find_diagnostic_ref, list_make_steps

_FINDINGS_SHOWN = 100
_CELLS_SHOWN = 20
_EXCERPT_SHOWN = 6


@dataclass(frozen=True)
class _ChangedFinding:
    """A finding: what each toolchain says, and what to type to see it, in the tree before or after."""

    change: FindingChange
    messages: tuple[tuple[str, Diagnostic], ...]
    tree: str
    commands: tuple[str, ...]

    @property
    def message_lines(self) -> list[str]:
        """What the toolchains say, as they print it."""
        return [line for _, one in self.messages for line in format_diagnostic(one)[:_EXCERPT_SHOWN]]


def render_verdict_html(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The whole page: self-contained, in the look of a run's."""
    report = {"before": _link_run_report(before, after), "after": _link_run_report(after, after)}

    def link_cell(cell: CellChange) -> str:
        """To the cell, on the after-side where that has it."""
        return f"{report['before' if cell.after is None else 'after']}#{run_html.quote_anchor(cell)}"

    page = run_html.load_html_template("verdict.html.j2")
    return page.render(_collect_template_values(verdict, before, after), report=report, cell_link=link_cell)


def render_verdict_markdown(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The whole text: GitHub-flavoured, for a comment or a wiki."""
    page = run_markdown.load_markdown_template("verdict.md.j2")
    text = page.render(_collect_template_values(verdict, before, after), shown=_CELLS_SHOWN)
    return re.sub(r"\n{3,}", "\n\n", text)


def _collect_template_values(verdict: Verdict, before: StoredRun, after: StoredRun) -> dict[str, object]:
    """What both templates are given."""
    changes = RunChanges.from_verdict(verdict, before, after)
    return {
        "verdict": verdict,
        "changes": changes,
        "headline": verdict_text.format_verdict_headline(changes),
        "heads": verdict_text.collect_summary_lines(verdict, changes),
        "findings": [_build_changed_finding(one, changes) for one in changes.findings[:_FINDINGS_SHOWN]],
        "more": max(0, len(changes.findings) - _FINDINGS_SHOWN),
        "facts": verdict_text.compare_run_facts(before, after),
        "verdict_text": verdict_text,
        "finding_text": finding_text,
        "transitions": TRANSITION_STATES,
        "fates": FINDING_STATUS_STATES,
    }


def _build_changed_finding(one: FindingChange, changes: RunChanges) -> _ChangedFinding:
    shown = changes.locate_finding(one)
    if shown is None:
        return _ChangedFinding(one, (), "", ())
    side, finding = shown
    cell = side.list_affected_cells(finding)[0]
    place = RunLocation(side, Path(_relativize_to_after(side.directory, changes.after)))
    return _ChangedFinding(
        change=one,
        messages=tuple(changes.label_messages(one).items()),
        tree="after" if side is changes.after else "before",
        commands=tuple(
            command for _, command in list_make_steps(cell, place, find_diagnostic_ref(cell, finding))
        ),
    )


def _link_run_report(side: StoredRun, after: StoredRun) -> str:
    """The URL of a run's own report."""
    return run_html.format_relative_url(_relativize_to_after(side.directory / "report.html", after))


def _relativize_to_after(path: Path, after: StoredRun) -> str:
    return os.path.relpath(path, after.directory)
