"""Findings in words, for every format: severity, condition, proof, assumptions, scope."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Assumption, Finding, Proof, Where
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.verdict.verdict_model import SideFinding
from reports.formatting import clean_text, format_count

_FIELD_WORDS = {"arch": "on", "toolchain": "with", "base": "from base"}
_EVERY_BUILT_CELL = "in every cell that was built"
FIELD_PREFIXES = (*(f"{word} " for word in _FIELD_WORDS.values()), _EVERY_BUILT_CELL)
"""What a conjunction begins with that names no symbol."""


@dataclass(frozen=True)
class TermProof:
    """What proves one term of a condition: the axis, whether it is shown to be necessary, the neighbours."""

    axis: str
    necessary: bool
    neighbours: tuple[Proof, ...]


def format_severity(finding: Finding | SideFinding) -> str:
    """``error with gcc-14; warning with clang-19``."""
    groups: dict[str, list[str]] = {}
    for toolchain, worst in finding.severity.items():
        groups.setdefault(worst, []).append(toolchain)
    return clean_text(
        "; ".join(f"{worst} with {', '.join(names)}" for worst, names in sorted(groups.items()))
    )


def format_worst_severity(finding: Finding) -> str:
    """``error`` or ``warning``."""
    return "error" if finding.is_error else "warning"


def format_conjunction(cube: Mapping[str, Sequence[str]]) -> str:
    """``KVM=y, MODULES=n, VFIO=n or m on powerpc with gcc-14``."""
    symbols = [
        f"{name}={_format_alternatives(values)}" for name, values in cube.items() if name not in _FIELD_WORDS
    ]
    fields = [
        f"{word} {_format_alternatives(cube[name])}" for name, word in _FIELD_WORDS.items() if name in cube
    ]
    return clean_text(" ".join([*filter(None, [", ".join(symbols)]), *fields])) or _EVERY_BUILT_CELL


def _format_alternatives(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else "".join(values)


def format_condition(finding: Finding | SideFinding) -> list[str]:
    """A line for each conjunction; those after the first begin with "or"."""
    told = [format_conjunction(cube) for cube in finding.condition]
    return [told[0], *(f"or {line}" for line in told[1:])] if told else []


def format_context(finding: Finding) -> str:
    """The axes that had one value, which nothing can be said about: ``base=defconfig``."""
    return clean_text(", ".join(f"{name}={value}" for name, value in finding.context.items()))


def group_term_proofs(finding: Finding, number: int) -> list[TermProof]:
    """The proof of one conjunction, term by term."""
    groups: dict[str, list[Proof]] = {}
    for one in finding.proof:
        if one.of == number:
            groups.setdefault(one.flip, []).append(one)
    return [
        TermProof(axis, any(one.has_finding is False for one in among), tuple(among))
        for axis, among in groups.items()
    ]


def format_proof(finding: Finding) -> str:
    """What the proof amounts to, in one sentence."""
    if not finding.proof:
        return "there is nothing to prove: every cell that was built has it"
    all_terms = [
        term for number in range(len(finding.condition)) for term in group_term_proofs(finding, number)
    ]
    open_ = [term.axis for term in all_terms if not term.necessary]
    if open_:
        return f"not shown to be necessary, as no such neighbour was built: {', '.join(open_)}"
    return "each term is necessary: a neighbour that differs in it alone was built without the finding"


def format_neighbour(one: Proof) -> str:
    """What one neighbour says: ``pass, without it``, or why it says nothing."""
    if one.cell is None:
        return "no such cell was planned"
    if one.has_finding is None:
        reason = "" if one.reason == one.state else f": {one.reason}"
        return clean_text(f"says nothing: {one.state}{reason}")
    return f"{one.state}, {'also has it' if one.has_finding else 'without it'}"


def format_assumption(one: Assumption) -> str:
    """Why an axis is no term though the finding was seen at some of its values only."""
    cells = ", ".join(f"{count} {state}" for state, count in one.because.items())
    told = "no such cell was planned" if cells.startswith("1 not planned") else f"no such cell says ({cells})"
    return clean_text(
        f"{one.axis}={_format_alternatives(one.seen)} wherever it was seen; whether it also comes with "
        f"{one.axis}={_format_alternatives(one.unknown)} is not known: {told}"
    )


def format_scope(where: Iterable[Where]) -> list[str]:
    """Lanes, those of the same toolchains together: ``arm64, x86 with gcc-14, clang-19: 26 cells``."""
    chains: dict[str, list[Where]] = {}
    for one in where:
        chains.setdefault(one.arch, []).append(one)
    groups: dict[tuple[str, ...], list[Where]] = {}
    for among in chains.values():
        groups.setdefault(tuple(one.toolchain for one in among), []).extend(among)
    return [_format_lanes(names, among) for names, among in groups.items()]


def _format_lanes(toolchains: tuple[str, ...], among: list[Where]) -> str:
    arches = ", ".join(dict.fromkeys(one.arch for one in among))
    counted: dict[str, int] = {}
    for one in among:
        for state, count in (one.because or {"": one.cells}).items():
            counted[state] = counted.get(state, 0) + count
    told = (f"{count} {state}" if state else format_count(count, "cell") for state, count in counted.items())
    return clean_text(f"{arches} with {', '.join(toolchains)}: {', '.join(told)}")


def label_diagnostics(run: Run, finding: Finding) -> dict[str, Diagnostic]:
    """``gcc-13, gcc-14 say`` → their telling diagnostic, as far as the run still has it."""
    chains: dict[str, list[str]] = {}
    for toolchain, key in zip(finding.severity, finding.diagnostics, strict=False):
        chains.setdefault(key, []).append(toolchain)
    return {
        clean_text(f"{', '.join(names)} {'says' if len(names) == 1 else 'say'}"): run.diagnostics[key]
        for key, names in chains.items()
        if key in run.diagnostics
    }


def find_unexplained_cells(stored: StoredRun) -> list[Cell]:
    """Failing cells that no finding with an error names: they must not vanish."""
    named = {name for finding in stored.findings.findings if finding.is_error for name in finding.cells}
    return [cell for cell in stored.run.cells if cell.state is State.FAIL and cell.id not in named]
