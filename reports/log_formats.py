"""A build log in each format of `./inv diagnose`: text, JSON, annotations."""

from collections.abc import Callable
from functools import partial
from json import dumps
from typing import Any

from rich.console import Console

from matrix.diagnostics.diagnostic import BuildLog
from matrix.errors import RequestError
from reports.github_annotations import render_annotations
from reports.log_text import LogView, show_log
from reports.workflow_commands import AnnotationLimit

LogFormat = Callable[[str, BuildLog, Console], None]
"""Shows a log, which has this name."""


def select_log_format(*, json: bool, github: bool) -> LogFormat:
    """The format that was asked for. RequestError for two of them."""
    if json and github:
        raise RequestError("--json and --github exclude each other", "ask for one of them")
    return _write_json if json else partial(_write_annotations, AnnotationLimit()) if github else _show_text


def _show_text(name: str, log: BuildLog, console: Console) -> None:
    show_log(LogView("stdin" if name == "-" else name, log), console)


def _write_json(name: str, log: BuildLog, console: Console) -> None:
    console.file.write(f"{serialize_log(name, log)}\n")


def _write_annotations(limit: AnnotationLimit, _: str, log: BuildLog, console: Console) -> None:
    console.file.writelines(f"{line}\n" for line in render_annotations(log, limit))


def serialize_log(name: str, log: BuildLog) -> str:
    """A log as one line of JSON: its name, what failed, and its diagnostics as run.json has them."""
    failed: list[dict[str, Any]] = [
        {
            "target": target.target,
            "object": target.object,
            "cause": target.known_cause.message if target.known_cause else None,
        }
        for target in log.failed_targets
    ]
    found = [
        {**item.diagnostic.model_dump(mode="json", by_alias=True), "object": item.object}
        for item in log.occurrences
    ]
    return dumps({"log": name, "failed": failed, "diagnostics": found})
