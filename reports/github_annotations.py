"""A build log as workflow commands of GitHub Actions, which become annotations of the lines they name.

A line that begins with ``::`` is a command to GitHub's runner, so a message is escaped as its toolkit does
that, and cannot end its line or its property: a command that a log smuggles in is text.
"""

from collections.abc import Iterator

from matrix.diagnostics.diagnostic import BuildLog, Diagnostic
from matrix.foreign_text import clean_text, replace_controls
from reports import finding_text, limits
from reports.formatting import format_count, join_first
from reports.log_text import LogView
from reports.summary import format_warning_flag

_DATA_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY_ESCAPES = {**_DATA_ESCAPES, ":": "%3A", ",": "%2C"}


def render_annotations(log: BuildLog) -> Iterator[str]:
    """A line for each failed target without a known cause, and one for each diagnostic, causes first.

    GitHub shows the first ten errors and the first ten warnings of a step.
    """
    view = LogView("", log)
    for diagnostic in view.objects_by_diagnostic:
        yield _format_annotation(view, diagnostic)
    for target in view.failures_by_cause.get(None, ()):
        words = target.cause.diagnostic.message if target.cause else "no cause is known"
        yield _format_command("error", {"title": f"{target.target} failed"}, [words])


def _format_annotation(view: LogView, diagnostic: Diagnostic) -> str:
    flag = format_warning_flag(diagnostic)
    objects = view.objects_by_diagnostic[diagnostic]
    failed = [target.target for target in view.failures_by_cause.get(diagnostic, ())]
    place = {"file": diagnostic.file, "line": diagnostic.line, "col": diagnostic.column}
    known = {name: str(value) for name, value in place.items() if value is not None}
    # A line or column without a file would be one of the workflow's own file.
    properties = {
        **(known if diagnostic.file else {}),
        "title": " ".join(filter(None, (diagnostic.tool, flag))),
    }
    _, *details = finding_text.format_diagnostic(diagnostic)
    lines = [diagnostic.message, *details]
    lines += [f"failed: {join_first(failed, limits.LOG_OBJECTS, ' and ')}"] if failed else []
    lines += [f"in {format_count(len(objects), 'object')}"] if len(objects) > 1 else []
    return _format_command(diagnostic.severity, properties, lines)


def _format_command(command: str, properties: dict[str, str], lines: list[str]) -> str:
    """``::error file=a.c,line=3::message``."""
    words = ",".join(
        f"{name}={_escape(replace_controls(value), _PROPERTY_ESCAPES)}" for name, value in properties.items()
    )
    message = "\n".join(clean_text(line) for line in lines)
    return f"::{command} {words}::{_escape(message, _DATA_ESCAPES)}"


def _escape(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)
