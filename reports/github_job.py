"""What GitHub shows of a workflow's job: its summary, in Markdown, and the outputs of its step.

Both are appended to files that GitHub's runner names in variables.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text, replace_controls
from matrix.verdict.baseline import KnownIssues, Regression
from matrix.verdict.gates import is_added_cell_error
from matrix.verdict.verdict_model import FindingChange, Verdict
from reports.baseline_view import BaselineView
from reports.cell_judgement import CellJudgement, JudgementKind, format_code_name
from reports.changes import RunChanges
from reports.limits import (
    MARKDOWN,
    STEP_OUTPUT_FINDINGS,
    STEP_SUMMARIES,
    STEP_SUMMARY_BYTES,
    VERDICT_PAGE,
    FindingLimits,
)
from reports.markdown_text import escape_markdown
from reports.pages import render_markdown, render_verdict_markdown
from reports.summary import count_states, format_run_headline
from reports.verdict_text import format_verdict_headline

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
OUTPUT_VARIABLE = "GITHUB_OUTPUT"


def render_run_summary(stored: StoredRun, regression: Regression | None) -> str:
    """The report in Markdown, after what is new since a baseline; below GitHub's limit."""
    head = "".join(_list_regression_lines(regression)) if regression else ""
    headline = format_run_headline(stored)

    def render(shown: FindingLimits, *, has_grid: bool) -> str:
        return head + render_markdown(stored, shown, has_grid=has_grid)

    return _fit(render, MARKDOWN, headline)


def render_verdict_summary(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """The same of a verdict."""

    def render(shown: FindingLimits, *, has_grid: bool) -> str:
        del has_grid  # a verdict's has none
        return render_verdict_markdown(verdict, before, after, shown)

    return _fit(
        render, VERDICT_PAGE, format_verdict_headline(RunChanges.from_verdict(verdict, before, after))
    )


def _list_regression_lines(regression: Regression) -> Iterable[str]:
    view = BaselineView(regression)
    yield f"# Since {escape_markdown(view.run)}: {escape_markdown(view.headline)}\n\n"
    for name, changes in {"new": regression.new_findings, **view.gone_findings}.items():
        for row in changes[: MARKDOWN.findings]:
            yield f"- {name}: {escape_markdown(_name_change(row))}\n"
        more = len(changes) - MARKDOWN.findings
        if more > 0:
            yield f"- and {more} more {name}\n"
    yield "\n"


def _name_change(row: FindingChange) -> str:
    seen = row.after or row.before
    return f"{' '.join(seen.ids) if seen else ''} {row.title}"


def _fit(render: Callable[..., str], largest: FindingLimits, headline: str) -> str:
    """The largest of the texts that GitHub takes; what was left out is said at its end."""
    text = render(largest, has_grid=True)
    if len(text.encode()) <= STEP_SUMMARY_BYTES:
        return text
    note = "\nThis is cut, as GitHub shows no more than 1 MiB: the report has all of it.\n"
    for shown in STEP_SUMMARIES:
        text = render(shown, has_grid=False) + note
        if len(text.encode()) <= STEP_SUMMARY_BYTES:
            return text
    return f"# {escape_markdown(headline)}\n{note}"


def render_run_outputs(
    stored: StoredRun,
    code: ExitCode,
    new: Iterable[FindingChange] | None,
    judged: Mapping[str, CellJudgement],
    known_issues: KnownIssues,
) -> str:
    """The step's outputs. ``new`` are the findings that are new since a baseline; without one, all are that
    are not known."""
    findings = (each for each in stored.findings.findings if each.id not in known_issues.excused_by)
    titles = [f"{each.id} {each.title}" for each in findings] if new is None else list(map(_name_change, new))
    return _render_outputs(_collect_outputs(stored, code, titles, judged))


def render_verdict_outputs(
    verdict: Verdict, after: StoredRun, code: ExitCode, judged: Mapping[str, CellJudgement]
) -> str:
    """The same of a verdict; its page is beside that of its after-run."""
    titles = [_name_change(row) for row in verdict.findings if row.new_in or is_added_cell_error(row)]
    outputs = _collect_outputs(after, code, titles, judged)
    return _render_outputs({**outputs, "report": str(after.directory.absolute() / "verdict.html")})


def _collect_outputs(
    stored: StoredRun, code: ExitCode, titles: list[str], judged: Mapping[str, CellJudgement]
) -> dict[str, str]:
    kinds = Counter(each.kind for each in judged.values())
    counts = {str(state): count for state, count in count_states(stored.run.cells).items()}
    more = len(titles) - STEP_OUTPUT_FINDINGS
    shown = [clean_text(title) for title in titles[:STEP_OUTPUT_FINDINGS]]
    return {
        "state": format_code_name(code),
        "run": stored.run.id,
        "report": str(stored.directory.absolute() / "report.html"),
        "cells": str(len(stored.run.cells)),
        **{str(kind): str(kinds[kind]) for kind in JudgementKind},
        "counts": json.dumps(counts),
        "new-findings": str(len(titles)),
        "new-finding-titles": "\n".join([*shown, *([f"and {more} more"] if more > 0 else [])]),
    }


def _render_outputs(outputs: Mapping[str, str]) -> str:
    """Each value between delimiters that nobody knows before, so that none can begin another key."""
    delimiter = f"kmatrix_{secrets.token_hex(16)}"
    lines = []
    for name, value in outputs.items():
        cleaned = "\n".join(map(replace_controls, value.split("\n")))
        lines.append(f"{name}<<{delimiter}\n{cleaned}\n{delimiter}\n")
    return "".join(lines)
