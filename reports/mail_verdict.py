"""What an answer to a patch says: what it fixes, breaks, loses, with what it was built, how to see it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial

from matrix.findings.model import Finding
from matrix.findings.presence import list_affected_cells
from matrix.record.model import Cell
from matrix.record.outcome import State
from matrix.verdict.model import FindingChange, FindingStatus, PatchMail, Transition, Verdict
from reports import findings as words
from reports import mail_facts as facts
from reports import verdict as told
from reports.changes import Changes, Group, Told, by_arch, is_changed
from reports.mail_facts import Room
from reports.prose import harmless, joined, paragraph, quoted, verbatim
from reports.text import clean, plural

_GROUPS: dict[Transition, str] = {
    Transition.BROKEN: "Broken",
    Transition.LOST: "Lost",
    Transition.CHANGED: "Not as before",
    Transition.FIXED: "Fixed",
    Transition.GAINED: "Can be built now",
    Transition.STILL_FAILING: "Fails with and without it",
}
# Whoever has to act on these wants to know which.
_NAMED = frozenset({Transition.BROKEN, Transition.LOST})
_SYMBOLS_SHOWN = 3
_DIFFERENCES_SHOWN = 2
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Asked:
    """What is answered, and what there is to say besides what changed: ``notes`` are sentences.

    ``name`` stands for what came in no mail; ``tag`` is a line of its own.
    """

    mail: PatchMail | None
    name: str
    notes: tuple[str, ...] = ()
    tag: str = ""


def answer(changes: Changes, asked: Asked) -> list[str]:
    """The body: below sixty lines, and after them the end of a log where nothing else says why it fails."""
    return [*facts.fitting(partial(_body, changes, asked)), *_log(changes)]


def notes(verdict: Verdict) -> Iterator[str]:
    """Sentences on what does not apply, which patch alone does harm, what was built on."""
    for number, patch in enumerate(verdict.patches, 1):
        if patch.refused:
            what = f"Patch {number} of {len(verdict.patches)} ({clean(patch.subject or patch.name, 120)})"
            yield told.sentence(
                f"{what} does not apply, so this is on what stands before it: {patch.refused}"
            )
    bad = {Transition.BROKEN, Transition.LOST}
    steps = (step for step in verdict.steps or () if any(cell.transition in bad for cell in step.cells))
    yield from (told.sentence(f"By itself, {told.step(step)}") for step in steps)
    yield from map(told.sentence, told.base(verdict))


def _body(changes: Changes, asked: Asked, room: Room) -> Iterator[str]:
    write = partial(paragraph, most=room.prose)
    yield from _quote(asked.mail, room)
    yield from write(_opening(changes))
    yield from write(" ".join(asked.notes))
    yield from _findings(changes, room)
    yield from _groups(changes, room)
    yield from write(" ".join(_counted(changes, room)))
    yield from write(" ".join(told.sentence(told.symbol(one)) for one in changes.symbols[:_SYMBOLS_SHOWN]))
    yield from write(" ".join(_built(changes)))
    yield from verbatim(facts.compilers(changes.after.run)[: room.makes])
    yield from verbatim(facts.makes(changes.looked_at, room.makes), 4000)
    yield from write(_differs(changes))
    yield from _how(changes)
    yield from [clean(asked.tag)] if asked.tag else []


def _quote(mail: PatchMail | None, room: Room) -> Iterator[str]:
    if mail and mail.quote:
        who = " ".join(clean(mail.sender.name or mail.sender.address, _LONGEST_NAME).split()) or "somebody"
        day = _day(mail.date)
        yield harmless(f"On {day}, {who} wrote:" if day else f"{who} writes:")
        yield from quoted(mail.quote, room.quote)


def _day(date: str) -> str:
    """``Wed, Sep 20, 2023``; empty for what is no date."""
    try:
        return f"{parsedate_to_datetime(date):%a, %b %d, %Y}"
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _opening(changes: Changes) -> str:
    """The verdict in a sentence, the worst first."""
    parts = told.outcome(changes, partial(_named, changes))
    said = joined(parts) if parts[0].startswith("nothing") else f"this {joined(parts)}"
    left = " The run was interrupted, so not everything was tried." if changes.after.run.interrupted else ""
    return told.sentence(said) + left


def _named(changes: Changes, among: Sequence[FindingChange]) -> str:
    """Findings by what they are, as ids say nothing to others: ``the error below``, ``2 errors``; by where
    they are, if several are below."""
    kinds = {"error" if one.before and one.before.is_error else "warning" for one in among}
    kind = kinds.pop() if len(kinds) == 1 else "finding"
    if len(among) > 1:
        return plural(len(among), kind)
    where = "below" if len(_telling(changes)) == 1 else f"in {among[0].title.partition(': ')[0]}"
    return f"the {kind} {where}"


def _telling(changes: Changes) -> list[FindingChange]:
    """Findings of which something became, or that were asked for."""
    return [one for one in changes.findings if is_changed(one) or one in changes.unfixed]


def _findings(changes: Changes, room: Room) -> Iterator[str]:
    for one in _telling(changes)[: room.findings]:
        yield from _finding(one, changes, room)


def _finding(one: FindingChange, changes: Changes, room: Room) -> Iterator[str]:
    """Its condition and its messages, then what became of it."""
    seen = one.before or one.after
    when = "Before" if one.before else "New" if one.fate is FindingStatus.NEW else "After"
    if seen:
        yield from paragraph(f"{when}, {told.under(seen.condition)} ({words.severity(seen)}):", room.prose)
    shown = changes.shown(one)
    messages = facts.messages(shown[0].run, shown[1], room) if shown else []
    yield from verbatim([line for lines in messages for line in lines] or [one.title])
    moved = one.before and one.after and one.before.condition != one.after.condition
    now = f", now {told.under(one.after.condition)}" if moved and one.after else ""
    became = told.fate(one) + now
    yield from paragraph(told.sentence(f"after: {became}" if one.before else became), room.prose)


def _claimed(changes: Changes) -> list[Group]:
    """Cells that did not come out as before, but for those that a finding tells of as fixed."""
    told_of = {Transition.UNKNOWN} | ({Transition.FIXED} if changes.fixed else set())
    return [group for group in changes.groups if group.transition not in told_of]


def _groups(changes: Changes, room: Room) -> Iterator[str]:
    for group in _claimed(changes)[: room.findings]:
        why = f": {group.why}" if group.why else ""
        line = f"{_GROUPS[group.transition]}: {told.counted(group)}{why}"
        yield from paragraph(told.sentence(line), room.prose)
        named = group.cells[: room.cells] if group.transition in _NAMED else ()
        yield from verbatim(cell.id for cell in named)
    yield from paragraph(_not_known(changes), room.prose)


def _not_known(changes: Changes) -> str:
    """The cells that nothing is claimed of, with the first reason."""
    groups = [group for group in changes.groups if group.transition is Transition.UNKNOWN]
    if not groups:
        return ""
    cells = [cell for group in groups for cell in group.cells]
    others = f"; and {plural(len(groups) - 1, 'other reason')}" if len(groups) > 1 else ""
    return told.sentence(
        f"Not known: {plural(len(cells), 'cell')} ({by_arch(cells)}): {groups[0].why}{others}"
    )


def _differs(changes: Changes) -> str:
    """What else than the patch may have changed an outcome."""
    if not any(one.matters for one in changes.differences):
        return ""
    lines = told.differences(changes, _DIFFERENCES_SHOWN)
    return told.sentence(f"besides the patch, this differs: {'; '.join(lines)}")


def _counted(changes: Changes, room: Room) -> Iterator[str]:
    """What is only counted: what there is no room for, and findings of which nothing became."""
    more = len(_telling(changes)) - room.findings
    cells = sum(len(group.cells) for group in _claimed(changes)[room.findings :])
    same = len(changes.findings) - len(_telling(changes))
    if more > 0:
        yield f"Not shown: {plural(more, 'more finding')} of which something became."
    if cells:
        yield f"Not shown: {plural(cells, 'more cell')} that did not come out as before."
    if same:
        yield f"There with and without it: {plural(same, 'finding')}."


def _built(changes: Changes) -> Iterator[str]:
    run, looked = changes.after.run, changes.looked_at
    source = changes.before.run.source
    patched = f", with {facts.patches(source)}" if source.patches else ""
    arches = f" ({by_arch(looked)})" if looked else ""
    yield told.sentence(
        f"Built with kmatrix {run.tool.version} on {facts.where(source)}{patched}: "
        f"{plural(len(looked), 'cell')}{arches}"
    )
    for reason, count in changes.unaffected.items():
        yield told.sentence(f"{count} of them did not have to be built again: {reason}")
    lost = sum(cell.after is State.UNREACHABLE for cell in changes.among(Transition.LOST))
    gone = sum(cell.state is State.UNREACHABLE for cell in run.cells) - lost
    if gone:
        yield f"No configuration satisfies {plural(gone, 'more request')}."


def _how(changes: Changes) -> Iterator[str]:
    """The plain recipe of the first finding, or of the first cell that broke without one."""
    for one in _telling(changes):
        shown = changes.shown(one)
        if shown:
            side, finding = shown
            yield from _steps(side, list_affected_cells(side.cells, finding)[0], changes, finding)
            return
    for cell in _broken(changes)[:1]:
        yield from _steps(changes.after, cell, changes)


def _steps(side: Told, cell: Cell, changes: Changes, finding: Finding | None = None) -> Iterator[str]:
    commands = facts.by_hand(side.run, cell, side.directory, finding)
    if commands:
        tree = "with" if side is changes.after else "without"
        yield from paragraph(f"To see it, in a tree {tree} the patch:")
        yield from verbatim(commands, 4000)


def _broken(changes: Changes) -> list[Cell]:
    """Cells of the after-side that broke, though no known error says why."""
    broken = {cell.id for cell in changes.among(Transition.BROKEN)}
    return [
        cell for cell in words.unexplained(changes.after.run, changes.after.findings) if cell.id in broken
    ]


def _log(changes: Changes) -> list[str]:
    return facts.log(_broken(changes), changes.after.directory)
