"""An ordinary run as a mail, in the layout of the 0-day robot's mails."""

from collections.abc import Iterable, Iterator
from functools import partial

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.record.run_model import Run
from matrix.record.states import PROVEN_STATES
from matrix.verdict.verdict_model import FindingChange
from reports import mail_text, summary
from reports.baseline_view import BaselineView
from reports.changes import format_arch_counts
from reports.finding_view import FindingView
from reports.formatting import format_count
from reports.limits import MailLimits
from reports.mail_headers import NO_ORIGIN, MailOrigin, format_new_headers, render_mail
from reports.mail_text import (
    format_marked_lines,
    format_verbatim_field,
    format_wrapped_field,
    wrap_paragraph,
)
from reports.verdict_text import format_sentence


def render_run_mail(
    stored: StoredRun,
    origin: MailOrigin = NO_ORIGIN,
    *,
    new: Iterable[FindingChange] | None = None,
    since: BaselineView | None = None,
) -> str:
    """What a run was made on, and its findings, each with condition, compilers, recipe and messages.

    ``new``: with a baseline, what is new since; its messages are marked with ``>>``. ``since``: all that
    changed since a baseline. The subject and the first lines say it, and new findings come first then.
    """
    if since is not None:
        new = since.regression.new_findings
    keys = None if new is None else frozenset(key for change in new for key in change.keys)
    headline = summary.format_run_headline(stored) if since is None else since.headline
    subject = f"[kmatrix] Linux {stored.run.source.version}: {headline}"
    body = mail_text.fit_body(partial(_render_run_body, stored, keys, since))
    log = mail_text.format_log_tail(stored, stored.find_unexplained_cells())
    return render_mail(format_new_headers(subject, origin), [*body, *log])


def _render_run_body(
    stored: StoredRun, new: frozenset[str] | None, since: BaselineView | None, most: MailLimits
) -> Iterator[str]:
    yield from _render_source_fields(stored.run, most)
    yield from wrap_paragraph(format_sentence(summary.format_run_headline(stored)), most.prose)
    yield from _render_changes(since, most) if since else ()
    # New ones first, as there may not be room for all; else in their order.
    findings = sorted(stored.findings.findings, key=lambda finding: not _is_new(finding, new))
    for finding in findings[: most.findings]:
        view = mail_text.view_finding(stored, finding, most)
        yield from _render_finding_fields(view, most)
        yield from _render_reproduction(view)
        yield from _render_messages(view, new, most)
    yield from wrap_paragraph(" ".join(_list_omissions(stored, most)), most.prose)


def _is_new(finding: Finding, new: frozenset[str] | None) -> bool:
    return bool(new) and not frozenset(new or ()).isdisjoint(finding.keys)


def _render_changes(since: BaselineView, most: MailLimits) -> Iterator[str]:
    """What became of the baseline's findings and cells, in counts; those that are gone and lost by name."""
    yield from wrap_paragraph(format_sentence(f"since {since.run}: {since.headline}"), most.prose)
    named = [
        *((name, [row.title for row in rows]) for name, rows in since.gone_findings.items()),
        *((name, [cell.id for cell in cells]) for name, cells in since.changed_cells.items()),
    ]
    for name, lines in named:
        more = len(lines) - most.cells
        cut = [f"and {more} more"] if more > 0 else []
        yield from format_verbatim_field(name, [*lines[: most.cells], *cut], most.cells + 1)
    yield from [""] if named else []


def _render_source_fields(run: Run, most: MailLimits) -> Iterator[str]:
    built = [cell for cell in run.cells if cell.state in PROVEN_STATES]
    yield from format_wrapped_field("tree", [mail_text.format_source_reference(run.source)], most.prose)
    yield from format_wrapped_field("patches", [mail_text.format_patch_names(run.source)], most.prose)
    yield from format_wrapped_field("base", [_format_bases(run)], most.prose)
    yield from format_wrapped_field(
        "cells", [f"{len(built)} ({format_arch_counts(built)})" if built else "none was built"], most.prose
    )
    yield from format_wrapped_field("remembered", filter(None, [summary.format_remembered(run)]), most.prose)
    yield from format_wrapped_field(
        "same objects", filter(None, [summary.format_same_objects(run)]), most.prose
    )
    yield ""


def _format_bases(run: Run) -> str:
    """The configurations that the cells start from: ``defconfig (ppc64le_defconfig on powerpc)``."""
    bases = []
    for name in dict.fromkeys(cell.base for cell in run.cells):
        record = run.bases.get(name)
        others = {a: t for a, t in record.targets.items() if t != name} if record else {}
        other = ", ".join(f"{target} on {arch}" for arch, target in others.items())
        bases.append(f"{name} ({other})" if other else name)
    return ", ".join(bases) or "none"


def _render_finding_fields(view: FindingView, most: MailLimits) -> Iterator[str]:
    count = format_count(len(view.finding.cells), "cell")
    compilers = mail_text.format_compilers(view.location.stored.run, view.finding.severity)
    yield from format_wrapped_field("condition", view.condition, most.prose)
    yield from format_wrapped_field("severity", [f"{view.severity}; {count}"], most.prose)
    yield from format_wrapped_field("blames", filter(None, [view.blame]), most.prose)
    yield from format_verbatim_field("compiler", compilers, most.toolchains)


def _render_reproduction(view: FindingView) -> Iterator[str]:
    commands = mail_text.format_tree_commands(view.location.stored, view.affected_cells[0], view.finding)
    if commands:
        yield "reproduce:"
        yield from (f"        {clean_text(command, 4000)}" for command in commands)
    yield ""


def _render_messages(view: FindingView, new: frozenset[str] | None, most: MailLimits) -> Iterator[str]:
    """What the compilers print, in the robot's words for what is new."""
    kinds = sorted({f"{severity}s" for severity in view.finding.severity.values()})
    known = "" if new is None else " (new ones prefixed by >>)"
    mark = ">>" if _is_new(view.finding, new) else ""
    yield f"All {' and '.join(kinds)}{known}:"
    yield ""
    for lines in mail_text.list_messages(view, most):
        yield from format_marked_lines(lines, mark)
    yield ""


def _list_omissions(stored: StoredRun, most: MailLimits) -> Iterator[str]:
    """What is only counted: findings without room, failures without a finding, cells that prove nothing."""
    more = len(stored.findings.findings) - most.findings
    if more > 0:
        yield f"Not shown: {format_count(more, 'more finding')}."
    failed = len(stored.find_unexplained_cells())
    if failed:
        yield f"Failed without an error that kmatrix knows: {format_count(failed, 'cell')}."
    for group in summary.group_unproven_cells(stored.run)[: most.findings]:
        yield format_sentence(f"{group.state}: {format_count(len(group.cells), 'cell')}: {group.title}")
    run = stored.run
    notes = (summary.format_coverage(run), summary.format_unreachable(run), summary.format_attempts(run))
    yield from map(format_sentence, filter(None, notes))
