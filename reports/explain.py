"""`./inv explain`: a finding at length, and a user's .config held against it."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from matrix.findings.check_config import (
    ConfigChange,
    ConfigDifferences,
    ConfigExplanation,
    UnprovenSymbol,
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
from matrix.findings.untried import RunTrial
from matrix.kconfig.config import ConfigCompiler
from matrix.record.run_model import Cell, Run
from matrix.record.states import PROVEN_STATES
from matrix.shell_words import format_command
from reports import finding_text, limits
from reports.config_text import (
    explain_met_condition,
    format_met_cube,
    format_seen_value,
    list_headline_sentences,
)
from reports.finding_view import FindingView
from reports.formatting import format_count, format_labelled_lines, join_first, wrap_text
from reports.style import StyledLine, print_line, print_lines, replace_unencodable
from reports.summary import format_source


def show_config_explanation(stored: StoredRun, explanation: ConfigExplanation, console: Console) -> None:
    """The answer first, then what it rests on, then what to type; prose in 80 columns, commands as they
    are."""
    replace_unencodable(console)
    headline = (
        line for sentence in list_headline_sentences(explanation) for line in wrap_text(sentence, rest="  ")
    )
    print_lines(console, [StyledLine(line, "bold") for line in headline])
    for line in (
        *_format_outcome(explanation, stored),
        *_format_config_facts(explanation, stored.run),
        *_format_config_commands(explanation, RunLocation.from_cwd(stored)),
    ):
        print_line(console, line)


def _format_outcome(explanation: ConfigExplanation, stored: StoredRun) -> Iterator[str]:
    """What became of the change, and how to try what was not tried."""
    yield ""
    if explanation.differences is None:
        yield "  an arch cannot be changed in a .config; how to make one that shows it:"
        command = format_command(
            "./inv", "explain", "--finding", explanation.finding.id, "--run", stored.name
        )
        yield f"    {command}"
        return
    if explanation.change is not None:
        yield from _format_change_outcome(explanation, explanation.change)
    elif not explanation.is_met:
        yield from _wrap_paragraph(
            "a compiler cannot be changed in a .config: make it with the other one, as below"
        )
    else:
        yield from _wrap_paragraph(explain_met_condition(explanation, stored.run))
    if explanation.differences.trial is not None:
        yield from _format_trial(explanation.differences.trial)


def _format_change_outcome(explanation: ConfigExplanation, change: ConfigChange) -> Iterator[str]:
    if change.file is None:
        yield from _wrap_paragraph("the tree's conf does not reach that from your .config:")
        for reason in change.unreachable_reasons:
            yield from wrap_text(reason, first="    ", rest="      ", hyphens=True)
        return
    if explanation.is_met:
        values = ", ".join(f"{name}={value}" for name, value in change.requested.items())
        yield from _wrap_paragraph(f"try it as the run had it, with {values}; that is written to")
    else:
        yield "  with this change the tree's conf reaches the condition; it is written to"
    yield f"    {relativize_to_cwd(change.file)}"


def _format_trial(trial: RunTrial) -> Iterator[str]:
    changes = (
        [f"with this in the profile: {'; '.join(trial.profile_changes)}"] if trial.profile_changes else []
    )
    yield from _wrap_paragraph(": ".join(["or have the run try what you have", *changes]))
    yield f"    {trial.command}"


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
    smaller = "" if finding.minimal else " (a smaller one may exist)"
    yield from format_labelled_lines("condition", [format_met_cube(explanation) + nearest + smaller])
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
    yield from format_labelled_lines("tried", _format_twin(explanation, differences.twin))


def _format_compiler_pair(users: ConfigCompiler | None, runs: ConfigCompiler | None) -> list[str]:
    if users is not None and users == runs:
        return [f"the same: {users.text}"]
    pair = (("yours is", users), ("the run's is", runs))
    words = [f"{whose} {compiler.text}" for whose, compiler in pair if compiler]
    return ["; ".join(words)] if words else []


def _format_unproven_symbol(symbol: UnprovenSymbol) -> str:
    return f"{symbol.symbol}={symbol.actual}: {format_seen_value(symbol)}"


def _format_base_difference(explanation: ConfigExplanation, differences: ConfigDifferences) -> list[str]:
    if differences.differing_symbols is None:
        return []
    if not differences.differing_symbols:
        return [f"every symbol is as in {explanation.fit.cell.id}"]
    differ = "symbol differs" if differences.differing_symbols == 1 else "symbols differ"
    return [f"{differences.differing_symbols} {differ} from the .config of {explanation.fit.cell.id}"]


def _format_twin(explanation: ConfigExplanation, twin: Cell | None) -> Iterator[str]:
    """What the run has of the cell with the .config's own values, where the condition is met."""
    if not explanation.is_met or twin is None:
        return
    finding = explanation.finding
    outcome = f"with {finding.id}" if twin.id in finding.cells else f"which says nothing of {finding.id}"
    yield f"{twin.id} has your values: {twin.state}, {outcome}"


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
    """That no compiler said anything, and in which cells: of one that was not compiled, nothing is known."""
    cells = stored.run.cells
    tried = sum(cell.state in PROVEN_STATES for cell in cells)
    failed = len(stored.find_unexplained_cells())
    where = format_count(tried, "cell")
    where = f"the {where} that could be tried, of {len(cells)}" if tried < len(cells) else f"its {where}"
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
