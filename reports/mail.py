"""Mails that answer a patch or a series. kmatrix never sends them.

The answer to a series goes to its cover letter, or to its first patch; where each patch was built by itself,
there is also one for each.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matrix.verdict.model import Mailbox, Verdict
from reports import verdict as told
from reports.changes import ReportedRun, RunChanges
from reports.envelope import NO_ORIGIN, MailOrigin, format_new_headers, format_reply_headers, render_mail
from reports.mail_verdict import ReplyContext, list_verdict_notes, render_reply_body
from reports.text import clean_text


def format_tested_by(who: Mailbox) -> str:
    """The tag of whoever ran it, and of nobody else; a verdict has to earn it."""
    return clean_text(f"Tested-by: {' '.join(who.name.split())} <{who.address}> # build")


def render_verdict_mail(
    verdict: Verdict,
    before: ReportedRun,
    after: ReportedRun,
    sending: MailOrigin = NO_ORIGIN,
    *,
    tag: str = "",
) -> str:
    """The answer to a patch, or to a whole series; ``tag`` is its last line, where one was earned.

    What came in no mail has its verdict under a subject of ours, and addressed to nobody.
    """
    first = next(iter(verdict.patches), None)
    asked = ReplyContext(
        mail=verdict.cover or (first.mail if first else None),
        name=first.name if first else f"{before.run.id}, {after.run.id}",
        notes=tuple(list_verdict_notes(verdict)),
        tag=tag,
    )
    return _render_reply(RunChanges.from_verdict(verdict, before, after), asked, sending)


def render_step_mails(
    verdict: Verdict,
    sides: Sequence[ReportedRun],
    sending: MailOrigin = NO_ORIGIN,
    *,
    tags: Mapping[str, str] | None = None,
) -> list[str]:
    """An answer to each patch of a series that was built by itself, on top of those before it.

    ``sides`` are the run without any of them, and the one after each; ``tags`` are last lines by the patch's
    name. ValueError when there is not one run more than steps.
    """
    steps, mails = verdict.steps or (), []
    for number, (step, (one, two)) in enumerate(zip(steps, pairwise(sides), strict=True)):
        patch = verdict.patches[number]
        before = ("Built on top of the patches before it.",) if number else ()
        asked = ReplyContext(patch.mail, patch.name, before, (tags or {}).get(patch.name, ""))
        mails.append(_render_reply(RunChanges.from_verdict(step, one, two), asked, sending))
    return mails


def _render_reply(changes: RunChanges, asked: ReplyContext, sending: MailOrigin) -> str:
    headers = (
        format_reply_headers(asked.mail, sending)
        if asked.mail
        else format_new_headers(f"[kmatrix] {asked.name}: {told.format_verdict_headline(changes)}", sending)
    )
    return render_mail(headers, render_reply_body(changes, asked))
