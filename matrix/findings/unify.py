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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from matrix.diagnostics.diagnostic import Diagnostic, Severity
from matrix.findings.group import Group, Said, Traits, blamed_by, noted_by, traits
from matrix.findings.keys import GLOBAL_TOOLS, Kind, keys_of, kind, title
from matrix.findings.presence import Made, lacks
from matrix.record.model import Cell, Run

_SAME_PLACE, _NOTED_PLACE, _SAME_CODE, _SAME_NAME = 8, 4, 2, 1
Config = tuple[str, ...]


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


def unify(run: Run, made: Made) -> tuple[Problem, ...]:
    """The problems of a run: those that any toolchain refuses first, then by their first cell."""
    book = _Book(run, made)
    groups = _across_toolchains(_within_tools(_kinds(book), book), book)
    problems = list(zip(groups, map(book.problem, groups, _own_keys(groups, book)), strict=True))
    ranked = sorted(problems, key=lambda pair: (_mild(pair[1]), min(pair[0].cells), pair[1].title))
    return tuple(problem for _, problem in ranked)


def _mild(problem: Problem) -> bool:
    return "error" not in problem.severity.values()


@dataclass
class _Book:
    """A run, looked up. ``configs``: each cell's configuration, which other toolchains share, as a number."""

    run: Run
    made: Made
    configs: list[int] = field(default_factory=list)
    at: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cells = self.run.cells
        numbers: dict[Config, int] = {}
        for number, cell in enumerate(self.cells):
            config = numbers.setdefault(_config(cell), len(numbers))
            self.configs.append(config)
            self.at += [[]] if config == len(self.at) else []
            self.at[config].append(number)

    def of(self, key: str) -> Diagnostic:
        return self.run.diagnostics[key]

    def problem(self, group: Group, keys: Iterable[str]) -> Problem:
        ranked = sorted(group.said, key=self._telling)
        severity, first = self._by_toolchain(group, ranked)
        rest = dict.fromkeys(key for key, _ in ranked if key not in first)
        return Problem(
            title=title(self.of(ranked[0][0]), ranked[0][1] if len(group.objects) == 1 else None),
            keys=tuple(sorted(keys)),
            severity=severity,
            diagnostics=(*first, *rest),
            cells=tuple(self.cells[number].id for number in sorted(group.cells)),
            objects=tuple(sorted(group.objects)),
            stages=tuple(sorted(group.stages)),
        )

    def _telling(self, said: Said) -> tuple[bool, bool, str, int, str]:
        """Errors first, then those that name a symbol; then as they stand in the source."""
        one = self.of(said[0])
        return (one.severity != "error", not one.symbols, one.file or "", one.line or 0, said[0])

    def _by_toolchain(
        self, group: Group, ranked: Sequence[Said]
    ) -> tuple[dict[str, Severity], tuple[str, ...]]:
        best: dict[str, str] = {}
        for said in ranked:
            for chain in group.said[said]:
                best.setdefault(chain, said[0])
        names = [name for name in self.run.axes.get("toolchain", ()) if name in best]
        names += sorted(best.keys() - set(names))
        return {name: self.of(best[name]).severity for name in names}, tuple(best[name] for name in names)


def _config(cell: Cell) -> Config:
    return (cell.arch, cell.base, *(f"{name}={value}" for name, value in sorted(cell.request.items())))


def _own_keys(groups: Sequence[Group], book: _Book) -> list[frozenset[str]]:
    """Each group's keys, without those that one toolchain gives two problems: they do not tell them apart.

    What another toolchain says under other conditions may well be the same problem, and keeps its key.
    """
    keys = [frozenset().union(*(keys_of(book.of(key), item) for key, item in one.said)) for one in groups]
    given = Counter(
        (key, chain)
        for group, among in zip(groups, keys, strict=True)
        for chain in group.chains
        for key in among
    )
    shared = {key for (key, _), count in given.items() if count > 1}
    return [among - shared or among for among in keys]


def _kinds(book: _Book) -> list[Group]:
    """One group for each kind, those without a symbol for each line of source."""
    groups: dict[object, Group] = {}
    known: dict[Said, Group] = {}
    for number, cell in enumerate(book.cells):
        for ref in cell.diagnostics:
            said = (ref.key, ref.object)
            if said not in known and ref.key in book.run.diagnostics:
                known[said] = _started(said, book.of(ref.key), groups)
            if said in known:
                group = known[said]
                group.said[said].add(cell.toolchain)
                group.cells.add(number)
                group.stages.add(ref.stage)
    return list(groups.values())


def _started(said: Said, one: Diagnostic, groups: dict[object, Group]) -> Group:
    its = kind(one, said[1])
    group = groups.setdefault(its if its.symbols else (its, *blamed_by(one)), Group())
    group.kinds.add(its)
    group.said[said] = set()
    return group


@dataclass
class _Joining:
    """Groups on their way to become one: those that were taken by another are found there."""

    groups: list[Group]
    _into: dict[int, int] = field(default_factory=dict)

    def root(self, number: int) -> int:
        while number in self._into:
            number = self._into[number]
        return number

    def join(self, one: int, two: int) -> None:
        first, second = sorted((one, two))
        self.groups[first].take(self.groups[second])
        self._into[second] = first

    @property
    def left(self) -> list[Group]:
        return [group for number, group in enumerate(self.groups) if number not in self._into]


def _within_tools(groups: list[Group], book: _Book) -> list[Group]:
    """Join the lines of one kind that come up in the same cells, and cascades."""
    by_cells: dict[tuple[frozenset[int], str], dict[Kind, Group]] = {}
    for group in groups:
        (its,) = group.kinds
        among = by_cells.setdefault((frozenset(group.cells), its.tool), {})
        among.setdefault(its, Group()).take(group)
    return [group for among in by_cells.values() for group in _cascades(list(among.values()), book)]


def _cascades(groups: list[Group], book: _Book) -> list[Group]:
    """Join kinds that blame the same line, or where a note of one points at the line the other blames."""
    joining = _Joining(groups)
    for one, two in _touching(groups, book):
        first, second = joining.root(one), joining.root(two)
        named, names = groups[first].symbols, groups[second].symbols
        if first != second and not (named and names and named.isdisjoint(names)):
            joining.join(first, second)
    return joining.left


def _touching(groups: Sequence[Group], book: _Book) -> list[tuple[int, int]]:
    """Pairs of groups that meet in a line of an object, and one of them blames it."""
    blaming: dict[object, set[int]] = {}
    noting: dict[object, set[int]] = {}
    for number, group in enumerate(groups):
        for key, item in group.said:
            for line in blamed_by(book.of(key)) if item else ():
                blaming.setdefault((item, line), set()).add(number)
            for line in noted_by(book.of(key)) if item else ():
                noting.setdefault((item, line), set()).add(number)
    pairs = {
        (min(pair), max(pair))
        for spot, among in blaming.items()
        for pair in product(among, among | noting.get(spot, set()))
    }
    return sorted((one, two) for one, two in pairs if one != two)


def _across_toolchains(groups: list[Group], book: _Book) -> list[Group]:
    """Join the problems of one compiler with those of another, the strongest pairs first."""
    joining = _Joining(groups)
    for _, one, two in sorted(_pairs(groups, book), key=lambda pair: (-pair[0], pair[1], pair[2])):
        first, second = joining.root(one), joining.root(two)
        if first != second and groups[first].chains.isdisjoint(groups[second].chains):
            joining.join(first, second)
    return joining.left


def _pairs(groups: Sequence[Group], book: _Book) -> Iterator[tuple[int, int, int]]:
    """(strength, group, group) for all that could be one problem; only groups that share something meet."""
    hints: dict[object, list[int]] = {}
    known = [traits(group, book.of) for group in groups]
    chains = [group.chains for group in groups]
    for number, (group, mine) in enumerate(zip(groups, known, strict=True)):
        for hint in _marks(group, mine):
            hints.setdefault(hint, []).append(number)
    met = {pair for among in hints.values() for pair in combinations(among, 2)}
    for one, two in met:
        if chains[one].isdisjoint(chains[two]):
            strength = _strength(known[one], known[two])
            if strength and _may_be_one(groups[one], groups[two], strength, book):
                yield (strength, one, two)


def _marks(group: Group, mine: Traits) -> set[object]:
    """What two problems must have in common to be looked at together: an object, and a place or a name."""
    hints: set[object] = {*mine.blamed, *mine.noted, *mine.names}
    everywhere = mine.names if group.tools & GLOBAL_TOOLS else ()
    return {*product(mine.objects or {""}, hints), *(("", name) for name in everywhere)}


def _strength(one: Traits, two: Traits) -> int:
    return (
        _SAME_PLACE * bool(one.blamed & two.blamed)
        + _NOTED_PLACE * bool(one.blamed & two.noted or two.blamed & one.noted)
        + _SAME_CODE * bool(one.codes & two.codes)
        + _SAME_NAME * bool(one.names & two.names)
    )


def _may_be_one(one: Group, two: Group, strength: int, book: _Book) -> bool:
    """Whether nothing that was built says that these, of different toolchains, are two.

    Two versions of one compiler call one thing by one name, unless it is worded anew: at the same line.
    Where no configuration was built with both, only the same line makes them one.
    """
    configs_one, configs_two = _configs(one, book), _configs(two, book)
    if one.tools & two.tools and strength < _NOTED_PLACE:
        return False
    if strength < _SAME_PLACE and configs_one.isdisjoint(configs_two):
        return False
    return not (
        _contradicted(configs_one - configs_two, two, book)
        or _contradicted(configs_two - configs_one, one, book)
    )


def _configs(group: Group, book: _Book) -> set[int]:
    return {book.configs[number] for number in group.cells}


def _contradicted(configs: Iterable[int], other: Group, book: _Book) -> bool:
    """Whether the other's compilers built one of these configurations without the other."""
    wanted, objects = other.chains, other.objects
    for config in configs:
        tried = [book.cells[number] for number in book.at[config] if book.cells[number].toolchain in wanted]
        if tried and all(lacks(cell, objects, other.stages, book.made) for cell in tried):
            return True
    return False
