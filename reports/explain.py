"""A finding explained: what, under which condition, with which proof, where, and how to see it."""

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.check_config import (
    ConfigChange,
    ConfigDifferences,
    ConfigExplanation,
    TermCheck,
    UnprovenSymbol,
    UserConfig,
)
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import ConfigCompiler
from matrix.record.run_model import Cell, Run
from reports import finding_text
from reports.formatting import TERMINAL_WIDTH, clean_text, format_count, format_labelled_lines
from reports.make_steps import (
    RunLocation,
    find_diagnostic_ref,
    list_make_steps,
    list_steps_for_config,
    locate_recorded_config,
    relativize_to_cwd,
)
from reports.style import print_line, replace_unencodable
from reports.summary import format_diagnostic_title, format_source

_SYMBOLS_SHOWN = 4


def show_config_explanation(stored: StoredRun, answer: ConfigExplanation, console: Console) -> None:
    """The answer first, then what it rests on, then what to type; prose in 80 columns, commands as they
    are."""
    replace_unencodable(console)
    run, place = stored.run, RunLocation.from_cwd(stored)
    for line in _format_headline(answer):
        print_line(console, Text(line, "bold"))
    for line in (
        *_format_outcome(answer, place),
        *_format_config_facts(answer, run),
        *_format_config_commands(answer, place),
    ):
        print_line(console, line)


def _format_headline(answer: ConfigExplanation) -> Iterator[str]:
    """What the .config misses, or that it misses nothing."""
    finding, fit = answer.finding, answer.fit
    told = [_format_missed_term(term, answer.user_config, finding) for term in fit.missed_terms]
    met = f"your .config meets the condition of {finding.id} already: {_format_cube(answer)}"
    for line in told or [met]:
        yield from textwrap.wrap(
            clean_text(line), TERMINAL_WIDTH, subsequent_indent="  ", break_on_hyphens=False
        )


def _format_missed_term(term: TermCheck, given: UserConfig, finding: Finding) -> str:
    seen = finding_text.format_conjunction({term.axis: term.needed})
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
    return f"you have {term.axis}={term.actual}{_format_written_value(term)}; {finding.id} needs {seen}"


def _format_written_value(term: TermCheck) -> str:
    """What the file said, where the run's tree does not take it as it is."""
    if term.written == term.actual:
        return ""
    return f" (your file says {term.written}, which this tree's conf makes {term.actual})"


def _format_cube(answer: ConfigExplanation) -> str:
    return finding_text.format_conjunction(answer.finding.condition[answer.fit.cube_index])


def _format_outcome(answer: ConfigExplanation, place: RunLocation) -> Iterator[str]:
    """What became of the change."""
    yield ""
    if answer.differences is None:
        yield "  an arch cannot be changed in a .config; how to make one that shows it:"
        name = shlex.quote(place.stored.name)
        yield f"    ./inv explain --finding {answer.finding.id} --run {name}"
    elif answer.change is None:
        yield from _wrap_paragraph(
            "a compiler cannot be changed in a .config: make it with the other one, as below"
            if answer.fit.missed_terms
            else "so the .config is not what hides it; what else differs is below"
        )
    elif answer.change.file is None:
        yield from _wrap_paragraph("the tree's conf does not reach that from your .config:")
        for reason in answer.change.unreachable_reasons:
            yield from textwrap.wrap(
                clean_text(reason), TERMINAL_WIDTH, initial_indent="    ", subsequent_indent="      "
            )
    else:
        yield "  with this change the tree's conf reaches the condition; it is written to"
        yield f"    {clean_text(str(relativize_to_cwd(answer.change.file)))}"


def _wrap_paragraph(text: str) -> list[str]:
    return textwrap.wrap(clean_text(text), TERMINAL_WIDTH, initial_indent="  ", subsequent_indent="  ")


def _format_config_facts(answer: ConfigExplanation, run: Run) -> Iterator[str]:
    finding, fit = answer.finding, answer.fit
    yield ""
    yield from format_labelled_lines("finding", [clean_text(f"{finding.id}  {finding.title}")])
    if answer.differences is None:
        yield from format_labelled_lines("condition", finding_text.format_condition(finding))
        return
    nearest = f" (the nearest of {len(finding.condition)})" if len(finding.condition) > 1 else ""
    yield from format_labelled_lines("condition", [_format_cube(answer) + nearest])
    holding = {term.axis: (term.actual,) for term in fit.terms if term.holds}
    yield from format_labelled_lines("holds", [finding_text.format_conjunction(holding)] if holding else [])
    open_ = [
        finding_text.format_conjunction({term.axis: term.needed}) for term in fit.terms if term.holds is None
    ]
    yield from format_labelled_lines("not known", (f"{told}: your .config does not say" for told in open_))
    if answer.change is not None:
        yield from _format_change(answer.change)
    yield from _format_differences(answer, answer.differences, run)


def _format_change(change: ConfigChange) -> Iterator[str]:
    yield from format_labelled_lines(
        "change", [clean_text(", ".join(f"{name}={to}" for name, to in change.requested.items()))]
    )
    if change.side_effects:
        yield from format_labelled_lines(
            "",
            [
                (
                    f"{format_count(len(change.side_effects), 'symbol')} followed: "
                    f"{_format_side_effects(change.side_effects)}"
                )
            ],
        )


def _format_side_effects(symbols: Mapping[str, tuple[str, str]]) -> str:
    """``VFIO_PCI m -> y, …``: the first few, and how many more there are."""
    return _join_first([f"{name} {before} -> {after}" for name, (before, after) in symbols.items()])


def _join_first(told: Sequence[str]) -> str:
    more = len(told) - _SYMBOLS_SHOWN
    return clean_text(", ".join(told[:_SYMBOLS_SHOWN]) + (f", and {more} more" if more > 0 else ""))


def _format_differences(answer: ConfigExplanation, apart: ConfigDifferences, run: Run) -> Iterator[str]:
    """What else tells the .config from the cell that has the finding."""
    mine = answer.user_config.origin
    yield from format_labelled_lines("compiler", _format_compiler_pair(mine.compiler, apart.compiler))
    made_for = f"your .config was made for {mine.version}; " if mine.version else ""
    yield from format_labelled_lines("source", [f"{clean_text(made_for)}the run built {format_source(run)}"])
    if answer.changed_by_conf:
        bent = format_count(len(answer.changed_by_conf), "symbol")
        yield from format_labelled_lines(
            "",
            [f"its conf changes {bent} of your file by itself: {_join_first(list(answer.changed_by_conf))}"],
        )
    yield from format_labelled_lines("not proven", map(_format_unproven_symbol, apart.unproven_symbols))
    yield from format_labelled_lines("base", _format_base_difference(answer, apart))


def _format_compiler_pair(mine: ConfigCompiler | None, theirs: ConfigCompiler | None) -> list[str]:
    told = [f"{whose} {one.text}" for whose, one in (("yours is", mine), ("the run's is", theirs)) if one]
    same = mine is not None and mine == theirs
    return [clean_text(f"the same: {mine.text}" if same and mine else "; ".join(told))] if told else []


def _format_unproven_symbol(one: UnprovenSymbol) -> str:
    seen = finding_text.format_conjunction({one.symbol: one.seen})
    if one.assumed:
        return clean_text(
            f"{one.symbol}={one.actual}: it was seen with {seen} only, and no cell says whether that matters"
        )
    return clean_text(f"{one.symbol}={one.actual}: every cell of the run has {seen}")


def _format_base_difference(answer: ConfigExplanation, apart: ConfigDifferences) -> list[str]:
    if apart.differing_symbols is None:
        return []
    if not apart.differing_symbols:
        return [f"every symbol is as in {clean_text(answer.fit.cell.id)}"]
    differ = "symbol differs" if apart.differing_symbols == 1 else "symbols differ"
    return [f"{apart.differing_symbols} {differ} from the .config of {clean_text(answer.fit.cell.id)}"]


def _format_config_commands(answer: ConfigExplanation, place: RunLocation) -> Iterator[str]:
    """How to see it with this .config, and how to see what differs."""
    change, cell = answer.change, answer.fit.cell
    file = change.file if change else answer.user_config.path
    if answer.differences is None or file is None:
        return
    yield ""
    yield "  to see it, in a kernel tree, with a cross compiler"
    steps = list_steps_for_config(
        cell, place, relativize_to_cwd(file), find_diagnostic_ref(cell, answer.finding)
    )
    yield from (f"    {command}" for _, command in steps)
    if answer.differences.differing_symbols and cell.config_sha256:
        theirs, mine = locate_recorded_config(place, cell.config_sha256), relativize_to_cwd(file)
        yield ""
        yield "  what else differs from the cell that has it, symbol by symbol"
        yield clean_text(f"    scripts/diffconfig {shlex.quote(str(theirs))} {shlex.quote(str(mine))}")


_CELLS_SHOWN = 6
_EXCERPT_SHOWN = 8
_NOTES_SHOWN = 4


def show_explanation(stored: StoredRun, shown: Sequence[Finding], console: Console) -> None:
    """Every finding of these, at length; prose in 80 columns, commands and compilers' lines as they are."""
    replace_unencodable(console)
    run, place = stored.run, RunLocation.from_cwd(stored)
    if not shown:
        print_line(
            console,
            f"{clean_text(run.id)} has no findings: no compiler said anything in its {len(run.cells)} cells.",
        )
    for number, finding in enumerate(shown):
        lines = render_explanation(finding, place)
        print_line(console, Text("\n").join([*([Text()] if number else []), *lines]))


def render_explanation(finding: Finding, place: RunLocation) -> list[Text]:
    """The lines of one finding's explanation."""
    head = textwrap.wrap(
        f"{finding.id}  {clean_text(finding.title)}", TERMINAL_WIDTH, subsequent_indent="    "
    )
    return [
        *(Text(line, "bold") for line in head),
        Text(),
        *map(Text, _format_facts(finding)),
        *map(Text, _format_proof_lines(finding)),
        *map(Text, _format_scope_lines(finding)),
        *map(Text, _format_messages(place.stored.run, finding)),
        *map(Text, _format_cells(finding, place)),
    ]


def _format_facts(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("severity", [finding_text.format_severity(finding)])
    yield from format_labelled_lines("condition", finding_text.format_condition(finding))
    if finding.context:
        yield from format_labelled_lines(
            "context", [f"{finding_text.format_context(finding)} everywhere, so nothing else is known"]
        )
    yield from format_labelled_lines("assumed", map(finding_text.format_assumption, finding.assumes))
    if not finding.minimal:
        yield from format_labelled_lines("", ["a smaller condition may exist: the search was cut short"])


def _format_proof_lines(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("proof", [finding_text.format_proof(finding)])
    for number in range(len(finding.condition)):
        if len(finding.condition) > 1:
            yield from format_labelled_lines(
                "", [f"{finding_text.format_conjunction(finding.condition[number])}:"]
            )
        for term in finding_text.group_term_proofs(finding, number):
            for one in term.neighbours:
                told = f"{one.flip}: {one.from_} -> {one.to}: {finding_text.format_neighbour(one)}"
                yield from format_labelled_lines("", [clean_text(told)])
                if one.cell and one.has_finding is not None:
                    yield from format_labelled_lines("", [f"  {clean_text(one.cell)}"], wrap=False)


def _format_scope_lines(finding: Finding) -> Iterator[str]:
    yield from format_labelled_lines("seen", finding_text.format_scope(finding.scope.seen))
    yield from format_labelled_lines("absent", finding_text.format_scope(finding.scope.absent))
    yield from format_labelled_lines("not known", finding_text.format_scope(finding.scope.unknown))


def _format_messages(run: Run, finding: Finding) -> Iterator[str]:
    for who, one in finding_text.label_diagnostics(run, finding).items():
        yield ""
        yield f"  {who}"
        yield from (f"    {line}" for line in format_diagnostic(one))
    more = len(finding.diagnostics) - len(finding.severity)
    if more > 0:
        yield f"    and {format_count(more, 'more message')} of the same problem"


def format_diagnostic(one: Diagnostic) -> list[str]:
    """A diagnostic as the compiler printed it, and what it noted."""
    excerpt = [clean_text(line) for line in one.excerpt[:_EXCERPT_SHOWN]]
    return [
        format_diagnostic_title(one),
        *excerpt,
        *(f"note: {clean_text(note)}" for note in one.notes[:_NOTES_SHOWN]),
    ]


def _format_cells(finding: Finding, place: RunLocation) -> Iterator[str]:
    cells = place.stored.list_affected_cells(finding)
    yield ""
    yield f"  cells: {len(cells)}"
    for cell in cells[:_CELLS_SHOWN]:
        yield f"    {clean_text(cell.id)}"
        yield from [f"      {clean_text(str(place.display_path / cell.log))}"] if cell.log else []
    if len(cells) > _CELLS_SHOWN:
        yield f"    … and {format_count(len(cells) - _CELLS_SHOWN, 'more cell')}"
    yield from _format_commands(finding, cells[0], place)


def _format_commands(finding: Finding, cell: Cell, place: RunLocation) -> Iterator[str]:
    steps = list_make_steps(cell, place, find_diagnostic_ref(cell, finding))
    if steps:
        yield ""
        yield "  to see it, in a kernel tree, with a cross compiler"
        yield from (f"    {command}" for _, command in steps)
    yield ""
    yield "  or in a container, with a script that stands alone"
    yield f"    ./inv repro --finding {finding.id} --run {shlex.quote(place.stored.name)}"
