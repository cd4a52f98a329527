"""A verdict in a terminal, and the same without colour as a text file: the comparison first."""

import shlex
import textwrap
from collections.abc import Iterator
from io import StringIO

from rich.console import Console
from rich.text import Text

from matrix.verdict.model import FindingChange, Verdict
from reports import findings as words
from reports import verdict as told
from reports.changes import FATES, TRANSITIONS, Changes, Group, Told
from reports.explain import said
from reports.look import STYLES, forgive, say
from reports.text import WIDTH, clean, labelled, plural

_FINDINGS_SHOWN = 20
_GROUPS_SHOWN = 20
_CELLS_SHOWN = 6
_SYMBOLS_SHOWN = 12
_EXCERPT_SHOWN = 6


def render_verdict_text(verdict: Verdict, before: Told, after: Told) -> str:
    """The verdict without colour; prose in 80 columns, what tools said as it is."""
    out = StringIO()
    _show(verdict, before, after, Console(file=out, width=WIDTH, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show_verdict(verdict: Verdict, before: Told, after: Told, console: Console) -> None:
    """What came out in one sentence, then findings, cells, symbols and what else differs, then both runs."""
    forgive(console)
    _show(verdict, before, after, console)


def _show(verdict: Verdict, before: Told, after: Told, console: Console) -> None:
    changes = Changes.of(verdict, before, after)
    for line in (*_head(verdict, changes), *_findings(changes), *_groups(changes), *_rest(changes)):
        say(console, line)


def _head(verdict: Verdict, changes: Changes) -> Iterator[Text | str]:
    yield ""
    style = next((STYLES[TRANSITIONS[one.transition]] for one in changes.groups), "")
    for line in textwrap.wrap(clean(told.headline(changes)), WIDTH, break_on_hyphens=False):
        yield Text(line, f"bold {style.removeprefix('bold ')}")
    yield ""
    for name, lines in told.heads(verdict, changes).items():
        yield from labelled(name, lines)


def _findings(changes: Changes) -> Iterator[Text | str]:
    for one in changes.findings[:_FINDINGS_SHOWN]:
        yield ""
        yield from _finding(one, changes)
    more = len(changes.findings) - _FINDINGS_SHOWN
    yield from ["", f"… and {plural(more, 'more finding')}, in verdict.json"] if more > 0 else []


def _finding(one: FindingChange, changes: Changes) -> Iterator[Text | str]:
    head = f"{told.name(one)}  {clean(one.title)}"
    lines = textwrap.wrap(head, WIDTH - len(one.fate) - 2, break_on_hyphens=False)
    yield Text(f"{one.fate}: ", STYLES[FATES[one.fate]]).append(lines[0], "bold default")
    yield from (Text(f"  {line}", "bold") for line in lines[1:])
    for label, said_of in told.conditions(one).items():
        yield from labelled(label, said_of)
    yield from labelled("severity", [words.severity(seen) for seen in [one.after or one.before] if seen])
    yield from labelled("outcome", [told.fate(one)])
    for diagnostic in changes.messages(one).values():
        yield from (Text(f"    {line}", "dim") for line in said(diagnostic)[:_EXCERPT_SHOWN])


def _groups(changes: Changes) -> Iterator[Text | str]:
    for one in changes.groups[:_GROUPS_SHOWN]:
        yield ""
        yield from _group(one)
    more = sum(len(one.cells) for one in changes.groups[_GROUPS_SHOWN:])
    yield from ["", f"… and {plural(more, 'more cell')}, in verdict.json"] if more else []


def _group(one: Group) -> Iterator[Text | str]:
    lines = textwrap.wrap(told.group(one), WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    yield from (Text(line, STYLES[TRANSITIONS[one.transition]]) for line in lines)
    yield from (f"    {clean(cell.id)}" for cell in one.cells[:_CELLS_SHOWN])
    more = len(one.cells) - _CELLS_SHOWN
    yield from [f"    … and {plural(more, 'more cell')}"] if more > 0 else []


def _rest(changes: Changes) -> Iterator[str]:
    yield ""
    yield from labelled("symbols", map(told.symbol, changes.symbols[:_SYMBOLS_SHOWN]))
    more = len(changes.symbols) - _SYMBOLS_SHOWN
    yield from labelled("", [f"and {plural(more, 'more group')}, in verdict.json"] if more > 0 else [])
    yield from labelled("differs", told.differences(changes))
    for fact, lines in told.facts(changes.before, changes.after).items():
        yield from labelled(fact, lines)
    yield from _next(changes)


def _next(changes: Changes) -> Iterator[str]:
    """The command that goes on from here: the first finding at length."""
    shown = next(filter(None, map(changes.shown, changes.findings)), None)
    if shown:
        side, finding = shown
        name = side.run.id if side.directory.name == side.run.id else str(side.directory)
        command = f"./inv explain --finding {finding.id} --run {shlex.quote(clean(name, 4000))}"
        yield from labelled("next", [command], wrap=False)
