"""Why somebody does not see a finding: their .config against its condition, in words."""

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from matrix.findings.fit import (
    ConfigChange,
    ConfigDifferences,
    ConfigExplanation,
    TermCheck,
    UnprovenSymbol,
    UserConfig,
)
from matrix.findings.model import Finding
from matrix.kconfig.origin import ConfigCompiler
from matrix.record.model import Run
from reports import findings as words
from reports.look import forgive, say
from reports.recipe import Place, from_config, nearby, recorded, seen_in
from reports.summary import source
from reports.text import WIDTH, clean, labelled, plural

_SYMBOLS_SHOWN = 4


def show_answer(run: Run, answer: ConfigExplanation, directory: Path, console: Console) -> None:
    """The answer first, then what it rests on, then what to type; prose in 80 columns, commands as they
    are."""
    forgive(console)
    place = Place.here(directory)
    for line in _headline(answer):
        say(console, Text(line, "bold"))
    for line in (*_verdict(answer, run, place), *_facts(answer, run), *_commands(answer, place)):
        say(console, line)


def _headline(answer: ConfigExplanation) -> Iterator[str]:
    """What the .config misses, or that it misses nothing."""
    finding, fit = answer.finding, answer.fit
    told = [_missed(term, answer.user_config, finding) for term in fit.missed_terms]
    met = f"your .config meets the condition of {finding.id} already: {_condition(answer)}"
    for line in told or [met]:
        yield from textwrap.wrap(clean(line), WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _missed(term: TermCheck, given: UserConfig, finding: Finding) -> str:
    seen = words.conjunction({term.axis: term.needed})
    if term.axis == "arch":
        return f"your .config is for {term.actual}; {finding.id} was seen {seen} only"
    if term.axis == "toolchain":
        compiler = given.origin.compiler
        made = compiler.text if compiler else term.actual
        return f"your .config was made with {made}; {finding.id} comes {seen} only"
    if term.actual in term.needed:
        lacks = ", ".join(f"{check.symbol}={check.got}" for check in term.failed_checks)
        wants = ", ".join(f"{check.symbol}={check.want}" for check in term.failed_checks)
        return f"you have {lacks}; {finding.id} needs {wants}, for {term.axis}={term.wanted}"
    return f"you have {term.axis}={term.actual}{_before(term)}; {finding.id} needs {seen}"


def _before(term: TermCheck) -> str:
    """What the file said, where the run's tree does not take it as it is."""
    if term.written == term.actual:
        return ""
    return f" (your file says {term.written}, which this tree's conf makes {term.actual})"


def _condition(answer: ConfigExplanation) -> str:
    return words.conjunction(answer.finding.condition[answer.fit.cube_index])


def _verdict(answer: ConfigExplanation, run: Run, place: Place) -> Iterator[str]:
    """What became of the change."""
    yield ""
    if answer.differences is None:
        yield "  an arch cannot be changed in a .config; how to make one that shows it:"
        yield f"    ./inv explain --finding {answer.finding.id} --run {shlex.quote(_name(run, place))}"
    elif answer.change is None:
        yield from _paragraph(
            "a compiler cannot be changed in a .config: make it with the other one, as below"
            if answer.fit.missed_terms
            else "so the .config is not what hides it; what else differs is below"
        )
    elif answer.change.file is None:
        yield from _paragraph("the tree's conf does not reach that from your .config:")
        for reason in answer.change.unreachable_reasons:
            yield from textwrap.wrap(clean(reason), WIDTH, initial_indent="    ", subsequent_indent="      ")
    else:
        yield "  with this change the tree's conf reaches the condition; it is written to"
        yield f"    {clean(str(nearby(answer.change.file)))}"


def _name(run: Run, place: Place) -> str:
    return run.id if place.directory.name == run.id else str(place.directory)


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(clean(text), WIDTH, initial_indent="  ", subsequent_indent="  ")


def _facts(answer: ConfigExplanation, run: Run) -> Iterator[str]:
    finding, fit = answer.finding, answer.fit
    yield ""
    yield from labelled("finding", [clean(f"{finding.id}  {finding.title}")])
    if answer.differences is None:
        yield from labelled("condition", words.condition(finding))
        return
    nearest = f" (the nearest of {len(finding.condition)})" if len(finding.condition) > 1 else ""
    yield from labelled("condition", [_condition(answer) + nearest])
    holding = {term.axis: (term.actual,) for term in fit.terms if term.holds}
    yield from labelled("holds", [words.conjunction(holding)] if holding else [])
    open_ = [words.conjunction({term.axis: term.needed}) for term in fit.terms if term.holds is None]
    yield from labelled("not known", (f"{told}: your .config does not say" for told in open_))
    if answer.change is not None:
        yield from _change(answer.change)
    yield from _apart(answer, answer.differences, run)


def _change(change: ConfigChange) -> Iterator[str]:
    yield from labelled("change", [clean(", ".join(f"{name}={to}" for name, to in change.requested.items()))])
    if change.side_effects:
        yield from labelled(
            "", [f"{plural(len(change.side_effects), 'symbol')} followed: {_followed(change.side_effects)}"]
        )


def _followed(symbols: Mapping[str, tuple[str, str]]) -> str:
    """``VFIO_PCI m -> y, …``: the first few, and how many more there are."""
    return _first([f"{name} {before} -> {after}" for name, (before, after) in symbols.items()])


def _first(told: Sequence[str]) -> str:
    more = len(told) - _SYMBOLS_SHOWN
    return clean(", ".join(told[:_SYMBOLS_SHOWN]) + (f", and {more} more" if more > 0 else ""))


def _apart(answer: ConfigExplanation, apart: ConfigDifferences, run: Run) -> Iterator[str]:
    """What else tells the .config from the cell that has the finding."""
    mine = answer.user_config.origin
    yield from labelled("compiler", _compilers(mine.compiler, apart.compiler))
    made_for = f"your .config was made for {mine.version}; " if mine.version else ""
    yield from labelled("source", [f"{clean(made_for)}the run built {source(run)}"])
    if answer.changed_by_conf:
        bent = plural(len(answer.changed_by_conf), "symbol")
        yield from labelled(
            "", [f"its conf changes {bent} of your file by itself: {_first(list(answer.changed_by_conf))}"]
        )
    yield from labelled("not proven", map(_other, apart.unproven_symbols))
    yield from labelled("base", _base(answer, apart))


def _compilers(mine: ConfigCompiler | None, theirs: ConfigCompiler | None) -> list[str]:
    told = [f"{whose} {one.text}" for whose, one in (("yours is", mine), ("the run's is", theirs)) if one]
    same = mine is not None and mine == theirs
    return [clean(f"the same: {mine.text}" if same and mine else "; ".join(told))] if told else []


def _other(one: UnprovenSymbol) -> str:
    seen = words.conjunction({one.symbol: one.seen})
    if one.assumed:
        return clean(
            f"{one.symbol}={one.actual}: it was seen with {seen} only, and no cell says whether that matters"
        )
    return clean(f"{one.symbol}={one.actual}: every cell of the run has {seen}")


def _base(answer: ConfigExplanation, apart: ConfigDifferences) -> list[str]:
    if apart.differing_symbols is None:
        return []
    if not apart.differing_symbols:
        return [f"every symbol is as in {clean(answer.fit.cell.id)}"]
    differ = "symbol differs" if apart.differing_symbols == 1 else "symbols differ"
    return [f"{apart.differing_symbols} {differ} from the .config of {clean(answer.fit.cell.id)}"]


def _commands(answer: ConfigExplanation, place: Place) -> Iterator[str]:
    """How to see it with this .config, and how to see what differs."""
    change, cell = answer.change, answer.fit.cell
    file = change.file if change else answer.user_config.path
    if answer.differences is None or file is None:
        return
    yield ""
    yield "  to see it, in a kernel tree, with a cross compiler"
    steps = from_config(cell, place, nearby(file), seen_in(cell, answer.finding))
    yield from (f"    {command}" for _, command in steps)
    if answer.differences.differing_symbols and cell.config_sha256:
        theirs, mine = recorded(place, cell.config_sha256), nearby(file)
        yield ""
        yield "  what else differs from the cell that has it, symbol by symbol"
        yield clean(f"    scripts/diffconfig {shlex.quote(str(theirs))} {shlex.quote(str(mine))}")
