"""Reports of runs and verdicts: the formats by name, and what shows them and writes their files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from matrix.findings.stored_run import StoredRun
from matrix.fs import write_atomically
from matrix.verdict.baseline import NO_KNOWN_ISSUES, KnownIssues, Regression
from matrix.verdict.verdict_model import Mailbox, Verdict
from reports.cell_judgement import judge_run_cells, judge_verdict_cells
from reports.format_names import find_named_format
from reports.junit import render_junit, render_verdict_junit
from reports.mail_run import render_run_mail
from reports.mail_verdict import format_tested_by, render_step_mails, render_verdict_mail
from reports.pages import render_html, render_markdown, render_verdict_html, render_verdict_markdown
from reports.terminal import render_text, render_verdict_text, show_run_summary, show_verdict


@dataclass(frozen=True)
class ReportOptions:
    """What a report may have besides: what a run changed since a baseline, which its page shows first and its
    mail marks; the findings that are known; the tester whose tag ends a verdict's mail; whether lost cells
    are allowed; the whole logs in the page of a run."""

    regression: Regression | None = None
    known_issues: KnownIssues = NO_KNOWN_ISSUES
    tester: Mailbox | None = None
    allow_lost: bool = False
    single_file: bool = False


NO_OPTIONS = ReportOptions()


@dataclass(frozen=True)
class ReportFormat:
    """How a run and a verdict are rendered, and the file of each: a run's lies in its directory, a verdict's
    in that of its after-run. Without a file it is only made when it is asked for.

    ``audience``: for whom it is. ``is_prose``: it tells a person all of a run, and so all do the same.
    """

    run_file: str | None
    render_run: Callable[[StoredRun, ReportOptions], str]
    verdict_file: str | None
    render_verdict: Callable[[Verdict, StoredRun, StoredRun, ReportOptions], str]
    audience: str
    is_prose: bool = False


def _create_plain_format(
    run_file: str | None,
    render_run: Callable[[StoredRun], str],
    verdict_file: str | None,
    render_verdict: Callable[[Verdict, StoredRun, StoredRun], str],
    audience: str,
) -> ReportFormat:
    """A format for people that has nothing besides, whatever the options."""
    return ReportFormat(
        run_file,
        lambda stored, _: render_run(stored),
        verdict_file,
        lambda verdict, before, after, _: render_verdict(verdict, before, after),
        audience,
        is_prose=True,
    )


def _render_run_mail(stored: StoredRun, options: ReportOptions) -> str:
    return render_run_mail(stored, new=options.regression.new_findings if options.regression else None)


def _render_run_html(stored: StoredRun, options: ReportOptions) -> str:
    return render_html(stored, options.regression, single_file=options.single_file)


def _render_verdict_html(verdict: Verdict, before: StoredRun, after: StoredRun, _: ReportOptions) -> str:
    return render_verdict_html(verdict, before, after)


def _render_verdict_mail(
    verdict: Verdict, before: StoredRun, after: StoredRun, options: ReportOptions
) -> str:
    tag = format_tested_by(options.tester) if options.tester else ""
    return render_verdict_mail(verdict, before, after, tag=tag)


def _render_junit(stored: StoredRun, options: ReportOptions) -> str:
    return render_junit(stored, judge_run_cells(stored, options.regression, options.known_issues))


def _render_verdict_junit(verdict: Verdict, _: StoredRun, after: StoredRun, options: ReportOptions) -> str:
    return render_verdict_junit(
        verdict, after, judge_verdict_cells(verdict, after, allow_lost=options.allow_lost)
    )


DEFAULT_FORMAT = "terminal"
FORMATS: dict[str, ReportFormat] = {
    DEFAULT_FORMAT: _create_plain_format(
        None, render_text, None, render_verdict_text, "who reads it now, in colour"
    ),
    "html": ReportFormat(
        "report.html",
        _render_run_html,
        "verdict.html",
        _render_verdict_html,
        "a browser: one page with all of it",
        is_prose=True,
    ),
    "markdown": _create_plain_format(
        "report.md", render_markdown, "verdict.md", render_verdict_markdown, "a comment, an issue, a wiki"
    ),
    "text": _create_plain_format(
        "report.txt", render_text, "verdict.txt", render_verdict_text, "a file, a log of a CI"
    ),
    "mail": ReportFormat(
        None,
        _render_run_mail,
        "mail.txt",
        _render_verdict_mail,
        "a mailing list: a draft, of a verdict the answer to its patch",
        is_prose=True,
    ),
    "junit": ReportFormat(
        None,
        _render_junit,
        None,
        _render_verdict_junit,
        "a CI that shows tests: GitLab, Jenkins, and others",
    ),
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
