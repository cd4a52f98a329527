"""A run, told: the formats by name. Nothing here decides anything; it only says what the record holds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import RequestError, nearest
from matrix.findings.model import Findings
from matrix.record.files import write_whole
from matrix.record.model import Run
from reports.html import render_html
from reports.markdown import render_markdown
from reports.terminal import render_text


@dataclass(frozen=True)
class Format:
    """A way to tell a run: the file that it makes in the run's directory, and what makes its text."""

    file: str
    render: Callable[[Run, Findings, Path], str]


FORMATS: dict[str, Format] = {
    "html": Format("report.html", render_html),
    "markdown": Format("report.md", render_markdown),
    "text": Format("report.txt", render_text),
    "terminal": Format("report.txt", render_text),
}


def render(run: Run, findings: Findings, directory: Path, name: str) -> str:
    """The run in one format. RequestError for a name that is none."""
    if name not in FORMATS:
        raise RequestError(
            f"there is no report format {name!r}{nearest(name, FORMATS)}", f"formats: {', '.join(FORMATS)}"
        )
    return FORMATS[name].render(run, findings, directory)


def write_all(run: Run, findings: Findings, directory: Path) -> list[Path]:
    """Write every format into the run's directory; returns the files. DiskFullError when it is full."""
    texts = {FORMATS[name].file: render(run, findings, directory, name) for name in FORMATS}
    for file, told in texts.items():
        write_whole(directory / file, told)
    return [directory / file for file in texts]
