"""A user's .config against a finding, in sentences: what it misses, and what was never tried.

What was tried in no cell with a finding may be what hides it, so it is said before anything is claimed.
"""

from collections.abc import Iterator

from matrix.findings.check_config import (
    ConfigDifferences,
    ConfigExplanation,
    TermCheck,
    UnprovenSymbol,
    UserConfig,
)
from matrix.findings.finding import Finding
from matrix.record.run_model import Run
from reports import finding_text, limits
from reports.formatting import format_count, join_first


def list_headline_sentences(explanation: ConfigExplanation) -> list[str]:
    """What hides the finding, or may hide it: what the .config misses, then what was never tried.

    That it meets the condition comes after all of that.
    """
    finding = explanation.finding
    given, fit = explanation.user_config, explanation.fit
    missed = [_format_missed_term(term, given, finding) for term in fit.missed_terms]
    untried = [*_list_untried_fields(explanation), *_list_untried_values(explanation)]
    met = [] if missed else [_format_met_condition(explanation, is_first=not untried)]
    return [*missed, *untried, *met]


def _format_met_condition(explanation: ConfigExplanation, *, is_first: bool) -> str:
    """That a .config meets a condition, as far as a .config can say."""
    name, terms = explanation.finding.id, explanation.fit.terms
    unknown = [
        finding_text.format_conjunction({term.axis: term.needed}) for term in terms if term.holds is None
    ]
    if unknown:
        return (
            f"your .config meets what it can show of the condition of {name}: "
            f"{format_met_cube(explanation)}; of {', '.join(map(repr, unknown))} it says nothing"
        )
    if is_first:
        return f"your .config meets the condition of {name} already: {format_met_cube(explanation)}"
    return f"it meets the condition of {name} as far as that is known: {format_met_cube(explanation)}"


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
    has = f"{term.axis}={term.actual}"
    if term.proven:
        return f"you have {has}{_format_written_value(term)}; {finding.id} needs {seen}"
    return (
        f"you have {has}{_format_written_value(term)}; {finding.id} was seen with {seen} only, "
        f"and no cell shows whether it comes with {has}"
    )


def _format_written_value(term: TermCheck) -> str:
    """The file's own value, where the run's tree does not take it as it is."""
    if term.written == term.actual:
        return ""
    return f" (your file says {term.written}, which this tree's conf makes {term.actual})"


def format_met_cube(explanation: ConfigExplanation) -> str:
    """The conjunction that a .config is held against."""
    return finding_text.format_conjunction(explanation.finding.condition[explanation.fit.cube_index])


def _list_untried_fields(explanation: ConfigExplanation) -> Iterator[str]:
    """That no cell shows whether a finding comes on the .config's own arch, or with its toolchain."""
    for term in explanation.fit.missed_terms:
        if not term.is_symbol and not term.proven:
            where = finding_text.format_conjunction({term.axis: (term.actual,)})
            yield f"whether {explanation.finding.id} also comes {where}, no cell shows"


def _list_untried_values(explanation: ConfigExplanation) -> Iterator[str]:
    """A sentence for each thing that was never tried and may hide the finding, the nearest at hand first."""
    differences, name = explanation.differences, explanation.finding.id
    if differences is None:
        return
    for symbol in differences.unproven_symbols:
        yield (
            f"your {symbol.symbol}={symbol.actual} was tried in no cell with {name}, and may be what hides "
            f"it: {format_seen_value(symbol)}"
        )
    compiler = explanation.untried_compiler
    if compiler is not None:
        others = ", ".join(dict.fromkeys(tried.text for tried in differences.tried_compilers or ()))
        yield (
            f"your compiler, {compiler.text}, was tried in no cell, and may be what hides {name}: "
            f"the run had {others}"
        )
    if explanation.is_met and differences.untried_symbols:
        yield _format_untried_symbols(explanation, differences)


def format_seen_value(symbol: UnprovenSymbol) -> str:
    """With which values of a symbol a finding was seen, and why nothing is known of others."""
    seen = finding_text.format_conjunction({symbol.symbol: symbol.seen})
    if symbol.assumed:
        return f"it was seen with {seen} only, and no cell says whether that matters"
    if symbol.base:
        return f"the base {symbol.base} sets {seen} in every cell of the run"
    return f"every cell of the run has {seen}"


def _format_untried_symbols(explanation: ConfigExplanation, differences: ConfigDifferences) -> str:
    differing = differences.untried_symbols.items()
    values = [f"{name}={mine} (there {other})" for name, (mine, other) in differing]
    count = format_count(len(values), "more symbol" if differences.unproven_symbols else "symbol")
    verb, which = ("has a value", "it") if len(values) == 1 else ("have values", "any of them")
    return (
        f"{count} of your .config {verb} that no cell with {explanation.finding.id} has, "
        f"and {which} may be what hides it: {join_first(values, limits.FOLLOWED_SYMBOLS, ', and ')}"
    )


def explain_met_condition(explanation: ConfigExplanation, run: Run) -> str:
    """What follows where a .config misses nothing: only what was tried is ruled out."""
    differences = explanation.differences
    assert differences is not None
    cell, name = explanation.fit.cell.id, explanation.finding.id
    if differences.unproven_symbols or differences.untried_symbols:
        return f"whether {name} comes with these values, nothing says; {cell} has it without them"
    if differences.differing_symbols is None:
        return f"the run has lost the .config of {cell}: whether another symbol hides it, nothing says"
    if differences.differing_symbols:
        return (
            f"each of its values was in some cell with {name}, though {cell} has not all of them: "
            "whether they hide it together, nothing says"
        )
    others = list(_list_other_suspects(explanation, run))
    suspects = f"; {' and '.join(others)} may be" if others else ""
    return f"so the .config is not what hides it{suspects}; what else differs is below"


def _list_other_suspects(explanation: ConfigExplanation, run: Run) -> Iterator[str]:
    """What is not the run's own besides the .config, as far as the .config says."""
    version = explanation.user_config.origin.version
    if explanation.untried_compiler is not None:
        yield "your compiler"
    if version is not None and version != run.source.version:
        yield f"your source, {version}"
    elif run.source.patches:
        yield "a source without the run's patches"
