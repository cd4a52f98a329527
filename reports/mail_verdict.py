"""The answer to a patch: what it fixes, breaks, loses, with what it was built, how to see it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import pairwise

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.verdict.gates import is_broken_cell
from matrix.verdict.through_text import format_look_methods, list_demotions
from matrix.verdict.verdict_model import FindingChange, FindingStatus, Mailbox, PatchMail, Transition, Verdict
from reports import finding_text, limits, mail_text, verdict_text
from reports.changes import CellChangeGroup, RunChanges, format_arch_counts, is_finding_changed
from reports.formatting import format_count
from reports.limits import MailLimits
from reports.mail_headers import NO_ORIGIN, MailOrigin, format_new_headers, format_reply_headers, render_mail
from reports.mail_text import (
    escape_mail_line,
    format_quotation,
    indent_verbatim,
    join_with_and,
    wrap_paragraph,
)

_TRANSITION_LABELS: dict[Transition, str] = {
    Transition.BROKEN: "Broken",
    Transition.LOST: "Lost",
    Transition.CHANGED: "Not as before",
    Transition.FIXED: "Fixed",
    Transition.GAINED: "Can be built now",
    Transition.STILL_FAILING: "Fails with and without it",
}
# Cells of these are listed by their ids, as somebody has to act on them.
_LISTED_TRANSITIONS = frozenset({Transition.BROKEN, Transition.LOST})
_MAX_NAME_LENGTH = 40


@dataclass(frozen=True)
class ReplyContext:
    """What is answered, and what there is to say besides what changed: ``notes`` are sentences.

    ``name`` stands for what came in no mail; ``tag`` is a line of its own.
    """

    mail: PatchMail | None
    name: str
    notes: tuple[str, ...] = ()
    tag: str = ""


def render_reply_body(changes: RunChanges, reply: ReplyContext) -> list[str]:
    """The body: below sixty lines, then the end of a log where nothing else explains a failure."""
    return [*mail_text.fit_body(partial(_render_verdict_body, changes, reply)), *_render_log_tail(changes)]


def list_verdict_notes(verdict: Verdict) -> Iterator[str]:
    """Sentences on what does not apply, which patch alone does harm, what was built on."""
    for number, patch in enumerate(verdict.patches, 1):
        if patch.refused:
            subject = clean_text(patch.subject or patch.name, 120)
            what = f"Patch {number} of {len(verdict.patches)} ({subject})"
            yield verdict_text.format_sentence(
                f"{what} does not apply, so this is on what stands before it: {patch.refused}"
            )
    bad = {Transition.BROKEN, Transition.LOST}
    steps = (step for step in verdict.steps or () if any(cell.transition in bad for cell in step.cells))
    yield from (
        verdict_text.format_sentence(f"By itself, {verdict_text.format_step(step)}") for step in steps
    )
    yield from map(verdict_text.format_sentence, verdict_text.list_base_notes(verdict))


def _render_verdict_body(changes: RunChanges, reply: ReplyContext, most: MailLimits) -> Iterator[str]:
    write = partial(wrap_paragraph, most=most.prose)
    yield from _render_quoted_mail(reply.mail, most)
    yield from write(_format_opening(changes))
    yield from write(" ".join(reply.notes))
    yield from _render_findings(changes, most)
    yield from _render_groups(changes, most)
    yield from write(" ".join(_list_omissions(changes, most)))
    yield from write(
        " ".join(
            verdict_text.format_sentence(verdict_text.format_symbol_change(change))
            for change in changes.symbols[: limits.MAIL_SYMBOL_CHANGES]
        )
    )
    yield from write(" ".join(_list_build_facts(changes)))
    yield from indent_verbatim(mail_text.format_compilers(changes.after.run)[: most.toolchains])
    yield from indent_verbatim(mail_text.format_make_lines(changes.compared_cells, most.toolchains), 4000)
    yield from write(_format_other_differences(changes))
    yield from _render_reproduction(changes)
    yield from [clean_text(reply.tag)] if reply.tag else []


def _render_quoted_mail(mail: PatchMail | None, most: MailLimits) -> Iterator[str]:
    if mail and mail.quote:
        who = (
            " ".join(clean_text(mail.sender.name or mail.sender.address, _MAX_NAME_LENGTH).split())
            or "somebody"
        )
        day = _format_date(mail.date)
        yield escape_mail_line(f"On {day}, {who} wrote:" if day else f"{who} writes:")
        yield from format_quotation(mail.quote, most.quote)


def _format_date(date: str) -> str:
    """``Wed, Sep 20, 2023``; empty for what is no date."""
    try:
        return f"{parsedate_to_datetime(date):%a, %b %d, %Y}"
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _format_opening(changes: RunChanges) -> str:
    """The verdict in a sentence, the worst first."""
    parts = verdict_text.list_outcome_phrases(changes, partial(_format_finding_names, changes))
    opening = join_with_and(parts) if parts[0].startswith("nothing") else f"this {join_with_and(parts)}"
    left = " The run was interrupted, so not everything was tried." if changes.after.run.interrupted else ""
    return verdict_text.format_sentence(opening) + left


def _format_finding_names(changes: RunChanges, findings: Sequence[FindingChange]) -> str:
    """Findings by their kind, as ids mean nothing outside of the run: ``the error below``, ``2 errors``.

    Where several are below, one is named by its object.
    """
    kinds = {"error" if change.before and change.before.is_error else "warning" for change in findings}
    kind = kinds.pop() if len(kinds) == 1 else "finding"
    if len(findings) > 1:
        return format_count(len(findings), kind)
    if len(_list_reported_findings(changes)) == 1:
        return f"the {kind} below"
    return f"the {kind} in {findings[0].title.partition(': ')[0]}"


def _list_reported_findings(changes: RunChanges) -> list[FindingChange]:
    """Findings of which something became, or that were asked for."""
    return [
        change
        for change in changes.findings
        if is_finding_changed(change) or change in changes.unfixed_findings
    ]


def _render_findings(changes: RunChanges, most: MailLimits) -> Iterator[str]:
    for change in _list_reported_findings(changes)[: most.findings]:
        yield from _render_finding(change, changes, most)


def _render_finding(change: FindingChange, changes: RunChanges, most: MailLimits) -> Iterator[str]:
    """Its condition and its messages, then what became of it."""
    seen = change.before or change.after
    when = "Before" if change.before else "New" if change.fate is FindingStatus.NEW else "After"
    if seen:
        condition = verdict_text.format_condition_phrase(seen.condition)
        yield from wrap_paragraph(f"{when}, {condition} ({finding_text.format_severity(seen)}):", most.prose)
    located = changes.locate_finding(change)
    messages = mail_text.list_messages(mail_text.view_finding(*located, most), most) if located else []
    yield from indent_verbatim([line for lines in messages for line in lines] or [change.title])
    outcome = verdict_text.format_finding_status(change, list_demotions)
    if change.before and change.after and change.before.condition != change.after.condition:
        outcome += f", now {verdict_text.format_condition_phrase(change.after.condition)}"
    sentence = verdict_text.format_sentence(f"after: {outcome}" if change.before else outcome)
    blame = finding_text.format_blame(seen) if seen and change.blames else ""
    yield from wrap_paragraph(f"{sentence} It blames {blame}." if blame else sentence, most.prose)
    method = format_look_methods(change)
    yield from wrap_paragraph(verdict_text.format_sentence(method) if method else "", most.prose)


def _list_reported_groups(changes: RunChanges) -> list[CellChangeGroup]:
    """Cells that did not come out as before, without those that a fixed finding is reported for."""
    left_out = {Transition.UNKNOWN} | ({Transition.FIXED} if changes.fixed_findings else set())
    return [group for group in changes.cell_groups if group.transition not in left_out]


def _render_groups(changes: RunChanges, most: MailLimits) -> Iterator[str]:
    for group in _list_reported_groups(changes)[: most.findings]:
        why = f": {group.why}" if group.why else ""
        line = f"{_TRANSITION_LABELS[group.transition]}: {verdict_text.format_group_counts(group)}{why}"
        yield from wrap_paragraph(verdict_text.format_sentence(line), most.prose)
        named = group.cells[: most.cells] if group.transition in _LISTED_TRANSITIONS else ()
        yield from indent_verbatim(cell.id for cell in named)
    yield from wrap_paragraph(_format_unknown_cells(changes), most.prose)


def _format_unknown_cells(changes: RunChanges) -> str:
    """The cells that nothing is claimed of, with the first reason."""
    groups = [group for group in changes.cell_groups if group.transition is Transition.UNKNOWN]
    if not groups:
        return ""
    cells = [cell for group in groups for cell in group.cells]
    others = f"; and {format_count(len(groups) - 1, 'other reason')}" if len(groups) > 1 else ""
    return verdict_text.format_sentence(
        f"Not known: {format_count(len(cells), 'cell')} ({format_arch_counts(cells)}): "
        f"{groups[0].why}{others}"
    )


def _format_other_differences(changes: RunChanges) -> str:
    """What else than the patch may have changed an outcome."""
    if not any(difference.matters for difference in changes.differences):
        return ""
    lines = verdict_text.format_differences(changes, limits.MAIL_DIFFERENCES)
    return verdict_text.format_sentence(f"besides the patch, this differs: {'; '.join(lines)}")


def _list_omissions(changes: RunChanges, most: MailLimits) -> Iterator[str]:
    """What is only counted: what there is no room for, and findings of which nothing became."""
    more = len(_list_reported_findings(changes)) - most.findings
    cells = sum(len(group.cells) for group in _list_reported_groups(changes)[most.findings :])
    same = len(changes.findings) - len(_list_reported_findings(changes))
    if more > 0:
        yield f"Not shown: {format_count(more, 'more finding')} of which something became."
    if cells:
        yield f"Not shown: {format_count(cells, 'more cell')} that did not come out as before."
    if same:
        yield f"There with and without it: {format_count(same, 'finding')}."


def _list_build_facts(changes: RunChanges) -> Iterator[str]:
    run, compared = changes.after.run, changes.compared_cells
    source = changes.before.run.source
    patched = f", with {mail_text.format_patch_names(source)}" if source.patches else ""
    arches = f" ({format_arch_counts(compared)})" if compared else ""
    yield verdict_text.format_sentence(
        f"Built with kmatrix {run.tool.version} on {mail_text.format_source_reference(source)}{patched}: "
        f"{format_count(len(compared), 'cell')}{arches}"
    )
    for reason, count in changes.unaffected_reasons.items():
        yield verdict_text.format_sentence(f"{count} of them did not have to be built again: {reason}")
    for name, count in changes.remembered_runs.items():
        yield verdict_text.format_sentence(f"{count} of them had been built before, in {name}")
    lost = sum(cell.after is State.UNREACHABLE for cell in changes.select_cells(Transition.LOST))
    unreachable = sum(cell.state is State.UNREACHABLE for cell in run.cells) - lost
    if unreachable:
        yield f"No configuration satisfies {format_count(unreachable, 'more request')}."


def _render_reproduction(changes: RunChanges) -> Iterator[str]:
    """The plain recipe of the first finding, or of the first cell that broke without one."""
    for located in filter(None, map(changes.locate_finding, _list_reported_findings(changes))):
        side, finding = located
        yield from _render_commands(side, side.list_affected_cells(finding)[0], changes, finding)
        return
    for cell in _list_broken_cells(changes)[:1]:
        yield from _render_commands(changes.after, cell, changes)


def _render_commands(
    side: StoredRun, cell: Cell, changes: RunChanges, finding: Finding | None = None
) -> Iterator[str]:
    commands = mail_text.format_tree_commands(side, cell, finding)
    if commands:
        tree = "with" if side is changes.after else "without"
        yield from wrap_paragraph(f"To see it, in a tree {tree} the patch:")
        yield from indent_verbatim(commands, 4000)


def _list_broken_cells(changes: RunChanges) -> list[Cell]:
    """Cells of the after-side that broke, though no known error explains why."""
    broken = {cell.id for cell in changes.cells if is_broken_cell(cell)}
    return [cell for cell in changes.after.find_unexplained_cells() if cell.id in broken]


def _render_log_tail(changes: RunChanges) -> list[str]:
    return mail_text.format_log_tail(changes.after, _list_broken_cells(changes))


def format_tested_by(who: Mailbox) -> str:
    """The tag of the tester. Only for a verdict that earned it (`explain_withheld_tested_by`)."""
    return clean_text(f"Tested-by: {' '.join(who.name.split())} <{who.address}> # build")


def render_verdict_mail(
    verdict: Verdict,
    before: StoredRun,
    after: StoredRun,
    origin: MailOrigin = NO_ORIGIN,
    *,
    tag: str = "",
) -> str:
    """The answer to a patch, or to a whole series; ``tag`` is its last line, where one was earned.

    What came in no mail has its verdict under a subject of its own, without addressees.
    """
    first = next(iter(verdict.patches), None)
    reply = ReplyContext(
        mail=verdict.cover or (first.mail if first else None),
        name=first.name if first else f"{before.run.id}, {after.run.id}",
        notes=tuple(list_verdict_notes(verdict)),
        tag=tag,
    )
    return _render_reply(RunChanges.from_verdict(verdict, before, after), reply, origin)


def render_step_mails(
    verdict: Verdict,
    sides: Sequence[StoredRun],
    origin: MailOrigin = NO_ORIGIN,
) -> list[str]:
    """An answer to each patch of a series that was built by itself, on top of those before it.

    ``sides`` are the run without any of them, and the one after each. ValueError when there is not one run
    more than steps.
    """
    steps, mails = verdict.steps or (), []
    for number, (step, (previous, stored)) in enumerate(zip(steps, pairwise(sides), strict=True)):
        patch = verdict.patches[number]
        notes = ("Built on top of the patches before it.",) if number else ()
        reply = ReplyContext(patch.mail, patch.name, notes)
        mails.append(_render_reply(RunChanges.from_verdict(step, previous, stored), reply, origin))
    return mails


def _render_reply(changes: RunChanges, reply: ReplyContext, origin: MailOrigin) -> str:
    headers = (
        format_reply_headers(reply.mail, origin)
        if reply.mail
        else format_new_headers(
            f"[kmatrix] {reply.name}: {verdict_text.format_verdict_headline(changes)}", origin
        )
    )
    return render_mail(headers, render_reply_body(changes, reply))
