"""An ordinary run as a mail, in the layout that readers of the 0-day robot's mails know."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from matrix.findings.model import Finding, Findings
from matrix.findings.presence import index_cells, list_affected_cells
from matrix.record.model import Run
from matrix.record.outcome import PROVEN_STATES
from matrix.verdict.model import FindingChange
from reports import findings as words
from reports import mail_facts as facts
from reports import summary
from reports.changes import by_arch
from reports.envelope import NOBODY, Sending, heading, letter
from reports.mail_facts import Room
from reports.prose import field, marked, paragraph, quotations
from reports.text import clean, plural
from reports.verdict import sentence


def run_mail(
    run: Run,
    findings: Findings,
    directory: Path,
    sending: Sending = NOBODY,
    *,
    new: Iterable[FindingChange] | None = None,
) -> str:
    """What a run was made on, and its findings, each with condition, compilers, recipe and messages.

    ``new``: with a baseline, what is new since; its messages are marked with ``>>``.
    """
    keys = None if new is None else frozenset(key for one in new for key in one.keys)
    subject = f"[kmatrix] Linux {run.source.version}: {summary.headline(run, findings)}"
    body = facts.fitting(partial(_body, run, findings, directory, keys))
    log = facts.log(words.unexplained(run, findings), directory)
    return letter(heading(subject, sending), [*body, *log])


def _body(
    run: Run, findings: Findings, directory: Path, new: frozenset[str] | None, room: Room
) -> Iterator[str]:
    yield from _made_on(run, room)
    yield from paragraph(sentence(summary.headline(run, findings)), room.prose)
    for one in findings.findings[: room.findings]:
        yield from _facts(run, one, room)
        yield from _by_hand(run, one, directory)
        yield from _messages(run, one, new, room)
    yield from paragraph(" ".join(_rest(run, findings, room)), room.prose)


def _made_on(run: Run, room: Room) -> Iterator[str]:
    built = [cell for cell in run.cells if cell.state in PROVEN_STATES]
    yield from field("tree", [facts.where(run.source)], room.prose)
    yield from field("patches", [facts.patches(run.source)], room.prose)
    yield from field("base", [_base(run)], room.prose)
    yield from field("cells", [f"{len(built)} ({by_arch(built)})" if built else "none was built"], room.prose)
    yield ""


def _base(run: Run) -> str:
    """The configurations that the cells start from: ``defconfig (ppc64le_defconfig on powerpc)``."""
    told = []
    for name in dict.fromkeys(cell.base for cell in run.cells):
        record = run.bases.get(name)
        others = {a: t for a, t in record.targets.items() if t != name} if record else {}
        other = ", ".join(f"{target} on {arch}" for arch, target in others.items())
        told.append(f"{name} ({other})" if other else name)
    return ", ".join(told) or "none"


def _facts(run: Run, one: Finding, room: Room) -> Iterator[str]:
    yield from field("condition", words.condition(one), room.prose)
    yield from field("severity", [f"{words.severity(one)}; {plural(len(one.cells), 'cell')}"], room.prose)
    yield from quotations("compiler", facts.compilers(run, one.severity), room.makes)


def _by_hand(run: Run, one: Finding, directory: Path) -> Iterator[str]:
    commands = facts.by_hand(run, list_affected_cells(index_cells(run), one)[0], directory, one)
    if commands:
        yield "reproduce:"
        yield from (f"        {clean(command, 4000)}" for command in commands)
    yield ""


def _messages(run: Run, one: Finding, new: frozenset[str] | None, room: Room) -> Iterator[str]:
    """What the compilers say, in the robot's words for what is new."""
    kinds = sorted({f"{severity}s" for severity in one.severity.values()})
    known = "" if new is None else " (new ones prefixed by >>)"
    mark = ">>" if new and not new.isdisjoint(one.keys) else ""
    yield f"All {' and '.join(kinds)}{known}:"
    yield ""
    for lines in facts.messages(run, one, room):
        yield from marked(lines, mark)
    yield ""


def _rest(run: Run, findings: Findings, room: Room) -> Iterator[str]:
    """What is only counted: findings without room, failures without a finding, cells that prove nothing."""
    more = len(findings.findings) - room.findings
    if more > 0:
        yield f"Not shown: {plural(more, 'more finding')}."
    failed = len(words.unexplained(run, findings))
    if failed:
        yield f"Failed without an error that kmatrix knows: {plural(failed, 'cell')}."
    for group in summary.unproven(run)[: room.findings]:
        yield sentence(f"{group.state}: {plural(len(group.cells), 'cell')}: {group.title}")
    gone = summary.unreachable(run)
    yield from [sentence(gone)] if gone else []
