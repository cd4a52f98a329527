"""Reports of runs and verdicts: the formats by name, and what shows them and writes their files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from matrix.findings.stored_run import StoredRun
from matrix.fs import write_atomically
from matrix.verdict.baseline import NO_KNOWN_ISSUES
from matrix.verdict.verdict_model import Mailbox, Verdict
from reports.baseline_view import BaselineView
from reports.ci_formats import CI_FORMATS
from reports.format_names import find_named_format
from reports.mail_run import render_run_mail
from reports.mail_verdict import format_tested_by, render_step_mails, render_verdict_mail
from reports.pages import render_html, render_markdown, render_verdict_html, render_verdict_markdown
from reports.report_format import NO_OPTIONS, ReportFormat, ReportOptions, create_plain_format
from reports.task_output import show_regression
from reports.terminal import render_text, render_verdict_text, show_run_summary, show_verdict

__all__ = [
    "DEFAULT_FORMAT",
    "FORMATS",
    "NO_OPTIONS",
    "PROSE_FORMATS",
    "ReportOptions",
    "find_format",
    "show_compared_runs",
    "show_run",
    "write_run_reports",
    "write_verdict_reports",
]


def _render_run_mail(stored: StoredRun, options: ReportOptions) -> str:
    return render_run_mail(stored, since=BaselineView(options.regression) if options.regression else None)


def _render_run_html(stored: StoredRun, options: ReportOptions) -> str:
    return render_html(stored, options.regression, single_file=options.single_file)


def _render_verdict_html(verdict: Verdict, before: StoredRun, after: StoredRun, _: ReportOptions) -> str:
    return render_verdict_html(verdict, before, after)


def _render_verdict_mail(
    verdict: Verdict, before: StoredRun, after: StoredRun, options: ReportOptions
) -> str:
    tag = format_tested_by(options.tester) if options.tester else ""
    return render_verdict_mail(verdict, before, after, tag=tag)


DEFAULT_FORMAT = "terminal"
FORMATS: dict[str, ReportFormat] = {
    DEFAULT_FORMAT: create_plain_format("who reads it now, in colour", render_text, render_verdict_text),
    "html": ReportFormat(
        audience="a browser: one page with all of it",
        render_run=_render_run_html,
        render_verdict=_render_verdict_html,
        run_file="report.html",
        verdict_file="verdict.html",
        is_prose=True,
    ),
    "markdown": create_plain_format(
        "a comment, an issue, a wiki", render_markdown, render_verdict_markdown, "report.md", "verdict.md"
    ),
    "text": create_plain_format(
        "a file, a log of a CI", render_text, render_verdict_text, "report.txt", "verdict.txt"
    ),
    "mail": ReportFormat(
        audience="a mailing list: a draft, of a verdict the answer to its patch",
        render_run=_render_run_mail,
        render_verdict=_render_verdict_mail,
        verdict_file="mail.txt",
        is_prose=True,
    ),
    **CI_FORMATS,
}
PROSE_FORMATS = tuple(name for name, row in FORMATS.items() if row.is_prose)
"""The formats that tell a person all of a run. The others are for programs."""


def find_format(name: str) -> ReportFormat:
    """The format of this name. RequestError, with the nearest one, when there is none."""
    return find_named_format(name, FORMATS, f"there is no report format {name!r}")


def show_run(stored: StoredRun, name: str, console: Console, options: ReportOptions = NO_OPTIONS) -> None:
    """Show a run in one format: in a terminal with colours, in any other as its file would have it."""
    if name == DEFAULT_FORMAT:
        show_run_summary(stored, console)
        if options.regression is not None or options.known_issues is not NO_KNOWN_ISSUES:
            show_regression(options.regression, options.known_issues, console)
    else:
        console.file.write(find_format(name).render_run(stored, options))


def show_compared_runs(
    verdict: Verdict,
    runs: Sequence[StoredRun],
    name: str,
    console: Console,
    options: ReportOptions = NO_OPTIONS,
) -> None:
    """The same for a verdict. ``runs`` are the one before and those after each step."""
    if name == DEFAULT_FORMAT:
        show_verdict(verdict, runs[0], runs[-1], console)
    else:
        console.file.write(find_format(name).render_verdict(verdict, runs[0], runs[-1], options))


def write_run_reports(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> list[Path]:
    """Write every format into the run's directory; returns the files. DiskFullError when it is full."""
    rows = [row for row in FORMATS.values() if row.run_file]
    texts = {str(row.run_file): row.render_run(stored, options) for row in rows}
    return _write_files(texts, stored.directory)


def write_verdict_reports(
    verdict: Verdict, runs: Sequence[StoredRun], tester: Mailbox | None = None
) -> list[Path]:
    """Write every format, and a mail for each step, into the after-run's directory; returns the files.

    ``runs`` are the one before and those after each step; each gets the reports of a run, which the verdict
    refers to. DiskFullError when the disk is full.
    """
    for stored in runs:
        write_run_reports(stored)
    before, after, options = runs[0], runs[-1], ReportOptions(tester=tester)
    rows = [row for row in FORMATS.values() if row.verdict_file]
    texts = {str(row.verdict_file): row.render_verdict(verdict, before, after, options) for row in rows}
    if verdict.steps:
        mails = enumerate(render_step_mails(verdict, runs), 1)
        texts |= {f"mail-{number}.txt": mail for number, mail in mails}
    return _write_files(texts, after.directory)


def _write_files(texts: Mapping[str, str], directory: Path) -> list[Path]:
    for file, text in texts.items():
        write_atomically(directory / file, text)
    return [directory / file for file in texts]
