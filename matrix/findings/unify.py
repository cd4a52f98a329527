"""Diagnostics → problems: what several compilers say in many cells of one thing is one problem.

First, what one tool says: diagnostics of one kind (`keys.kind`) are one problem, whatever line, arch or
cell they come from; kinds that name no symbol only as far as they come up in the same cells. Different kinds
of one tool in the same cells and object are one when they share a line, or one's note points at the other:
that is a cascade. Then, across tools: two problems of tools that never work in the same toolchain are one
when they share an object, the same configurations and a place, a line of source or a symbol. Pairs are made
by the strength of what is shared, each problem with one other, so that two problems stay two though they sit
in one file and fail in the same cells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from matrix.diagnostics.diagnostic import Diagnostic, Severity
from matrix.findings.keys import GLOBAL_TOOLS, Kind, keys_of, kind, own_sites, title, used_at
from matrix.findings.presence import Made, lacks
from matrix.record.model import Cell, Run

_SAME_PLACE, _NOTED_PLACE, _SAME_CODE, _SAME_NAME = 8, 4, 2, 1
Config = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One problem, wherever it was seen. ``severity`` is the worst by toolchain.

    ``diagnostics`` are keys of the run's, the telling one of each toolchain first; ``cells`` are ids in plan
    order; ``objects`` and ``stages`` say where it came up.
    """

    title: str
    keys: tuple[str, ...]
    severity: dict[str, Severity]
    diagnostics: tuple[str, ...]
    cells: tuple[str, ...]
    objects: tuple[str, ...]
    stages: tuple[str, ...]


@dataclass(eq=False)
class _Group:
    """Diagnostics that are known to be one problem. Cells are numbers, in plan order."""

    kinds: set[Kind] = field(default_factory=set)
    said: dict[tuple[str, str | None], None] = field(default_factory=dict)
    cells: set[int] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    def take(self, other: "_Group") -> None:
        self.kinds |= other.kinds
        self.said |= other.said
        self.cells |= other.cells
        self.stages |= other.stages

    @property
    def objects(self) -> set[str]:
        return {item for _, item in self.said if item}

    @property
    def tools(self) -> set[str]:
        return {kind.tool for kind in self.kinds}


def unify(run: Run, made: Made) -> tuple[Problem, ...]:
    """The problems of a run: those that any toolchain refuses first, then by their first cell."""
    book = _Book(run, made)
    groups = _within_tools(_kinds(book), book)
    groups = _across_tools(groups, book)
    problems = [(group, book.problem(group)) for group in groups]
    ranked = sorted(problems, key=lambda pair: (_mild(pair[1]), min(pair[0].cells), pair[1].title))
    return tuple(problem for _, problem in ranked)


def _mild(problem: Problem) -> bool:
    return "error" not in problem.severity.values()


@dataclass
class _Book:
    """A run, looked up."""

    run: Run
    made: Made

    def __post_init__(self) -> None:
        self.cells = self.run.cells
        self.configs = [_config(cell) for cell in self.cells]
        self.at: dict[Config, list[int]] = {}
        for number, config in enumerate(self.configs):
            self.at.setdefault(config, []).append(number)

    def of(self, key: str) -> Diagnostic:
        return self.run.diagnostics[key]

    def problem(self, group: _Group) -> Problem:
        refs = list(group.said)
        ranked = sorted(refs, key=self._telling)
        severity, first = self._by_toolchain(group, ranked)
        keys = frozenset().union(*(keys_of(self.of(key), item) for key, item in refs))
        return Problem(
            title=title(self.of(ranked[0][0]), ranked[0][1] if len(group.objects) == 1 else None),
            keys=tuple(sorted(keys)),
            severity=severity,
            diagnostics=tuple(dict.fromkeys([*first, *(key for key, _ in ranked)])),
            cells=tuple(self.cells[number].id for number in sorted(group.cells)),
            objects=tuple(sorted(group.objects)),
            stages=tuple(sorted(group.stages)),
        )

    def _telling(self, ref: tuple[str, str | None]) -> tuple[bool, bool, str, int, str]:
        """Errors first, then those that name a symbol; then as they stand in the source."""
        one = self.of(ref[0])
        return (one.severity != "error", not one.symbols, one.file or "", one.line or 0, ref[0])

    def _by_toolchain(
        self, group: _Group, ranked: list[tuple[str, str | None]]
    ) -> tuple[dict[str, Severity], list[str]]:
        rank = {key: place for place, (key, _) in reversed(list(enumerate(ranked)))}
        best: dict[str, int] = {}
        for number in group.cells:
            cell = self.cells[number]
            mine = (rank[ref.key] for ref in cell.diagnostics if (ref.key, ref.object) in group.said)
            found = min(mine)
            best[cell.toolchain] = min(found, best.get(cell.toolchain, found))
        order = [name for name in self.run.axes.get("toolchain", ()) if name in best]
        names = list(dict.fromkeys([*order, *sorted(best)]))
        first = [ranked[best[name]][0] for name in names]
        return {name: self.of(key).severity for name, key in zip(names, first, strict=True)}, first


def _config(cell: Cell) -> Config:
    return (cell.arch, cell.base, *(f"{name}={value}" for name, value in sorted(cell.request.items())))


def _kinds(book: _Book) -> list[_Group]:
    """One group for each kind, those without a symbol for each line of source."""
    groups: dict[object, _Group] = {}
    known: dict[tuple[str, str | None], tuple[Kind, object]] = {}
    for number, cell in enumerate(book.cells):
        for ref in cell.diagnostics:
            if ref.key not in book.run.diagnostics:
                continue
            said = (ref.key, ref.object)
            if said not in known:
                one = book.of(ref.key)
                its = kind(one, ref.object)
                known[said] = (its, its if its.symbols else (its, _line(one)))
            its, mark = known[said]
            group = groups.setdefault(mark, _Group())
            group.kinds.add(its)
            group.said[said] = None
            group.cells.add(number)
            group.stages.add(ref.stage)
    return list(groups.values())


def _line(one: Diagnostic) -> tuple[str, int | None] | None:
    site = used_at(one)
    return (site.file, site.line) if site else None


def _within_tools(groups: list[_Group], book: _Book) -> list[_Group]:
    """Join the lines of one kind that come up in the same cells, and cascades."""
    by_cells: dict[tuple[frozenset[int], str], list[_Group]] = {}
    for group in groups:
        (tool,) = group.tools
        by_cells.setdefault((frozenset(group.cells), tool), []).append(group)
    return [joined for among in by_cells.values() for joined in _joined(among, book)]


def _joined(groups: list[_Group], book: _Book) -> list[_Group]:
    kinds: dict[Kind, _Group] = {}
    for group in groups:
        for its in group.kinds:
            kinds.setdefault(its, _Group()).take(group)
    left = list(kinds.values())
    for one, two in combinations(left, 2):
        if one.cells and two.cells and one.objects & two.objects and _cascade(one, two, book):
            two.take(one)
            one.cells = set()
    return [group for group in left if group.cells]


def _cascade(one: _Group, two: _Group, book: _Book) -> bool:
    """Whether two kinds blame the same line, or a note of one points at the line that the other blames."""
    lines_one, noted_one = _places(one, book)
    lines_two, noted_two = _places(two, book)
    return bool(lines_one & (lines_two | noted_two) or lines_two & noted_one)


def _places(group: _Group, book: _Book) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """(lines that are blamed, further lines that notes point at)."""
    blamed, noted = set(), set()
    for key, _ in group.said:
        one = book.of(key)
        used = used_at(one)
        if used is not None and used.line:
            blamed.add((used.file, used.line))
        noted |= {(site.file, site.line) for site in own_sites(one) if site.line and not site.macro}
    return blamed, noted - blamed


def _across_tools(groups: list[_Group], book: _Book) -> list[_Group]:
    """Join the problems of one compiler with those of another, the strongest pairs first."""
    pairs = sorted(_pairs(groups, book), key=lambda pair: (-pair[0], pair[1], pair[2]))
    taken: set[tuple[int, str]] = set()
    into: dict[int, int] = {}
    for _, one, two in pairs:
        marks = {(one, tool) for tool in groups[two].tools} | {(two, tool) for tool in groups[one].tools}
        if not marks & taken and two not in into and one not in into:
            taken |= marks
            into[two] = one
    for two, one in into.items():
        groups[one].take(groups[two])
    return [group for number, group in enumerate(groups) if number not in into]


def _pairs(groups: list[_Group], book: _Book) -> Iterator[tuple[int, int, int]]:
    """(strength, group, group) for all that could be one problem; only groups that share something meet."""
    hints: dict[object, list[int]] = {}
    marks = [_marks(group, book) for group in groups]
    for number, mine in enumerate(marks):
        for hint in mine:
            hints.setdefault(hint, []).append(number)
    met = {pair for among in hints.values() for pair in combinations(among, 2)}
    for one, two in met:
        strength = _strength(groups[one], groups[two], book)
        if strength and _may_be_one(groups[one], groups[two], book):
            yield (strength, one, two)


def _marks(group: _Group, book: _Book) -> set[object]:
    """What two problems must have in common to be looked at together: an object, and a place or a name."""
    blamed, noted = _places(group, book)
    hints: set[object] = {*blamed, *noted, *_names(group, book)}
    return {(item, hint) for item in group.objects or {""} for hint in hints} | (
        {("", hint) for hint in _names(group, book)} if group.tools & GLOBAL_TOOLS else set()
    )


def _names(group: _Group, book: _Book) -> set[str]:
    pointed = {
        site.symbol
        for key, _ in group.said
        for site in own_sites(book.of(key))
        if site.symbol and not site.macro
    }
    return {name for its in group.kinds for name in its.symbols} | pointed


def _codes(group: _Group, book: _Book) -> set[tuple[str, str]]:
    sites = (site for key, _ in group.said for site in own_sites(book.of(key)))
    return {(site.symbol, site.code) for site in sites if site.symbol and site.code and not site.macro}


def _strength(one: _Group, two: _Group, book: _Book) -> int:
    lines_one, noted_one = _places(one, book)
    lines_two, noted_two = _places(two, book)
    return (
        _SAME_PLACE * bool(lines_one & lines_two)
        + _NOTED_PLACE * bool(lines_one & noted_two or lines_two & noted_one)
        + _SAME_CODE * bool(_codes(one, book) & _codes(two, book))
        + _SAME_NAME * bool(_names(one, book) & _names(two, book))
    )


def _may_be_one(one: _Group, two: _Group, book: _Book) -> bool:
    """Whether tools that never meet in a toolchain say it in the same configurations."""
    chains_one = {book.cells[number].toolchain for number in one.cells}
    chains_two = {book.cells[number].toolchain for number in two.cells}
    if one.tools & two.tools or chains_one & chains_two:
        return False
    return (
        bool(_configs(one, book) & _configs(two, book))
        and not _contradicted(one, two, chains_two, book)
        and not _contradicted(two, one, chains_one, book)
    )


def _configs(group: _Group, book: _Book) -> set[Config]:
    return {book.configs[number] for number in group.cells}


def _contradicted(one: _Group, two: _Group, chains: Iterable[str], book: _Book) -> bool:
    """Whether the other's compilers built a configuration of this problem without the other."""
    wanted = set(chains)
    for config in _configs(one, book) - _configs(two, book):
        others = [book.cells[number] for number in book.at[config]]
        tried = [cell for cell in others if cell.toolchain in wanted]
        if tried and all(lacks(cell, two.objects, two.stages, book.made) for cell in tried):
            return True
    return False
