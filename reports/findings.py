"""Findings in words, for every format: severity, condition, proof, assumptions, scope."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.model import Assumption, Finding, Findings, Proof, Where
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from matrix.verdict.model import SideFinding
from reports.text import clean, plural

_WORDS = {"arch": "on", "toolchain": "with", "base": "from base"}
_EVERYWHERE = "in every cell that was built"
FIELDS = (*(f"{word} " for word in _WORDS.values()), _EVERYWHERE)
"""What a conjunction begins with that names no symbol."""


@dataclass(frozen=True)
class Term:
    """What proves one term of a condition: the axis, whether it is shown to be necessary, the neighbours."""

    axis: str
    necessary: bool
    neighbours: tuple[Proof, ...]


def severity(finding: Finding | SideFinding) -> str:
    """``error with gcc-14; warning with clang-19``."""
    groups: dict[str, list[str]] = {}
    for toolchain, worst in finding.severity.items():
        groups.setdefault(worst, []).append(toolchain)
    return clean("; ".join(f"{worst} with {', '.join(names)}" for worst, names in sorted(groups.items())))


def worst(finding: Finding) -> str:
    """``error`` or ``warning``."""
    return "error" if finding.is_error else "warning"


def conjunction(cube: Mapping[str, Sequence[str]]) -> str:
    """``KVM=y, MODULES=n, VFIO=n or m on powerpc with gcc-14``."""
    symbols = [f"{name}={_either(values)}" for name, values in cube.items() if name not in _WORDS]
    fields = [f"{word} {_either(cube[name])}" for name, word in _WORDS.items() if name in cube]
    return clean(" ".join([*filter(None, [", ".join(symbols)]), *fields])) or _EVERYWHERE


def _either(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else "".join(values)


def condition(finding: Finding | SideFinding) -> list[str]:
    """A line for each conjunction; those after the first begin with "or"."""
    told = [conjunction(cube) for cube in finding.condition]
    return [told[0], *(f"or {line}" for line in told[1:])] if told else []


def context(finding: Finding) -> str:
    """The axes that had one value, which nothing can be said about: ``base=defconfig``."""
    return clean(", ".join(f"{name}={value}" for name, value in finding.context.items()))


def terms(finding: Finding, number: int) -> list[Term]:
    """The proof of one conjunction, term by term."""
    groups: dict[str, list[Proof]] = {}
    for one in finding.proof:
        if one.of == number:
            groups.setdefault(one.flip, []).append(one)
    return [
        Term(axis, any(one.has_finding is False for one in among), tuple(among))
        for axis, among in groups.items()
    ]


def verdict(finding: Finding) -> str:
    """What the proof amounts to, in one sentence."""
    if not finding.proof:
        return "there is nothing to prove: every cell that was built has it"
    all_terms = [term for number in range(len(finding.condition)) for term in terms(finding, number)]
    open_ = [term.axis for term in all_terms if not term.necessary]
    if open_:
        return f"not shown to be necessary, as no such neighbour was built: {', '.join(open_)}"
    return "each term is necessary: a neighbour that differs in it alone was built without the finding"


def neighbour(one: Proof) -> str:
    """What one neighbour says: ``pass, without it``, or why it says nothing."""
    if one.cell is None:
        return "no such cell was planned"
    if one.has_finding is None:
        reason = "" if one.reason == one.state else f": {one.reason}"
        return clean(f"says nothing: {one.state}{reason}")
    return f"{one.state}, {'also has it' if one.has_finding else 'without it'}"


def assumption(one: Assumption) -> str:
    """Why an axis is no term though the finding was seen at some of its values only."""
    cells = ", ".join(f"{count} {state}" for state, count in one.because.items())
    told = "no such cell was planned" if cells.startswith("1 not planned") else f"no such cell says ({cells})"
    return clean(
        f"{one.axis}={_either(one.seen)} wherever it was seen; whether it also comes with "
        f"{one.axis}={_either(one.unknown)} is not known: {told}"
    )


def scope(where: Iterable[Where]) -> list[str]:
    """Lanes, those of the same toolchains together: ``arm64, x86 with gcc-14, clang-19: 26 cells``."""
    chains: dict[str, list[Where]] = {}
    for one in where:
        chains.setdefault(one.arch, []).append(one)
    groups: dict[tuple[str, ...], list[Where]] = {}
    for among in chains.values():
        groups.setdefault(tuple(one.toolchain for one in among), []).extend(among)
    return [_lane(names, among) for names, among in groups.items()]


def _lane(toolchains: tuple[str, ...], among: list[Where]) -> str:
    arches = ", ".join(dict.fromkeys(one.arch for one in among))
    counted: dict[str, int] = {}
    for one in among:
        for state, count in (one.because or {"": one.cells}).items():
            counted[state] = counted.get(state, 0) + count
    told = (f"{count} {state}" if state else plural(count, "cell") for state, count in counted.items())
    return clean(f"{arches} with {', '.join(toolchains)}: {', '.join(told)}")


def telling(run: Run, finding: Finding) -> dict[str, Diagnostic]:
    """``gcc-13, gcc-14 say`` → their telling diagnostic, as far as the run still has it."""
    chains: dict[str, list[str]] = {}
    for toolchain, key in zip(finding.severity, finding.diagnostics, strict=False):
        chains.setdefault(key, []).append(toolchain)
    return {
        clean(f"{', '.join(names)} {'says' if len(names) == 1 else 'say'}"): run.diagnostics[key]
        for key, names in chains.items()
        if key in run.diagnostics
    }


def unexplained(run: Run, findings: Findings) -> list[Cell]:
    """Failing cells that no finding with an error names: they must not vanish."""
    named = {name for finding in findings.findings if finding.is_error for name in finding.cells}
    return [cell for cell in run.cells if cell.state is State.FAIL and cell.id not in named]
