"""A build log as text: each failed target with its cause, each other diagnostic once, the counts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console

from matrix.diagnostics.diagnostic import BuildLog, Diagnostic, FailedTarget, Severity
from matrix.record.states import State
from reports import finding_text, limits
from reports.formatting import format_count, join_first
from reports.style import STATE_STYLES, StyledLine, print_lines, replace_unencodable


@dataclass(frozen=True)
class LogView:
    """What every format shows of a log: failed targets by their cause, and each other diagnostic once.

    What only follows from another, as "all warnings being treated as errors", is neither shown nor counted
    where it is no target's cause.
    """

    name: str
    log: BuildLog

    @cached_property
    def failures_by_cause(self) -> dict[Diagnostic | None, list[FailedTarget]]:
        """Cause → the targets that failed of it; those without a known cause under None."""
        groups: dict[Diagnostic | None, list[FailedTarget]] = {}
        for target in self.log.failed_targets:
            groups.setdefault(target.known_cause, []).append(target)
        return groups

    @cached_property
    def objects_by_diagnostic(self) -> dict[Diagnostic, list[str]]:
        """Each diagnostic → the objects in which it came up, in the log's order, causes and errors first."""
        found: dict[Diagnostic, list[str]] = {
            cause: [] for cause in self.failures_by_cause if cause is not None
        }
        errors_first = sorted(self.log.occurrences, key=lambda item: item.diagnostic.severity != "error")
        unknown = {
            target.cause.diagnostic
            for target in self.failures_by_cause.get(None, ())
            if target.cause is not None
        }
        for diagnostic, object_ in errors_first:
            if diagnostic in found or not (diagnostic.summary or diagnostic in unknown):
                objects = found.setdefault(diagnostic, [])
                objects += [object_] if object_ is not None else []
        return found

    @cached_property
    def further_errors(self) -> dict[Diagnostic, list[Diagnostic]]:
        """Cause → the other errors that came up in nothing but the targets that failed of it."""
        causes = {
            target.object: cause
            for cause, targets in self.failures_by_cause.items()
            for target in targets
            if cause is not None and target.object is not None
        }
        found: dict[Diagnostic, list[Diagnostic]] = {}
        for diagnostic, objects in self.objects_by_diagnostic.items():
            if diagnostic.severity != "error" or diagnostic in self.failures_by_cause:
                continue
            blamed = {causes.get(name) for name in objects}
            cause = blamed.pop() if len(blamed) == 1 else None
            if cause is not None:
                found.setdefault(cause, []).append(diagnostic)
        return found

    def list_others(self, severity: Severity) -> list[Diagnostic]:
        """The diagnostics of this severity that are shown with no failed target."""
        shown = {*self.failures_by_cause, *(each for more in self.further_errors.values() for each in more)}
        return [
            each for each in self.objects_by_diagnostic if each.severity == severity and each not in shown
        ]

    @property
    def headline(self) -> str:
        """``2 targets failed, 3 errors, 1 warning``: each diagnostic counted once."""
        severities = [diagnostic.severity for diagnostic in self.objects_by_diagnostic]
        failed = len(self.log.failed_targets)
        counts = {
            f"{format_count(failed, 'target')} failed": failed,
            format_count(severities.count("error"), "error"): severities.count("error"),
            format_count(severities.count("warning"), "warning"): severities.count("warning"),
        }
        return ", ".join(words for words, count in counts.items() if count) or "no error and no warning"


def show_log(view: LogView, console: Console) -> None:
    """A log in a terminal, or as text."""
    replace_unencodable(console)
    print_lines(console, render_log(view))


def render_log(view: LogView) -> Iterator[StyledLine | str]:
    """Each failed target with its cause, then the other diagnostics, then the counts."""
    fail, warn = STATE_STYLES[State.FAIL], STATE_STYLES[State.WARN]
    for cause, targets in view.failures_by_cause.items():
        names = join_first([target.target for target in targets], limits.LOG_OBJECTS, " and ")
        yield StyledLine("failed: ", fail).append(names, "bold default")
        yield from _render_cause(cause, targets)
        if cause in view.further_errors:
            yield from _render_further_errors(view.further_errors[cause])
    yield from _render_others(view, "error", fail)
    yield from _render_others(view, "warning", warn)
    style = fail if view.log.has_error or view.log.failed_targets else ""
    yield StyledLine(f"{view.name}: {view.headline}", f"bold {style}".strip())


def _render_cause(cause: Diagnostic | None, targets: Iterable[FailedTarget]) -> Iterator[str]:
    """The message that is the reason; without one, what make and the command printed last."""
    if cause is not None:
        yield from (f"  {line}" for line in finding_text.format_diagnostic(cause))
        return
    shown = [target for target in targets if target.cause is not None][: limits.LOG_OBJECTS]
    for target in shown:
        assert target.cause is not None
        diagnostic = target.cause.diagnostic
        yield f"  no cause is known: {diagnostic.message}"
        yield from (f"    {line}" for line in diagnostic.notes)
    yield from [] if shown else ["  no cause is known"]


def _render_further_errors(diagnostics: list[Diagnostic]) -> Iterator[str]:
    """What else is wrong with the targets above."""
    for diagnostic in diagnostics[: limits.LOG_DIAGNOSTICS]:
        yield from (f"  {line}" for line in finding_text.format_diagnostic(diagnostic))
    yield from _render_rest(len(diagnostics), "  ", "error")


def _render_rest(count: int, indent: str, severity: Severity) -> Iterator[str]:
    more = count - limits.LOG_DIAGNOSTICS
    yield from [f"{indent}… and {format_count(more, f'more {severity}')}, with --json"] if more > 0 else []


def _render_others(view: LogView, severity: Severity, style: str) -> Iterator[StyledLine | str]:
    others = view.list_others(severity)
    for diagnostic in others[: limits.LOG_DIAGNOSTICS]:
        first, *rest = finding_text.format_diagnostic(diagnostic)
        yield StyledLine(first, style)
        yield from (f"  {line}" for line in rest)
        objects = view.objects_by_diagnostic[diagnostic]
        if len(objects) > 1:
            yield f"  in {len(objects)} objects: {join_first(objects, limits.LOG_OBJECTS, ' and ')}"
        elif diagnostic.file is None:
            yield from (f"  in {name}" for name in objects if f"in {name}" not in diagnostic.notes)
    yield from _render_rest(len(others), "", severity)
