"""A finding in words, for every format: severity, condition, proof, assumptions, scope, messages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Assumption, Finding, Proof, Where
from matrix.record.run_model import Cell, Run
from matrix.verdict.verdict_model import SideFinding
from reports import limits, summary
from reports.formatting import format_count, join_first, shorten_line

_FIELD_WORDS = {"arch": "on", "toolchain": "with", "base": "from base"}
_EVERY_BUILT_CELL = "in every cell that was built"
FIELD_PREFIXES = (*(f"{word} " for word in _FIELD_WORDS.values()), _EVERY_BUILT_CELL)
"""What a conjunction begins with that names no symbol."""


def format_severity(finding: Finding | SideFinding) -> str:
    """``error with gcc-14; warning with clang-19``."""
    groups: dict[str, list[str]] = {}
    for toolchain, severity in finding.severity.items():
        groups.setdefault(severity, []).append(toolchain)
    return "; ".join(f"{severity} with {', '.join(names)}" for severity, names in sorted(groups.items()))


def format_blame(finding: Finding | SideFinding) -> str:
    """Whom a finding is to be reported to that is not the tree's fault."""
    return f"the toolchain: {summary.format_broken_tools([finding])} by itself, which its people want to know"


def format_conjunction(cube: Mapping[str, Sequence[str]]) -> str:
    """``KVM=y, MODULES=n, VFIO=n or m on powerpc with gcc-14``."""
    symbols = [
        f"{name}={_format_alternatives(values)}" for name, values in cube.items() if name not in _FIELD_WORDS
    ]
    fields = [
        f"{word} {_format_alternatives(cube[name])}" for name, word in _FIELD_WORDS.items() if name in cube
    ]
    return " ".join([*filter(None, [", ".join(symbols)]), *fields]) or _EVERY_BUILT_CELL


def _format_alternatives(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else "".join(values)


def format_condition(finding: Finding | SideFinding) -> list[str]:
    """A line for each conjunction; those after the first begin with "or"."""
    lines = [format_conjunction(cube) for cube in finding.condition]
    return [lines[0], *(f"or {line}" for line in lines[1:])] if lines else []


def format_followers(axis: str, followers: Sequence[str]) -> str:
    """``MODULES: 3 more symbols differ just where it does: A, B, C``."""
    count = format_count(len(followers), "more symbol")
    verb = "differs" if len(followers) == 1 else "differ"
    shown = join_first(followers, limits.FOLLOWED_SYMBOLS, ", and ")
    return f"{axis}: {count} {verb} just where it does, and may be what matters: {shown}"


def group_proofs_by_axis(finding: Finding, number: int) -> dict[str, list[Proof]]:
    """The proof of one conjunction: axis → the neighbours that differ in it."""
    groups: dict[str, list[Proof]] = {}
    for proof in finding.proof:
        if proof.of == number:
            groups.setdefault(proof.flip, []).append(proof)
    return groups


def format_proof(finding: Finding) -> str:
    """What the proof amounts to, in one sentence."""
    if not finding.proof:
        return "there is nothing to prove: every cell that was built has it"
    unproven = list(_list_unproven_axes(finding))
    if unproven:
        return f"not shown to be necessary, as no such neighbour was built: {', '.join(unproven)}"
    return "each term is necessary: a neighbour that differs in it alone was built without the finding"


def _list_unproven_axes(finding: Finding) -> Iterator[str]:
    for number in range(len(finding.condition)):
        for axis, proofs in group_proofs_by_axis(finding, number).items():
            if not any(proof.has_finding is False for proof in proofs):
                yield axis


def format_neighbour(proof: Proof) -> str:
    """What one neighbour proves: ``pass, without it``, or why it proves nothing."""
    if proof.cell is None:
        return "no such cell was planned"
    if proof.has_finding is None:
        reason = "" if proof.reason == proof.state else f": {proof.reason}"
        return f"says nothing: {proof.state}{reason}"
    return f"{proof.state}, {'also has it' if proof.has_finding else 'without it'}"


def format_assumption(assumption: Assumption) -> str:
    """Why an axis is no term though the finding was seen at some of its values only."""
    cells = ", ".join(f"{count} {state}" for state, count in assumption.because.items())
    why = "no such cell was planned" if cells.startswith("1 not planned") else f"no such cell says ({cells})"
    return (
        f"{assumption.axis}={_format_alternatives(assumption.seen)} wherever it was seen; whether it also "
        f"comes with {assumption.axis}={_format_alternatives(assumption.unknown)} is not known: {why}"
    )


def format_scope(lanes: Iterable[Where]) -> list[str]:
    """Lanes, those of the same toolchains together: ``arm64, x86 with gcc-14, clang-19: 26 cells``."""
    by_arch: dict[str, list[Where]] = {}
    for lane in lanes:
        by_arch.setdefault(lane.arch, []).append(lane)
    groups: dict[tuple[str, ...], list[Where]] = {}
    for same_arch in by_arch.values():
        groups.setdefault(tuple(lane.toolchain for lane in same_arch), []).extend(same_arch)
    return [_format_lanes(toolchains, group) for toolchains, group in groups.items()]


def _format_lanes(toolchains: tuple[str, ...], lanes: list[Where]) -> str:
    arches = ", ".join(dict.fromkeys(lane.arch for lane in lanes))
    counts: dict[str, int] = {}
    for lane in lanes:
        for state, count in (lane.because or {"": lane.cells}).items():
            counts[state] = counts.get(state, 0) + count
    words = (f"{count} {state}" if state else format_count(count, "cell") for state, count in counts.items())
    return f"{arches} with {', '.join(toolchains)}: {', '.join(words)}"


def label_diagnostics(run: Run, finding: Finding) -> dict[str, Diagnostic]:
    """``gcc-13, gcc-14 say`` → their first diagnostic, as far as the run still has it."""
    toolchains: dict[str, list[str]] = {}
    for toolchain, key in zip(finding.severity, finding.diagnostics, strict=False):
        toolchains.setdefault(key, []).append(toolchain)
    return {
        f"{', '.join(names)} {'says' if len(names) == 1 else 'say'}": run.diagnostics[key]
        for key, names in toolchains.items()
        if key in run.diagnostics
    }


def format_diagnostic(diagnostic: Diagnostic) -> list[str]:
    """A diagnostic as the compiler printed it, and its notes."""
    lines = [
        summary.format_diagnostic_title(diagnostic),
        *diagnostic.excerpt[: limits.EXCERPT_LINES],
    ]
    # A command's last lines have the one that is the message, too.
    others = [note for note in diagnostic.notes if note != diagnostic.message]
    notes = (shorten_line(note, limits.LINE_LENGTH) for note in others[: limits.NOTES])
    return [*(shorten_line(line, limits.LINE_LENGTH) for line in lines), *(f"note: {note}" for note in notes)]


def format_consequence_label(hidden: int) -> str:
    """What stands before an error that follows from a finding; ``hidden`` are as many more."""
    return f"and after it, with {hidden} more" if hidden else "and after it"


def describe_repro_target(run: Run, cell: Cell, finding: Finding | None) -> list[str]:
    """What a reproducer is about, a line for each fact: the problem, its cell, the source, the compiler."""
    problem = [finding.title, *format_condition(finding)] if finding else ["fails:"]
    compiler = run.find_toolchain(cell.toolchain).compilers.get(cell.arch)
    versions = [compiler.version, compiler.binutils] if compiler else []
    return [*problem, cell.id, summary.format_source(run), *versions]
