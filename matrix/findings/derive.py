"""A run → its findings: each problem with its keys and its title, its condition, its proof and its scope."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import matrix
from matrix.diagnostics.diagnostic import Diagnostic, Severity
from matrix.findings.consequences import find_consequences
from matrix.findings.diagnostic_group import DiagnosticGroup, ObjectDiagnostic
from matrix.findings.evidence import CellIndex, CellSet, MadeObjects
from matrix.findings.finding import Culprit, Finding, Findings
from matrix.findings.fingerprint import compute_finding_keys, format_problem_title, shorten_title
from matrix.findings.grouping import group_diagnostics
from matrix.findings.link_problems import list_missing_symbols
from matrix.findings.minimize import Cover, minimize_condition
from matrix.findings.proof import ProofSearch
from matrix.findings.summaries import drop_summaries, find_refusing_cells, is_summed_up
from matrix.findings.truth_table import CoverProblem, compute_step_limit
from matrix.record.run_model import Run, Tool

Places = tuple[int, int]
"""Masks of cells: where a problem was seen, and where it is absent."""


@dataclass(frozen=True)
class Problem:
    """One problem, wherever it was seen. ``severity`` is the worst by toolchain.

    ``diagnostics`` are keys of the run's: first the main one of each toolchain, in the order of
    ``severity`` (one key may stand there for several), then the rest. ``cells`` are ids in plan order;
    ``objects`` and ``stages`` are where it came up; ``compiled_objects``: those of them that
    show it as soon as they are compiled. ``consequences`` are keys of diagnostics that follow from
    it, and ``consequence_keys`` those of ``keys`` that are theirs alone.
    """

    title: str
    keys: tuple[str, ...]
    severity: dict[str, Severity]
    diagnostics: tuple[str, ...]
    cells: tuple[str, ...]
    objects: tuple[str, ...]
    stages: tuple[str, ...]
    compiled_objects: tuple[str, ...]
    blames: Culprit | None = None
    consequences: tuple[str, ...] = ()
    consequence_keys: tuple[str, ...] = ()


def derive_findings(run: Run, made_objects: MadeObjects) -> Findings:
    """The findings of a run, most severe first.

    ``made_objects``: what its failing cells made without an error.
    """
    index = CellIndex.from_run(run, made_objects)
    problems = group_into_problems(run, made_objects)
    places = [_find_places(problem, index) for problem in problems]
    mixed = {place for place in places if _has_mixed_twins(index, *place)}
    separated = CellIndex.from_run(run, made_objects, by_directory=True) if mixed else index
    covers = _find_conditions(index, set(places) - mixed) | _find_conditions(separated, mixed)
    findings = tuple(
        _build_finding(f"F{number}", problem, separated if place in mixed else index, place, covers[place])
        for number, (problem, place) in enumerate(zip(problems, places, strict=True), 1)
    )
    return Findings(run=run.id, tool=Tool(version=matrix.__version__), findings=findings)


def derive_absences(run: Run, made_objects: MadeObjects) -> Iterator[tuple[str, CellSet]]:
    """(finding's id, the cells in which it was looked for and is absent), as `derive_findings` numbers them.

    It stands in no record: most findings are absent from most cells.
    """
    index = CellIndex.from_run(run, made_objects)
    for number, problem in enumerate(group_into_problems(run, made_objects), 1):
        yield f"F{number}", CellSet(index, _find_places(problem, index)[1])


def _find_places(problem: Problem, index: CellIndex) -> Places:
    seen = index.mask_cells(problem.cells)
    return seen, index.find_absent_cells(problem.compiled_objects, problem.stages) & ~seen


def _has_mixed_twins(index: CellIndex, seen: int, absent: int) -> bool:
    """Whether of two builds with the same values on all axes one shows the problem and one lacks it."""
    return CoverProblem(index.table, seen, absent).absent != absent


def _find_conditions(index: CellIndex, places: set[Places]) -> dict[Places, Cover]:
    """The condition of each: what comes up in the same cells has the same. All in bounded time together."""
    steps = compute_step_limit(index.table, len(places) or 1)
    return {place: minimize_condition(index.table, *place, steps=steps) for place in places}


def _build_finding(name: str, problem: Problem, index: CellIndex, places: Places, cover: Cover) -> Finding:
    seen, absent = places
    proof = ProofSearch(index, seen, absent)
    return Finding(
        id=name,
        title=problem.title,
        keys=problem.keys,
        severity=problem.severity,
        condition=cover.cubes,
        context=index.context,
        minimal=cover.minimal,
        proof=tuple(proof.prove_terms(cover.cubes)),
        assumes=tuple(proof.find_assumptions(cover.cubes)),
        scope=proof.compute_scope(),
        cells=problem.cells,
        objects=problem.objects,
        diagnostics=problem.diagnostics,
        blames=problem.blames,
        consequences=problem.consequences,
        consequence_keys=problem.consequence_keys,
    )


def group_into_problems(run: Run, made_objects: MadeObjects) -> tuple[Problem, ...]:
    """The problems of a run: those that any toolchain refuses first, then by their first cell.

    Of one cell, the tree's own come before those of a tool that broke.
    """
    groups = drop_summaries(group_diagnostics(run, made_objects), run)
    refusing = find_refusing_cells(run)
    causes = find_consequences(groups, run)
    keys = _find_distinct_keys(groups, causes, run.diagnostics)
    followers: dict[int, list[int]] = {}
    for number, cause in causes.items():
        followers.setdefault(cause, []).append(number)
    problems = [
        (
            group,
            _add_consequences(
                _build_problem(run, group, keys[number], refusing),
                [(groups[other], keys[other]) for other in sorted(followers.get(number, ()))],
            ),
        )
        for number, group in enumerate(groups)
        if number not in causes
    ]
    ranked = sorted(
        problems,
        key=lambda pair: (
            _is_warning_only(pair[1]),
            min(pair[0].cells),
            pair[1].blames is not None,
            pair[1].title,
        ),
    )
    return tuple(problem for _, problem in ranked)


def _is_warning_only(problem: Problem) -> bool:
    return "error" not in problem.severity.values()


def _add_consequences(
    problem: Problem, followers: Sequence[tuple[DiagnosticGroup, frozenset[str]]]
) -> Problem:
    """A problem with what follows from it. By the keys of that, too, it is found in other runs."""
    if not followers:
        return problem
    known = frozenset(problem.keys)
    added = frozenset().union(*(keys for _, keys in followers)) - known
    told = dict.fromkeys(key for group, _ in followers for key, _ in group.toolchains_by_diagnostic)
    return replace(
        problem,
        keys=tuple(sorted(known | added)),
        consequences=tuple(told),
        consequence_keys=tuple(sorted(added)),
    )


def _find_distinct_keys(
    groups: Sequence[DiagnosticGroup], causes: Mapping[int, int], diagnostics: Mapping[str, Diagnostic]
) -> list[frozenset[str]]:
    """Each group's keys, without those that one toolchain gives two problems: they identify neither.

    What another toolchain prints under other conditions may well be the same problem, and keeps its key. A
    group with no other key keeps those that it shares, as it must have one.
    """
    keys = [_collect_keys(group, diagnostics) for group in groups]
    # What a problem and its consequence have in common is still the problem's own.
    uses = {
        (key, toolchain, causes.get(number, number))
        for number, (group, its_keys) in enumerate(zip(groups, keys, strict=True))
        for toolchain in group.toolchains
        for key in its_keys
    }
    counts = Counter((key, toolchain) for key, toolchain, _ in uses)
    shared = {key for (key, _), count in counts.items() if count > 1}
    return [its_keys - shared or its_keys for its_keys in keys]


def _collect_keys(group: DiagnosticGroup, diagnostics: Mapping[str, Diagnostic]) -> frozenset[str]:
    return frozenset().union(
        *(compute_finding_keys(diagnostics[key], name) for key, name in group.toolchains_by_diagnostic)
    )


def _build_problem(
    run: Run, group: DiagnosticGroup, keys: Iterable[str], refusing: frozenset[int]
) -> Problem:
    ranked = sorted(
        group.toolchains_by_diagnostic, key=lambda entry: _rank_diagnostic(run.diagnostics[entry[0]], entry)
    )
    main_by_toolchain = _pick_by_toolchain(run, group, ranked)
    first, first_object = ranked[0]
    first_keys = tuple(main_by_toolchain.values())
    summed_up = group.cells & refusing if is_summed_up(group) else ()
    refused = {run.cells[number].toolchain for number in summed_up}
    rest = dict.fromkeys(key for key, _ in ranked if key not in first_keys)
    return Problem(
        title=_format_title(run.diagnostics[first], first_object, group),
        keys=tuple(sorted(keys)),
        severity={
            name: "error" if name in refused else run.diagnostics[key].severity
            for name, key in main_by_toolchain.items()
        },
        diagnostics=(*first_keys, *rest),
        cells=tuple(run.cells[number].id for number in sorted(group.cells)),
        objects=tuple(sorted(group.objects)),
        stages=tuple(sorted(group.stages)),
        compiled_objects=tuple(sorted(group.list_compiled_objects(run.diagnostics.__getitem__))),
        blames="toolchain" if group.is_internal else None,
    )


def _format_title(diagnostic: Diagnostic, target: str | None, group: DiagnosticGroup) -> str:
    """One that came up in several objects is not named after the first; one of several symbols names all."""
    title = format_problem_title(diagnostic, target, len(group.objects))
    missing = sorted(list_missing_symbols(group.kinds))
    if len(missing) < 2:
        return title
    where = title.removesuffix(diagnostic.message) if len(group.objects) < 2 else f"{diagnostic.tool}: "
    shown = missing
    while len(", ".join(shown)) > _SYMBOL_ROOM:
        shown = shown[:-1]
    more = f" and {len(missing) - len(shown)} more" if len(shown) < len(missing) else ""
    return shorten_title(where, f"undefined symbols {', '.join(shown)}{more}")


_SYMBOL_ROOM = 150
"""Characters of a title for the names of symbols."""


def _rank_diagnostic(diagnostic: Diagnostic, entry: ObjectDiagnostic) -> tuple[bool, bool, str, int, str]:
    """Errors first, then those that name a symbol; then as they stand in the source."""
    is_warning = diagnostic.severity != "error"
    return (is_warning, not diagnostic.symbols, diagnostic.file or "", diagnostic.line or 0, entry[0])


def _pick_by_toolchain(
    run: Run, group: DiagnosticGroup, ranked: Sequence[ObjectDiagnostic]
) -> dict[str, str]:
    """Toolchain, in plan order → the key of the first of these diagnostics that it prints."""
    best: dict[str, str] = {}
    for entry in ranked:
        for toolchain in group.toolchains_by_diagnostic[entry]:
            best.setdefault(toolchain, entry[0])
    planned = [name for name in run.axes.get("toolchain", ()) if name in best]
    return {name: best[name] for name in [*planned, *sorted(best.keys() - set(planned))]}
