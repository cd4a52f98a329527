"""`./inv explain`: a finding at length, and a user's .config held against it."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from matrix.findings.check_config import (
    ConfigChange,
    ConfigDifferences,
    ConfigExplanation,
    TermCheck,
    UnprovenSymbol,
    UserConfig,
)
from matrix.findings.finding import Finding
from matrix.findings.make_steps import (
    RunLocation,
    find_diagnostic_ref,
    list_steps_for_config,
    locate_recorded_config,
    relativize_to_cwd,
)
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import ConfigCompiler
from matrix.record.run_model import Run
from matrix.record.states import UNTRIED_STATES
from matrix.shell_words import format_command
from reports import finding_text, limits
from reports.finding_view import FindingView
from reports.formatting import format_count, format_labelled_lines, join_first, wrap_text
from reports.style import StyledLine, print_line, print_lines, replace_unencodable
from reports.summary import format_source


def show_config_explanation(stored: StoredRun, explanation: ConfigExplanation, console: Console) -> None:
    """The answer first, then what it rests on, then what to type; prose in 80 columns, commands as they
    are."""
    replace_unencodable(console)
    print_lines(console, [StyledLine(line, "bold") for line in _format_headline(explanation)])
    for line in (
        *_format_outcome(explanation, stored),
        *_format_config_facts(explanation, stored.run),
        *_format_config_commands(explanation, RunLocation.from_cwd(stored)),
    ):
        print_line(console, line)


def _format_headline(explanation: ConfigExplanation) -> Iterator[str]:
    """What the .config misses, or that it misses nothing."""
    finding, fit = explanation.finding, explanation.fit
    missed = [_format_missed_term(term, explanation.user_config, finding) for term in fit.missed_terms]
    met = f"your .config meets the condition of {finding.id} already: {_format_cube(explanation)}"
    for line in missed or [met]:
        yield from wrap_text(line, rest="  ")


def _format_missed_term(term: TermCheck, given: UserConfig, finding: Finding) -> str:
    seen = finding_text.format_conjunction({term.axis: term.needed})
    if term.axis == "arch":
        return f"your .config is for {term.actual}; {finding.id} was seen {seen} only"
    if term.axis == "toolchain":
        compiler = given.origin.compiler
        actual = compiler.text if compiler else term.actual
        return f"your .config was made with {actual}; {finding.id} comes {seen} only"
    if term.actual in term.needed:
        lacks = ", ".join(f"{check.symbol}={check.got}" for check in term.failed_checks)
        wants = ", ".join(f"{check.symbol}={check.want}" for check in term.failed_checks)
        return f"you have {lacks}; {finding.id} needs {wants}, for {term.axis}={term.wanted}"
    return f"you have {term.axis}={term.actual}{_format_written_value(term)}; {finding.id} needs {seen}"


def _format_written_value(term: TermCheck) -> str:
    """The file's own value, where the run's tree does not take it as it is."""
    if term.written == term.actual:
        return ""
    return f" (your file says {term.written}, which this tree's conf makes {term.actual})"


def _format_cube(explanation: ConfigExplanation) -> str:
    return finding_text.format_conjunction(explanation.finding.condition[explanation.fit.cube_index])


def _format_outcome(explanation: ConfigExplanation, stored: StoredRun) -> Iterator[str]:
    """What became of the change."""
    yield ""
    if explanation.differences is None:
        yield "  an arch cannot be changed in a .config; how to make one that shows it:"
        command = format_command(
            "./inv", "explain", "--finding", explanation.finding.id, "--run", stored.name
        )
        yield f"    {command}"
    elif explanation.change is None:
        yield from _wrap_paragraph(
            "a compiler cannot be changed in a .config: make it with the other one, as below"
            if explanation.fit.missed_terms
            else "so the .config is not what hides it; what else differs is below"
        )
    elif explanation.change.file is None:
        yield from _wrap_paragraph("the tree's conf does not reach that from your .config:")
        for reason in explanation.change.unreachable_reasons:
            yield from wrap_text(reason, first="    ", rest="      ", hyphens=True)
    else:
        yield "  with this change the tree's conf reaches the condition; it is written to"
        yield f"    {relativize_to_cwd(explanation.change.file)}"


def _wrap_paragraph(text: str) -> list[str]:
    return wrap_text(text, first="  ", rest="  ", hyphens=True)


def _format_config_facts(explanation: ConfigExplanation, run: Run) -> Iterator[str]:
    finding, fit = explanation.finding, explanation.fit
    yield ""
    yield from format_labelled_lines("finding", [f"{finding.id}  {finding.title}"])
    if explanation.differences is None:
        yield from format_labelled_lines("condition", finding_text.format_condition(finding))
        return
    nearest = f" (the nearest of {len(finding.condition)})" if len(finding.condition) > 1 else ""
    yield from format_labelled_lines("condition", [_format_cube(explanation) + nearest])
    holding = {term.axis: (term.actual,) for term in fit.terms if term.holds}
    yield from format_labelled_lines("holds", [finding_text.format_conjunction(holding)] if holding else [])
    unknown = [
        finding_text.format_conjunction({term.axis: term.needed}) for term in fit.terms if term.holds is None
    ]
    yield from format_labelled_lines("not known", (f"{term}: your .config does not say" for term in unknown))
    if explanation.change is not None:
        yield from _format_change(explanation.change)
    yield from _format_differences(explanation, explanation.differences, run)


def _format_change(change: ConfigChange) -> Iterator[str]:
    requested = ", ".join(f"{name}={to}" for name, to in change.requested.items())
    yield from format_labelled_lines("change", [requested])
    followed = [f"{name} {before} -> {after}" for name, (before, after) in change.side_effects.items()]
    if followed:
        count = format_count(len(followed), "symbol")
        yield from format_labelled_lines("", [f"{count} followed: {_join_symbols(followed)}"])


def _join_symbols(symbols: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    return join_first(symbols, limits.FOLLOWED_SYMBOLS, ", and ")


def _format_differences(
    explanation: ConfigExplanation, differences: ConfigDifferences, run: Run
) -> Iterator[str]:
    """What else differs between the .config and the cell that has the finding."""
    origin = explanation.user_config.origin
    yield from format_labelled_lines("compiler", _format_compiler_pair(origin.compiler, differences.compiler))
    made_for = f"your .config was made for {origin.version}; " if origin.version else ""
    yield from format_labelled_lines("source", [f"{made_for}the run built {format_source(run)}"])
    if explanation.changed_by_conf:
        count = format_count(len(explanation.changed_by_conf), "symbol")
        symbols = _join_symbols(list(explanation.changed_by_conf))
        yield from format_labelled_lines("", [f"its conf changes {count} of your file by itself: {symbols}"])
    yield from format_labelled_lines("not proven", map(_format_unproven_symbol, differences.unproven_symbols))
    yield from format_labelled_lines("base", _format_base_difference(explanation, differences))


def _format_compiler_pair(users: ConfigCompiler | None, runs: ConfigCompiler | None) -> list[str]:
    if users is not None and users == runs:
        return [f"the same: {users.text}"]
    pair = (("yours is", users), ("the run's is", runs))
    words = [f"{whose} {compiler.text}" for whose, compiler in pair if compiler]
    return ["; ".join(words)] if words else []


def _format_unproven_symbol(symbol: UnprovenSymbol) -> str:
    seen = finding_text.format_conjunction({symbol.symbol: symbol.seen})
    why = (
        f"it was seen with {seen} only, and no cell says whether that matters"
        if symbol.assumed
        else f"every cell of the run has {seen}"
    )
    return f"{symbol.symbol}={symbol.actual}: {why}"


def _format_base_difference(explanation: ConfigExplanation, differences: ConfigDifferences) -> list[str]:
    if differences.differing_symbols is None:
        return []
    if not differences.differing_symbols:
        return [f"every symbol is as in {explanation.fit.cell.id}"]
    differ = "symbol differs" if differences.differing_symbols == 1 else "symbols differ"
    return [f"{differences.differing_symbols} {differ} from the .config of {explanation.fit.cell.id}"]


def _format_config_commands(explanation: ConfigExplanation, location: RunLocation) -> Iterator[str]:
    """How to see it with this .config, and how to see what differs."""
    change, cell = explanation.change, explanation.fit.cell
    file = change.file if change else explanation.user_config.path
    if explanation.differences is None or file is None:
        return
    yield ""
    yield "  to see it, in a kernel tree, with a cross compiler"
    steps = list_steps_for_config(
        cell, location, relativize_to_cwd(file), find_diagnostic_ref(cell, explanation.finding)
    )
    yield from (f"    {command}" for _, command in steps)
    if explanation.differences.differing_symbols and cell.config_sha256:
        pair = locate_recorded_config(location, cell.config_sha256), relativize_to_cwd(file)
        yield ""
        yield "  what else differs from the cell that has it, symbol by symbol"
        yield f"    {format_command('scripts/diffconfig', *map(str, pair))}"


def show_explanation(stored: StoredRun, shown: Sequence[Finding], console: Console) -> None:
    """Every finding of these, at length; prose in 80 columns, commands and compilers' lines as they are."""
    replace_unencodable(console)
    if not shown:
        print_line(console, f"{stored.run.id} has no findings: {_format_silence(stored)}.")
    for number, finding in enumerate(shown):
        view = FindingView(RunLocation.from_cwd(stored), finding, limits.EXPLANATION)
        print_lines(console, [*([""] if number else []), *render_explanation(view)])


def _format_silence(stored: StoredRun) -> str:
    """That no compiler said anything, and in which cells: of one that was not tried, nothing is known."""
    cells = stored.run.cells
    untried = sum(cell.state in UNTRIED_STATES for cell in cells)
    failed = len(stored.find_unexplained_cells())
    where = format_count(len(cells) - untried, "cell")
    where = f"the {where} that could be tried, of {len(cells)}" if untried else f"its {where}"
    unknown = f"; {format_count(failed, 'cell')} failed all the same" if failed else ""
    return f"no compiler said anything in {where}{unknown}"


def render_explanation(view: FindingView) -> list[StyledLine | str]:
    """The lines of one finding's explanation."""
    head = wrap_text(f"{view.id}  {view.title}", rest="    ", hyphens=True)
    return [
        *(StyledLine(line, "bold") for line in head),
        "",
        *_format_facts(view),
        *_format_proof_lines(view),
        *_format_scope_lines(view),
        *_format_messages(view),
        *_format_cells(view),
        *_format_commands(view),
    ]


def _format_facts(view: FindingView) -> Iterator[str]:
    yield from format_labelled_lines("severity", [view.severity])
    yield from format_labelled_lines("blames", filter(None, [view.blame]))
    yield from format_labelled_lines("condition", view.condition)
    if view.context:
        yield from format_labelled_lines("context", [f"{view.context} everywhere, so nothing else is known"])
    yield from format_labelled_lines("assumed", view.assumptions)
    yield from format_labelled_lines("or else", view.followers)
    if not view.finding.minimal:
        yield from format_labelled_lines("", ["a smaller condition may exist: the search was cut short"])


def _format_proof_lines(view: FindingView) -> Iterator[str]:
    yield from format_labelled_lines("proof", [view.proof])
    for conjunction in view.conjunctions:
        if len(view.conjunctions) > 1:
            yield from format_labelled_lines("", [f"{conjunction.text}:"])
        for neighbour in conjunction.neighbours:
            proof = neighbour.proof
            line = f"{proof.flip}: {proof.from_} -> {proof.to}: {neighbour.outcome}"
            yield from format_labelled_lines("", [line])
            if proof.cell and proof.has_finding is not None:
                yield from format_labelled_lines("", [f"  {proof.cell}"], wrap=False)


def _format_scope_lines(view: FindingView) -> Iterator[str]:
    for name, lines in view.scope.items():
        yield from format_labelled_lines(name, lines)


def _format_messages(view: FindingView) -> Iterator[str]:
    for message in view.messages:
        yield ""
        yield f"  {message.label}"
        yield from (f"    {line}" for line in message.lines)
    if view.hidden_message_count:
        yield f"    and {format_count(view.hidden_message_count, 'more message')} of the same problem"


def _format_cells(view: FindingView) -> Iterator[str]:
    yield ""
    yield f"  cells: {len(view.affected_cells)}"
    for cell in view.cells:
        yield f"    {cell.id}"
        yield from [f"      {view.location.display_path / cell.log}"] if cell.log else []
    if view.hidden_cell_count:
        yield f"    … and {format_count(view.hidden_cell_count, 'more cell')}"


def _format_commands(view: FindingView) -> Iterator[str]:
    commands = view.commands
    if commands:
        yield ""
        yield "  to see it, in a kernel tree, with a cross compiler"
        yield from (f"    {command}" for command in commands)
    if view.location.stored.run.is_imported:
        return
    yield ""
    yield "  or in a container, with a script that stands alone"
    command = format_command("./inv", "repro", "--finding", view.id, "--run", view.location.stored.name)
    yield f"    {command}"
