"""Mails that answer a patch or a series. kmatrix never sends them.

The answer to a series goes to its cover letter, or to its first patch; where each patch was built by itself,
there is also one for each.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matrix.verdict.model import Mailbox, Verdict
from reports import verdict as told
from reports.changes import Changes, Told
from reports.envelope import NOBODY, Sending, answering, heading, letter
from reports.mail_verdict import Asked, answer, notes
from reports.text import clean


def tag_of(who: Mailbox) -> str:
    """The tag of whoever ran it, and of nobody else; a verdict has to earn it."""
    return clean(f"Tested-by: {' '.join(who.name.split())} <{who.address}> # build")


def verdict_mail(
    verdict: Verdict, before: Told, after: Told, sending: Sending = NOBODY, *, tag: str = ""
) -> str:
    """The answer to a patch, or to a whole series; ``tag`` is its last line, where one was earned.

    What came in no mail has its verdict under a subject of ours, and addressed to nobody.
    """
    first = next(iter(verdict.patches), None)
    asked = Asked(
        mail=verdict.cover or (first.mail if first else None),
        name=first.name if first else f"{before.run.id}, {after.run.id}",
        notes=tuple(notes(verdict)),
        tag=tag,
    )
    return _written(Changes.of(verdict, before, after), asked, sending)


def step_mails(
    verdict: Verdict,
    sides: Sequence[Told],
    sending: Sending = NOBODY,
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
        asked = Asked(patch.mail, patch.name, before, (tags or {}).get(patch.name, ""))
        mails.append(_written(Changes.of(step, one, two), asked, sending))
    return mails


def _written(changes: Changes, asked: Asked, sending: Sending) -> str:
    headers = (
        answering(asked.mail, sending)
        if asked.mail
        else heading(f"[kmatrix] {asked.name}: {told.headline(changes)}", sending)
    )
    return letter(headers, answer(changes, asked))
