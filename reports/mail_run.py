"""An ordinary run as a mail, in the layout that readers of the 0-day robot's mails know."""

from collections.abc import Iterable, Iterator
from functools import partial

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import PROVEN_STATES
from matrix.verdict.verdict_model import FindingChange
from reports import finding_text, mail_text, summary
from reports.changes import format_arch_counts
from reports.formatting import clean_text, format_count
from reports.mail_headers import NO_ORIGIN, MailOrigin, format_new_headers, render_mail
from reports.mail_text import (
    MailLimits,
    format_marked_lines,
    format_verbatim_field,
    format_wrapped_field,
    wrap_paragraph,
)
from reports.verdict_text import format_sentence


def render_run_mail(
    stored: StoredRun,
    sending: MailOrigin = NO_ORIGIN,
    *,
    new: Iterable[FindingChange] | None = None,
) -> str:
    """What a run was made on, and its findings, each with condition, compilers, recipe and messages.

    ``new``: with a baseline, what is new since; its messages are marked with ``>>``.
    """
    keys = None if new is None else frozenset(key for one in new for key in one.keys)
    subject = f"[kmatrix] Linux {stored.run.source.version}: {summary.format_run_headline(stored)}"
    body = mail_text.fit_body(partial(_render_run_body, stored, keys))
    log = mail_text.format_log_tail(stored, finding_text.find_unexplained_cells(stored))
    return render_mail(format_new_headers(subject, sending), [*body, *log])


def _render_run_body(stored: StoredRun, new: frozenset[str] | None, room: MailLimits) -> Iterator[str]:
    run, findings = stored.run, stored.findings
    yield from _render_source_fields(run, room)
    yield from wrap_paragraph(format_sentence(summary.format_run_headline(stored)), room.prose)
    for one in findings.findings[: room.findings]:
        yield from _render_finding_fields(run, one, room)
        yield from _render_reproduction(stored, one)
        yield from _render_messages(run, one, new, room)
    yield from wrap_paragraph(" ".join(_list_omissions(stored, room)), room.prose)


def _render_source_fields(run: Run, room: MailLimits) -> Iterator[str]:
    built = [cell for cell in run.cells if cell.state in PROVEN_STATES]
    yield from format_wrapped_field("tree", [mail_text.format_source_reference(run.source)], room.prose)
    yield from format_wrapped_field("patches", [mail_text.format_patch_names(run.source)], room.prose)
    yield from format_wrapped_field("base", [_format_bases(run)], room.prose)
    yield from format_wrapped_field(
        "cells", [f"{len(built)} ({format_arch_counts(built)})" if built else "none was built"], room.prose
    )
    yield ""


def _format_bases(run: Run) -> str:
    """The configurations that the cells start from: ``defconfig (ppc64le_defconfig on powerpc)``."""
    told = []
    for name in dict.fromkeys(cell.base for cell in run.cells):
        record = run.bases.get(name)
        others = {a: t for a, t in record.targets.items() if t != name} if record else {}
        other = ", ".join(f"{target} on {arch}" for arch, target in others.items())
        told.append(f"{name} ({other})" if other else name)
    return ", ".join(told) or "none"


def _render_finding_fields(run: Run, one: Finding, room: MailLimits) -> Iterator[str]:
    yield from format_wrapped_field("condition", finding_text.format_condition(one), room.prose)
    yield from format_wrapped_field(
        "severity",
        [f"{finding_text.format_severity(one)}; {format_count(len(one.cells), 'cell')}"],
        room.prose,
    )
    yield from format_verbatim_field(
        "compiler", mail_text.format_compilers(run, one.severity), room.toolchains
    )


def _render_reproduction(stored: StoredRun, one: Finding) -> Iterator[str]:
    commands = mail_text.format_tree_commands(stored, stored.list_affected_cells(one)[0], one)
    if commands:
        yield "reproduce:"
        yield from (f"        {clean_text(command, 4000)}" for command in commands)
    yield ""


def _render_messages(run: Run, one: Finding, new: frozenset[str] | None, room: MailLimits) -> Iterator[str]:
    """What the compilers say, in the robot's words for what is new."""
    kinds = sorted({f"{severity}s" for severity in one.severity.values()})
    known = "" if new is None else " (new ones prefixed by >>)"
    mark = ">>" if new and not new.isdisjoint(one.keys) else ""
    yield f"All {' and '.join(kinds)}{known}:"
    yield ""
    for lines in mail_text.format_messages(run, one, room):
        yield from format_marked_lines(lines, mark)
    yield ""


def _list_omissions(stored: StoredRun, room: MailLimits) -> Iterator[str]:
    """What is only counted: findings without room, failures without a finding, cells that prove nothing."""
    more = len(stored.findings.findings) - room.findings
    if more > 0:
        yield f"Not shown: {format_count(more, 'more finding')}."
    failed = len(finding_text.find_unexplained_cells(stored))
    if failed:
        yield f"Failed without an error that kmatrix knows: {format_count(failed, 'cell')}."
    for group in summary.group_unproven_cells(stored.run)[: room.findings]:
        yield format_sentence(f"{group.state}: {format_count(len(group.cells), 'cell')}: {group.title}")
    gone = summary.format_unreachable(stored.run)
    yield from [format_sentence(gone)] if gone else []
