"""Diagnostics → problems: what several compilers say in many cells of one thing is one problem.

First, what one tool says: diagnostics of one kind (`keys.kind`) are one problem, whatever line, arch or
cell they come from; kinds that name no symbol only as far as they come up in the same cells. Different kinds
of one tool in the same cells and object are one when they share a line, or one's note points at the other:
that is a cascade; unless each names a symbol and they have none in common. Then, across toolchains: two
problems of toolchains that have none in common are one when they share an object, the same configurations
and a place, a line of source or a symbol. Pairs are made by the strength of what is shared, and a problem is
never joined with two of one toolchain, so that two problems stay two though they sit in one file and fail in
the same cells.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations, product
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Severity
from matrix.findings.evidence import MadeObjects, is_problem_absent
from matrix.findings.fingerprint import (
    GLOBAL_TOOLS,
    ProblemKind,
    classify_diagnostic,
    compute_finding_keys,
    find_blamed_site,
    format_problem_title,
    list_sites,
)
from matrix.record.run_model import Cell, Run

ObjectDiagnostic = tuple[str, str | None]
"""A diagnostic's key, and the object that was being made."""
SourceLine = tuple[str, int]


@dataclass(eq=False)
class DiagnosticGroup:
    """Diagnostics that are known to be one problem. ``cells`` are numbers, in plan order.

    ``said``: which toolchains said what.
    """

    kinds: set[ProblemKind] = field(default_factory=set)
    toolchains_by_diagnostic: dict[ObjectDiagnostic, set[str]] = field(default_factory=dict)
    cells: set[int] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    def absorb_group(self, other: "DiagnosticGroup") -> None:
        """Be one with the other."""
        self.kinds |= other.kinds
        for said, chains in other.toolchains_by_diagnostic.items():
            self.toolchains_by_diagnostic.setdefault(said, set()).update(chains)
        self.cells |= other.cells
        self.stages |= other.stages

    @property
    def objects(self) -> set[str]:
        """Where it came up, as far as it was an object."""
        return {item for _, item in self.toolchains_by_diagnostic if item}

    @property
    def tools(self) -> set[str]:
        """Who speaks."""
        return {kind.tool for kind in self.kinds}

    @property
    def symbols(self) -> set[str]:
        """What the messages name."""
        return {name for kind in self.kinds for name in kind.symbols}

    @property
    def toolchains(self) -> set[str]:
        """The toolchains in which it came up."""
        return reduce(set.union, self.toolchains_by_diagnostic.values(), set[str]())


class GroupTraits(NamedTuple):
    """What a group's messages point at. ``noted``: lines that only notes point at."""

    objects: frozenset[str]
    blamed: frozenset[SourceLine]
    noted: frozenset[SourceLine]
    codes: frozenset[tuple[str, str]]
    names: frozenset[str]


def collect_traits(group: DiagnosticGroup, of: Callable[[str], Diagnostic]) -> GroupTraits:
    """The traits of a group; ``of`` looks a diagnostic up by its key."""
    said = [of(key) for key in {key for key, _ in group.toolchains_by_diagnostic}]
    blamed = {line for one in said for line in find_blamed_lines(one)}
    sites = [site for one in said for site in list_sites(one) if not site.macro]
    return GroupTraits(
        objects=frozenset(group.objects),
        blamed=frozenset(blamed),
        noted=frozenset((site.file, site.line) for site in sites if site.line) - blamed,
        codes=frozenset((site.symbol, site.code) for site in sites if site.symbol and site.code),
        names=frozenset(group.symbols) | {site.symbol for site in sites if site.symbol},
    )


def find_blamed_lines(one: Diagnostic) -> Iterable[SourceLine]:
    """The line that is to blame, if it is known."""
    used = find_blamed_site(one)
    return [(used.file, used.line)] if used is not None and used.line else []


def find_noted_lines(one: Diagnostic) -> Iterable[SourceLine]:
    """The lines that the message or its notes point at."""
    return ((site.file, site.line) for site in list_sites(one) if site.line and not site.macro)


_SAME_LINE, _NOTED_LINE, _SAME_CODE, _SAME_NAME = 8, 4, 2, 1
_ConfigKey = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One problem, wherever it was seen. ``severity`` is the worst by toolchain.

    ``diagnostics`` are keys of the run's: first the telling one of each toolchain, in the order of
    ``severity`` (one key may stand there for several), then the rest. ``cells`` are ids in plan order;
    ``objects`` and ``stages`` say where it came up.
    """

    title: str
    keys: tuple[str, ...]
    severity: dict[str, Severity]
    diagnostics: tuple[str, ...]
    cells: tuple[str, ...]
    objects: tuple[str, ...]
    stages: tuple[str, ...]


def group_into_problems(run: Run, made: MadeObjects) -> tuple[Problem, ...]:
    """The problems of a run: those that any toolchain refuses first, then by their first cell."""
    book = _RunIndex(run, made)
    groups = _join_across_toolchains(_join_within_tools(_group_by_kind(book), book), book)
    problems = list(
        zip(groups, map(book.build_problem, groups, _find_distinct_keys(groups, book)), strict=True)
    )
    ranked = sorted(problems, key=lambda pair: (_is_warning_only(pair[1]), min(pair[0].cells), pair[1].title))
    return tuple(problem for _, problem in ranked)


def _is_warning_only(problem: Problem) -> bool:
    return "error" not in problem.severity.values()


@dataclass
class _RunIndex:
    """A run, looked up. ``configs``: each cell's configuration, which other toolchains share, as a number."""

    run: Run
    made_objects: MadeObjects
    config_numbers: list[int] = field(default_factory=list)
    cells_by_config: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = self.run.cells
        numbers: dict[_ConfigKey, int] = {}
        for number, cell in enumerate(self.cells):
            config = numbers.setdefault(_build_config_key(cell), len(numbers))
            self.config_numbers.append(config)
            self.cells_by_config += [[]] if config == len(self.cells_by_config) else []
            self.cells_by_config[config].append(number)

    def find_diagnostic(self, key: str) -> Diagnostic:
        return self.run.diagnostics[key]

    def build_problem(self, group: DiagnosticGroup, keys: Iterable[str]) -> Problem:
        ranked = sorted(group.toolchains_by_diagnostic, key=self._rank_diagnostic)
        severity, first = self._pick_by_toolchain(group, ranked)
        rest = dict.fromkeys(key for key, _ in ranked if key not in first)
        return Problem(
            title=format_problem_title(
                self.find_diagnostic(ranked[0][0]), ranked[0][1] if len(group.objects) == 1 else None
            ),
            keys=tuple(sorted(keys)),
            severity=severity,
            diagnostics=(*first, *rest),
            cells=tuple(self.cells[number].id for number in sorted(group.cells)),
            objects=tuple(sorted(group.objects)),
            stages=tuple(sorted(group.stages)),
        )

    def _rank_diagnostic(self, said: ObjectDiagnostic) -> tuple[bool, bool, str, int, str]:
        """Errors first, then those that name a symbol; then as they stand in the source."""
        one = self.find_diagnostic(said[0])
        return (one.severity != "error", not one.symbols, one.file or "", one.line or 0, said[0])

    def _pick_by_toolchain(
        self, group: DiagnosticGroup, ranked: Sequence[ObjectDiagnostic]
    ) -> tuple[dict[str, Severity], tuple[str, ...]]:
        best: dict[str, str] = {}
        for said in ranked:
            for chain in group.toolchains_by_diagnostic[said]:
                best.setdefault(chain, said[0])
        names = [name for name in self.run.axes.get("toolchain", ()) if name in best]
        names += sorted(best.keys() - set(names))
        return {name: self.find_diagnostic(best[name]).severity for name in names}, tuple(
            best[name] for name in names
        )


def _build_config_key(cell: Cell) -> _ConfigKey:
    return (cell.arch, cell.base, *(f"{name}={value}" for name, value in sorted(cell.request.items())))


def _find_distinct_keys(groups: Sequence[DiagnosticGroup], book: _RunIndex) -> list[frozenset[str]]:
    """Each group's keys, without those that one toolchain gives two problems: they do not tell them apart.

    What another toolchain says under other conditions may well be the same problem, and keeps its key.
    """
    keys = [
        frozenset().union(
            *(
                compute_finding_keys(book.find_diagnostic(key), item)
                for key, item in one.toolchains_by_diagnostic
            )
        )
        for one in groups
    ]
    given = Counter(
        (key, chain)
        for group, among in zip(groups, keys, strict=True)
        for chain in group.toolchains
        for key in among
    )
    shared = {key for (key, _), count in given.items() if count > 1}
    return [among - shared or among for among in keys]


def _group_by_kind(book: _RunIndex) -> list[DiagnosticGroup]:
    """One group for each kind, those without a symbol for each line of source."""
    groups: dict[object, DiagnosticGroup] = {}
    known: dict[ObjectDiagnostic, DiagnosticGroup] = {}
    for number, cell in enumerate(book.cells):
        for ref in cell.diagnostics:
            said = (ref.key, ref.object)
            if said not in known and ref.key in book.run.diagnostics:
                known[said] = _start_group(said, book.find_diagnostic(ref.key), groups)
            if said in known:
                group = known[said]
                group.toolchains_by_diagnostic[said].add(cell.toolchain)
                group.cells.add(number)
                group.stages.add(ref.stage)
    return list(groups.values())


def _start_group(
    said: ObjectDiagnostic, one: Diagnostic, groups: dict[object, DiagnosticGroup]
) -> DiagnosticGroup:
    its = classify_diagnostic(one, said[1])
    group = groups.setdefault(its if its.symbols else (its, *find_blamed_lines(one)), DiagnosticGroup())
    group.kinds.add(its)
    group.toolchains_by_diagnostic[said] = set()
    return group


@dataclass
class _DisjointGroups:
    """Groups on their way to become one: those that were taken by another are found there."""

    groups: list[DiagnosticGroup]
    _parents: dict[int, int] = field(default_factory=dict)

    def find_root(self, number: int) -> int:
        while number in self._parents:
            number = self._parents[number]
        return number

    def join_groups(self, one: int, two: int) -> None:
        first, second = sorted((one, two))
        self.groups[first].absorb_group(self.groups[second])
        self._parents[second] = first

    @property
    def remaining_groups(self) -> list[DiagnosticGroup]:
        return [group for number, group in enumerate(self.groups) if number not in self._parents]


def _join_within_tools(groups: list[DiagnosticGroup], book: _RunIndex) -> list[DiagnosticGroup]:
    """Join the lines of one kind that come up in the same cells, and cascades."""
    by_cells: dict[tuple[frozenset[int], str], dict[ProblemKind, DiagnosticGroup]] = {}
    for group in groups:
        (its,) = group.kinds
        among = by_cells.setdefault((frozenset(group.cells), its.tool), {})
        among.setdefault(its, DiagnosticGroup()).absorb_group(group)
    return [group for among in by_cells.values() for group in _join_cascades(list(among.values()), book)]


def _join_cascades(groups: list[DiagnosticGroup], book: _RunIndex) -> list[DiagnosticGroup]:
    """Join kinds that blame the same line, or where a note of one points at the line the other blames."""
    joining = _DisjointGroups(groups)
    for one, two in _find_touching_pairs(groups, book):
        first, second = joining.find_root(one), joining.find_root(two)
        named, names = groups[first].symbols, groups[second].symbols
        if first != second and not (named and names and named.isdisjoint(names)):
            joining.join_groups(first, second)
    return joining.remaining_groups


def _find_touching_pairs(groups: Sequence[DiagnosticGroup], book: _RunIndex) -> list[tuple[int, int]]:
    """Pairs of groups that meet in a line of an object, and one of them blames it."""
    blaming: dict[object, set[int]] = {}
    noting: dict[object, set[int]] = {}
    for number, group in enumerate(groups):
        for key, item in group.toolchains_by_diagnostic:
            for line in find_blamed_lines(book.find_diagnostic(key)) if item else ():
                blaming.setdefault((item, line), set()).add(number)
            for line in find_noted_lines(book.find_diagnostic(key)) if item else ():
                noting.setdefault((item, line), set()).add(number)
    pairs = {
        (min(pair), max(pair))
        for spot, among in blaming.items()
        for pair in product(among, among | noting.get(spot, set()))
    }
    return sorted((one, two) for one, two in pairs if one != two)


def _join_across_toolchains(groups: list[DiagnosticGroup], book: _RunIndex) -> list[DiagnosticGroup]:
    """Join the problems of one compiler with those of another, the strongest pairs first."""
    joining = _DisjointGroups(groups)
    for _, one, two in sorted(
        _find_joinable_pairs(groups, book), key=lambda pair: (-pair[0], pair[1], pair[2])
    ):
        first, second = joining.find_root(one), joining.find_root(two)
        if first != second and groups[first].toolchains.isdisjoint(groups[second].toolchains):
            joining.join_groups(first, second)
    return joining.remaining_groups


def _find_joinable_pairs(
    groups: Sequence[DiagnosticGroup], book: _RunIndex
) -> Iterator[tuple[int, int, int]]:
    """(strength, group, group) for all that could be one problem; only groups that share something meet."""
    hints: dict[object, list[int]] = {}
    known = [collect_traits(group, book.find_diagnostic) for group in groups]
    chains = [group.toolchains for group in groups]
    for number, (group, mine) in enumerate(zip(groups, known, strict=True)):
        for hint in _list_meeting_points(group, mine):
            hints.setdefault(hint, []).append(number)
    met = {pair for among in hints.values() for pair in combinations(among, 2)}
    for one, two in met:
        if chains[one].isdisjoint(chains[two]):
            strength = _measure_overlap(known[one], known[two])
            if strength and _can_be_joined(groups[one], groups[two], strength, book):
                yield (strength, one, two)


def _list_meeting_points(group: DiagnosticGroup, mine: GroupTraits) -> set[object]:
    """What two problems must have in common to be looked at together: an object, and a place or a name."""
    hints: set[object] = {*mine.blamed, *mine.noted, *mine.names}
    everywhere = mine.names if group.tools & GLOBAL_TOOLS else ()
    return {*product(mine.objects or {""}, hints), *(("", name) for name in everywhere)}


def _measure_overlap(one: GroupTraits, two: GroupTraits) -> int:
    return (
        _SAME_LINE * bool(one.blamed & two.blamed)
        + _NOTED_LINE * bool(one.blamed & two.noted or two.blamed & one.noted)
        + _SAME_CODE * bool(one.codes & two.codes)
        + _SAME_NAME * bool(one.names & two.names)
    )


def _can_be_joined(one: DiagnosticGroup, two: DiagnosticGroup, strength: int, book: _RunIndex) -> bool:
    """Whether nothing that was built says that these, of different toolchains, are two.

    Two versions of one compiler call one thing by one name, unless it is worded anew: at the same line.
    Where no configuration was built with both, only the same line makes them one.
    """
    configs_one, configs_two = _list_configs(one, book), _list_configs(two, book)
    if one.tools & two.tools and strength < _NOTED_LINE:
        return False
    if strength < _SAME_LINE and configs_one.isdisjoint(configs_two):
        return False
    return not (
        _is_contradicted(configs_one - configs_two, two, book)
        or _is_contradicted(configs_two - configs_one, one, book)
    )


def _list_configs(group: DiagnosticGroup, book: _RunIndex) -> set[int]:
    return {book.config_numbers[number] for number in group.cells}


def _is_contradicted(configs: Iterable[int], other: DiagnosticGroup, book: _RunIndex) -> bool:
    """Whether the other's compilers built one of these configurations without the other."""
    wanted, objects = other.toolchains, other.objects
    for config in configs:
        tried = [
            book.cells[number]
            for number in book.cells_by_config[config]
            if book.cells[number].toolchain in wanted
        ]
        if tried and all(is_problem_absent(cell, objects, other.stages, book.made_objects) for cell in tried):
            return True
    return False
