"""Diagnostics → groups: what several compilers print in many cells about one problem is one group.

1. Diagnostics of one kind (`fingerprint.ProblemKind`) are one group, whatever line, arch or cell they come
   from. Kinds that name no symbol are one only as far as they come up in the same cells.
2. Different kinds of one tool in the same cells and object are one when they share a line, or a note of one
   points at the line of the other: that is a cascade. They stay two when each names a symbol and they have
   none in common.
3. What is said of the whole kernel in one configuration, and of its object in another, is one.
4. Two groups of toolchains that have none in common are one when they share an object, the same
   configurations, and a place, a line of source or a symbol. The pair that shares most is joined first, and a
   group is never joined with two of one toolchain, so two problems stay two though they sit in one file and
   fail in the same cells.
5. Missing symbols of one object that come and go together are one (`link_problems`).

What follows from an error in the same compilation is found among the groups (`consequences`).

A tool that broke by itself is a problem of its own, whatever was said of the source beside it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.findings.blame import find_blamed_site, find_outer_function, is_unnamed_caller, list_sites
from matrix.findings.diagnostic_group import DiagnosticGroup, DisjointGroups, ObjectDiagnostic
from matrix.findings.evidence import MadeObjects, is_problem_absent
from matrix.findings.fingerprint import ProblemKind, classify_diagnostic, extract_construct, find_spot
from matrix.findings.inlined_calls import join_inlined_calls
from matrix.findings.link_problems import find_definition_places, join_missing_symbols, join_whole_objects
from matrix.record.run_model import Cell, Run

SourceLine = tuple[str, int]


class GroupTraits(NamedTuple):
    """What a group's messages point at. ``noted``: lines that only notes point at. ``topics``: functions,
    each with what is said of it."""

    objects: frozenset[str]
    blamed: frozenset[SourceLine]
    noted: frozenset[SourceLine]
    codes: frozenset[tuple[str, str]]
    names: frozenset[str]
    topics: frozenset[tuple[str, str]]


def collect_traits(group: DiagnosticGroup, find_diagnostic: Callable[[str], Diagnostic]) -> GroupTraits:
    """The traits of a group; ``find_diagnostic`` looks one up by its key."""
    diagnostics = [find_diagnostic(key) for key in {key for key, _ in group.toolchains_by_diagnostic}]
    blamed = {
        line
        for key, target in group.toolchains_by_diagnostic
        for line in find_blamed_lines(find_diagnostic(key), target)
    }
    functions = ((find_outer_function(each), extract_construct(each)) for each in diagnostics)
    sites = [site for diagnostic in diagnostics for site in _list_own_sites(diagnostic)]
    return GroupTraits(
        objects=frozenset(group.objects),
        blamed=frozenset(blamed),
        noted=frozenset((site.file, site.line) for site in sites if site.line) - blamed,
        codes=frozenset((site.symbol, site.code) for site in sites if site.symbol and site.code),
        names=frozenset(group.symbols) | {site.symbol for site in sites if site.symbol},
        topics=frozenset((function, construct) for function, construct in functions if function),
    )


def find_blamed_lines(diagnostic: Diagnostic, target: str | None) -> Iterable[SourceLine]:
    """The line that is to blame, if it is known."""
    site = find_blamed_site(diagnostic, target)
    if site is None or not site.line or is_unnamed_caller(diagnostic, target):
        return []
    return [(site.file, site.line)]


def find_noted_lines(diagnostic: Diagnostic) -> Iterable[SourceLine]:
    """The lines that the message or its notes point at."""
    return ((site.file, site.line) for site in _list_own_sites(diagnostic) if site.line)


def _list_own_sites(diagnostic: Diagnostic) -> Iterable[Site]:
    """The sites without macros and callers: into one function, many others may be inlined."""
    return (site for site in list_sites(diagnostic) if not site.macro and not site.caller)


_ConfigKey = tuple[str, ...]


@dataclass
class _RunIndex:
    """A run, looked up. Cells of several toolchains that have one configuration share its number."""

    run: Run
    made_objects: MadeObjects
    config_numbers: list[int] = field(default_factory=list)
    cells_by_config: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = self.run.cells
        # As small numbers, configurations are compared as sets, thousands of times, without their text.
        numbers: dict[_ConfigKey, int] = {}
        for number, cell in enumerate(self.cells):
            config = numbers.setdefault(_build_config_key(cell), len(numbers))
            self.config_numbers.append(config)
            if config == len(self.cells_by_config):
                self.cells_by_config.append([])
            self.cells_by_config[config].append(number)

    @cached_property
    def definition_places(self) -> Mapping[str, str]:
        return find_definition_places(self.run.diagnostics)

    def find_diagnostic(self, key: str) -> Diagnostic:
        return self.run.diagnostics[key]


def _build_config_key(cell: Cell) -> _ConfigKey:
    return (cell.arch, cell.base, *(f"{name}={value}" for name, value in sorted(cell.request.items())))


def group_diagnostics(run: Run, made_objects: MadeObjects) -> list[DiagnosticGroup]:
    """The groups of a run's diagnostics. ``made_objects``: what its failing cells made without an error."""
    index = _RunIndex(run, made_objects)
    groups = join_inlined_calls(_join_within_tools(_group_by_kind(index), index), run.diagnostics)
    groups = join_whole_objects(groups, run, made_objects)
    return join_missing_symbols(_join_across_toolchains(groups, index), run)


def _group_by_kind(index: _RunIndex) -> list[DiagnosticGroup]:
    """One group for each kind, those without a symbol for each line of source."""
    groups: dict[Hashable, DiagnosticGroup] = {}
    known: dict[ObjectDiagnostic, DiagnosticGroup] = {}
    for number, cell in enumerate(index.cells):
        for ref in cell.proven_diagnostics:
            diagnostic = (ref.key, ref.object)
            # A damaged record may refer to a diagnostic that it does not have.
            if diagnostic not in known and ref.key in index.run.diagnostics:
                known[diagnostic] = _start_group(diagnostic, index, groups)
            if diagnostic in known:
                group = known[diagnostic]
                group.toolchains_by_diagnostic[diagnostic].add(cell.toolchain)
                group.cells.add(number)
                group.stages.add(ref.stage)
    return list(groups.values())


def _start_group(
    key: ObjectDiagnostic, index: _RunIndex, groups: dict[Hashable, DiagnosticGroup]
) -> DiagnosticGroup:
    diagnostic = index.find_diagnostic(key[0])
    kind = classify_diagnostic(diagnostic, key[1])
    kind = kind._replace(place=index.definition_places.get(key[0], kind.place))
    # `_join_within_tools` joins those of several spots that always come together.
    group = groups.setdefault((kind, find_spot(diagnostic, kind, key[1])), DiagnosticGroup())
    group.kinds.add(kind)
    group.toolchains_by_diagnostic[key] = set()
    return group


_MAX_PAIRS = 1_000_000
_MAX_PAIRS_OF_SPOT = 250_000
"""Pairs of groups that are compared, in all and of one place or name. No kernel comes near either."""


class _PairSet:
    """Pairs of groups that share something, each once. Where thousands share one thing, as no compiler's
    messages do, each is paired with its neighbours only: it costs a join, and saves hours."""

    def __init__(self) -> None:
        self.pairs: set[tuple[int, int]] = set()

    def add_product(self, some: Collection[int], others: Collection[int]) -> None:
        """Each of the first with each of the others."""
        count = len(some) * len(others)
        is_small = count <= _MAX_PAIRS_OF_SPOT and len(self.pairs) + count <= _MAX_PAIRS
        found = product(some, others) if is_small else pairwise(sorted({*some, *others}))
        self.pairs.update((min(pair), max(pair)) for pair in found if pair[0] != pair[1])


def _join_within_tools(groups: list[DiagnosticGroup], index: _RunIndex) -> list[DiagnosticGroup]:
    """Join the lines of one kind that come up in the same cells, and cascades."""
    # Only what comes up in the very same cells: a line that fails in fewer of them has another condition.
    by_cells: dict[tuple[frozenset[int], str], dict[ProblemKind, DiagnosticGroup]] = {}
    for group in groups:
        (kind,) = group.kinds
        # rustc reports every use of what a crate lacks: of one file, with one code, it is one problem.
        shared = kind._replace(symbols=()) if kind.tool == "rustc" else kind
        by_kind = by_cells.setdefault((frozenset(group.cells), kind.tool), {})
        by_kind.setdefault(shared, DiagnosticGroup()).absorb_group(group)
    return [group for by_kind in by_cells.values() for group in _join_cascades(list(by_kind.values()), index)]


def _join_cascades(groups: list[DiagnosticGroup], index: _RunIndex) -> list[DiagnosticGroup]:
    """Join kinds with the same blamed line, or where a note of one points at the blamed line of the other."""
    joining = DisjointGroups(groups)
    symbols = [group.symbols for group in groups]
    for pair in _find_touching_pairs(groups, index):
        first, second = sorted(map(joining.find_root, pair))
        if first == second:
            continue
        first_symbols, second_symbols = symbols[first], symbols[second]
        # Two names in one line are two problems there: a cascade of one name repeats it.
        is_other_symbol = first_symbols and second_symbols and first_symbols.isdisjoint(second_symbols)
        is_other_culprit = groups[first].is_internal != groups[second].is_internal
        if not is_other_symbol and not is_other_culprit:
            joining.join_groups(first, second)
            symbols[first] |= symbols[second]
    return joining.remaining_groups


def _find_touching_pairs(groups: Sequence[DiagnosticGroup], index: _RunIndex) -> list[tuple[int, int]]:
    """Pairs of groups that meet in a line of an object, which is the blamed line of at least one.

    Two notes that meet are no reason: a header's declaration is noted by problems that have nothing else in
    common.
    """
    # A line is filed with its object: one header's line in two objects may be two problems.
    blaming: dict[object, set[int]] = {}
    noting: dict[object, set[int]] = {}
    for number, group in enumerate(groups):
        # Without an object (a message of make or of the link) a line alone proves nothing.
        for key, name in group.toolchains_by_diagnostic:
            for line in find_blamed_lines(index.find_diagnostic(key), name) if name else ():
                blaming.setdefault((name, line), set()).add(number)
            for line in find_noted_lines(index.find_diagnostic(key)) if name else ():
                noting.setdefault((name, line), set()).add(number)
    pairs = _PairSet()
    for spot, blamers in blaming.items():
        pairs.add_product(blamers, blamers | noting.get(spot, set()))
    return sorted(pairs.pairs)


def _join_across_toolchains(groups: list[DiagnosticGroup], index: _RunIndex) -> list[DiagnosticGroup]:
    """Join the problems of one compiler with those of another, the strongest pairs first.

    What ties goes by the groups' numbers, which is the order of the plan. A group that took over another has
    its toolchains as well: that is why the toolchains of the roots are compared again before each join.
    """
    joining = DisjointGroups(groups)
    for _, *pair in sorted(_find_joinable_pairs(groups, index), key=lambda row: (-row[0], row[1], row[2])):
        first, second = map(joining.find_root, pair)
        if first != second and groups[first].toolchains.isdisjoint(groups[second].toolchains):
            joining.join_groups(first, second)
    return joining.remaining_groups


def _find_joinable_pairs(
    groups: Sequence[DiagnosticGroup], index: _RunIndex
) -> Iterator[tuple[int, int, int]]:
    """(strength, group, group) for all that could be one problem; only groups that share something meet."""
    # Thousands of groups have millions of pairs: the groups are filed by what they share, and only those in
    # one file are compared.
    numbers_by_hint: dict[object, list[int]] = {}
    traits = [collect_traits(group, index.find_diagnostic) for group in groups]
    toolchains = [group.toolchains for group in groups]
    for number, (group, its_traits) in enumerate(zip(groups, traits, strict=True)):
        for hint in _list_meeting_points(group, its_traits):
            numbers_by_hint.setdefault(hint, []).append(number)
    pairs = _PairSet()
    for numbers in numbers_by_hint.values():
        pairs.add_product(numbers, numbers)
    for first, second in pairs.pairs:
        if toolchains[first].isdisjoint(toolchains[second]):
            strength = _measure_overlap(traits[first], traits[second])
            if strength and _can_be_joined(groups[first], groups[second], strength, index):
                yield (strength, first, second)


def _list_meeting_points(group: DiagnosticGroup, traits: GroupTraits) -> set[object]:
    """What two groups must have in common to be looked at together: an object, and a place or a name."""
    hints: set[object] = {*traits.blamed, *traits.noted, *traits.names}
    # What is of the whole kernel, as a linker's symbol is, needs no more than its name.
    global_names = traits.names if group.is_global else ()
    # A header's problem meets in the header: the includers that one compiler refused may be others.
    locations = {kind.location for kind in group.kinds}
    places = product(traits.objects | locations, {*hints, *traits.topics})
    return {*places, *(("", name) for name in global_names)}


# Each outweighs all that follow together: a place is better evidence than any number of names.
_SAME_LINE, _NOTED_LINE, _SAME_CODE, _SAME_TOPIC, _SAME_NAME = 16, 8, 4, 2, 1


def _measure_overlap(first: GroupTraits, second: GroupTraits) -> int:
    return (
        _SAME_LINE * bool(first.blamed & second.blamed)
        + _NOTED_LINE * bool(first.blamed & second.noted or second.blamed & first.noted)
        + _SAME_CODE * bool(first.codes & second.codes)
        + _SAME_TOPIC * bool(first.topics & second.topics)
        + _SAME_NAME * bool(first.names & second.names)
    )


def _can_be_joined(first: DiagnosticGroup, second: DiagnosticGroup, strength: int, index: _RunIndex) -> bool:
    """Whether nothing that was built shows that these, of different toolchains, are two."""
    # Each tool's people mend their own, and neither of two tools is at fault for the other.
    if (first.is_internal or second.is_internal) and not (
        first.is_internal and second.is_internal and first.tools & second.tools
    ):
        return False
    first_configs, second_configs = _list_configs(first, index), _list_configs(second, index)
    # Two versions of one compiler call one thing by one name, and would be one kind already. What a version
    # words anew is at the same line.
    if first.tools & second.tools and strength < _NOTED_LINE:
        return False
    # Where no configuration was built with both, only the same line makes them one.
    if strength < _SAME_LINE and first_configs.isdisjoint(second_configs):
        return False
    return not (
        _is_contradicted(first_configs - second_configs, second, index)
        or _is_contradicted(second_configs - first_configs, first, index)
    )


def _list_configs(group: DiagnosticGroup, index: _RunIndex) -> set[int]:
    return {index.config_numbers[number] for number in group.cells}


def _is_contradicted(configs: Iterable[int], group: DiagnosticGroup, index: _RunIndex) -> bool:
    """Whether the group's toolchains built one of these configurations and did not print it.

    Every one of them that tried must lack it: a single cell that failed early contradicts nothing.
    """
    toolchains, objects = group.toolchains, group.list_compiled_objects(index.find_diagnostic)
    for config in configs:
        cells = (index.cells[number] for number in index.cells_by_config[config])
        tried = [cell for cell in cells if cell.toolchain in toolchains]
        if tried and all(
            is_problem_absent(cell, objects, group.stages, index.made_objects) for cell in tried
        ):
            return True
    return False
