"""A run, told: the formats by name. Nothing here decides anything; it only says what the record holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from matrix.errors import RequestError, format_nearest
from matrix.findings.stored_run import StoredRun
from matrix.fs import write_atomically
from matrix.verdict.verdict_model import FindingChange, Mailbox, Verdict
from reports.mail_run import render_run_mail
from reports.mail_verdict import format_tested_by, render_step_mails, render_verdict_mail
from reports.run_html import render_html
from reports.run_markdown import render_markdown
from reports.run_terminal import render_text
from reports.verdict_pages import render_verdict_html, render_verdict_markdown
from reports.verdict_terminal import render_verdict_text

F = TypeVar("F")


@dataclass(frozen=True)
class RunFormat:
    """A way to tell a run: the file that it makes in the run's directory, and what makes its text.

    Without a file it is only made when somebody asks for it.
    """

    file: str | None
    render: Callable[[StoredRun], str]


RUN_FORMATS: dict[str, RunFormat] = {
    "html": RunFormat("report.html", render_html),
    "markdown": RunFormat("report.md", render_markdown),
    "text": RunFormat("report.txt", render_text),
    "terminal": RunFormat("report.txt", render_text),
    "mail": RunFormat(None, render_run_mail),
}


@dataclass(frozen=True)
class VerdictFormat:
    """The same for a verdict, which lies in the after-run's directory."""

    file: str | None
    render: Callable[[Verdict, StoredRun, StoredRun], str]


VERDICT_FORMATS: dict[str, VerdictFormat] = {
    "html": VerdictFormat("verdict.html", render_verdict_html),
    "markdown": VerdictFormat("verdict.md", render_verdict_markdown),
    "text": VerdictFormat("verdict.txt", render_verdict_text),
    "terminal": VerdictFormat("verdict.txt", render_verdict_text),
    "mail": VerdictFormat(None, render_verdict_mail),
}


def render_run(stored: StoredRun, name: str, new: Iterable[FindingChange] | None = None) -> str:
    """The run in one format. RequestError for a name that is none. A mail marks what is new since a baseline,
    where there is one."""
    if name == "mail":
        return render_run_mail(stored, new=new)
    return _find_format(RUN_FORMATS, name).render(stored)


def write_run_reports(stored: StoredRun) -> list[Path]:
    """Write every format into the run's directory; returns the files. DiskFullError when it is full."""
    files = {one.file: one.render for one in RUN_FORMATS.values() if one.file}
    return _write_files({file: make(stored) for file, make in files.items()}, stored.directory)


def render_verdict(
    verdict: Verdict, before: StoredRun, after: StoredRun, name: str, tester: Mailbox | None = None
) -> str:
    """The verdict in one format; a mail has the tester's tag. RequestError for a name that is none."""
    if name == "mail":
        return render_verdict_mail(verdict, before, after, tag=format_tested_by(tester) if tester else "")
    return _find_format(VERDICT_FORMATS, name).render(verdict, before, after)


def write_verdict_reports(
    verdict: Verdict, sides: Sequence[StoredRun], tester: Mailbox | None = None
) -> list[Path]:
    """Write every format, and the mails, into the after-run's directory; returns the files.

    ``sides`` are the run before and those after each step; each gets the reports of a run, which the verdict
    refers to. DiskFullError when the disk is full.
    """
    for side in sides:
        write_run_reports(side)
    before, after = sides[0], sides[-1]
    texts = {one.file: one.render(verdict, before, after) for one in VERDICT_FORMATS.values() if one.file} | {
        "mail.txt": render_verdict(verdict, before, after, "mail", tester)
    }
    if verdict.steps:
        mails = enumerate(render_step_mails(verdict, sides), 1)
        texts |= {f"mail-{number}.txt": mail for number, mail in mails}
    return _write_files(texts, after.directory)


def _find_format(formats: Mapping[str, F], name: str) -> F:
    if name not in formats:
        raise RequestError(
            f"there is no report format {name!r}{format_nearest(name, formats)}",
            f"formats: {', '.join(formats)}",
        )
    return formats[name]


def _write_files(texts: Mapping[str, str], directory: Path) -> list[Path]:
    for file, told in texts.items():
        write_atomically(directory / file, told)
    return [directory / file for file in texts]
