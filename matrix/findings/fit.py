"""A .config held against a finding's condition: what holds, what it misses, what else differs. Pure.

A symbol means what its knob proves on the .config's arch: `KVM=y` on powerpc is `KVM_BOOK3S_64=y`, too. A
.config has no arch or compiler that could be changed in it, but it says what they were; of its base it
says nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.findings.model import Finding
from matrix.findings.table import Cube
from matrix.kconfig.config import Check, Config, verify
from matrix.kconfig.origin import Compiler, Origin
from matrix.record.model import Cell

_FIELDS = ("arch", "toolchain", "base")


@dataclass(frozen=True)
class Given:
    """Somebody's .config: the file, its text, what it holds, and the arch that it is for."""

    path: Path
    text: str
    config: Config
    origin: Origin
    arch: str


@dataclass(frozen=True)
class Mine:
    """A .config on the axes of a run.

    ``written`` is the file as it was given, ``resolved`` what the run's tree makes of it. ``toolchain`` is
    the run's own that it was made with, as far as that is known.
    """

    arch: str
    toolchain: str | None
    written: Config
    resolved: Config


@dataclass(frozen=True)
class Term:
    """One axis of a conjunction: the values of which it ``needs`` one, and the one that the .config has.

    ``written`` is what the file had before the tree's conf saw it. ``lacks`` are the failed checks of the
    value ``asked`` for. ``holds`` is None where a .config cannot say.
    """

    axis: str
    needs: tuple[str, ...]
    has: str
    written: str
    asked: str
    lacks: tuple[Check, ...]
    holds: bool | None

    @property
    def is_symbol(self) -> bool:
        return self.axis not in _FIELDS


@dataclass(frozen=True)
class Fit:
    """A .config against one conjunction (its index is ``of``), and the cell with the finding that it is
    nearest to."""

    of: int
    cell: Cell
    terms: tuple[Term, ...]

    @property
    def missed(self) -> tuple[Term, ...]:
        return tuple(term for term in self.terms if term.holds is False)

    @property
    def change(self) -> dict[str, str]:
        """Symbol → value, for every symbol that it misses."""
        return {term.axis: term.asked for term in self.missed if term.is_symbol}

    @property
    def kept(self) -> dict[str, str]:
        """Symbol → value, for every symbol that holds already."""
        return {term.axis: term.has for term in self.terms if term.holds and term.is_symbol}


@dataclass(frozen=True)
class Other:
    """A symbol that no term names, at a value at which the finding was never seen.

    ``assumed``: the run looked at other values, and no cell could say whether they matter; otherwise all of
    its cells have this one value.
    """

    symbol: str
    has: str
    seen: tuple[str, ...]
    assumed: bool


@dataclass(frozen=True)
class Ground:
    """What the fit of a .config is judged on: the catalog with the run's own rows, the run's axes."""

    catalog: Catalog
    axes: Mapping[str, tuple[str, ...]]

    def closest(self, finding: Finding, cells: Sequence[Cell], mine: Mine) -> Fit:
        """The fit to the nearest of a finding's conjunctions. ``cells`` are some of those that have it.

        Fewest missed terms win; then the cell that differs in fewest symbols; then the order of the
        conjunctions, and of the cells.
        """
        fits = (
            Fit(number, cell, tuple(self._terms(cube, cell, mine)))
            for number, cube in enumerate(finding.condition)
            for cell in cells
            if _meets(cell, cube)
        )
        return min(fits, key=lambda fit: (len(fit.missed), self._apart(fit.cell, mine)))

    def others(self, finding: Finding, fit: Fit, fixed: Mapping[str, str], mine: Mine) -> tuple[Other, ...]:
        """What the condition does not name, and is not known not to matter. ``fixed`` are the run's."""
        assumed = ((one.axis, one.seen, True) for one in finding.assumes if one.of == fit.of)
        one_valued = {**finding.context, **fixed}
        context = ((name, (value,), False) for name, value in one_valued.items())
        return tuple(
            Other(name, has, seen, unproven)
            for name, seen, unproven in (*assumed, *context)
            if name not in _FIELDS and (has := self._value(name, mine.arch, mine.resolved, seen)) not in seen
        )

    def _terms(self, cube: Cube, cell: Cell, mine: Mine) -> Iterator[Term]:
        for axis, needs in cube.items():
            judged = self._field if axis in _FIELDS else self._symbol
            yield judged(axis, needs, cell, mine)

    def _field(self, axis: str, needs: tuple[str, ...], cell: Cell, mine: Mine) -> Term:
        has = {"arch": mine.arch, "toolchain": mine.toolchain}.get(axis)
        holds = None if has is None else has in needs
        return Term(axis, needs, has or "", has or "", getattr(cell, axis), (), holds)

    def _symbol(self, axis: str, needs: tuple[str, ...], cell: Cell, mine: Mine) -> Term:
        asked = cell.request[axis]
        has, written = (
            self._value(axis, mine.arch, config, needs) for config in (mine.resolved, mine.written)
        )
        # A symbol's own value may be one that is needed, and yet not proven: KVM=m on x86 without KVM_INTEL.
        holds = has in needs and not self._failed(axis, has, mine)
        lacks = () if holds else self._failed(axis, asked, mine)
        return Term(axis, needs, has, written, asked, lacks, holds)

    def _value(self, symbol: str, arch: str, config: Config, first: Sequence[str]) -> str:
        """A symbol's value, of which ``first`` are tried before the axis's others."""
        values = dict.fromkeys([*first, *self.axes.get(symbol, ())])
        return self.catalog.value(arch, symbol, values, config)

    def _failed(self, symbol: str, value: str, mine: Mine) -> tuple[Check, ...]:
        checks = verify(self.catalog.setting(mine.arch, symbol, value).proof, mine.resolved)
        return tuple(check for check in checks if not check.ok)

    def _apart(self, cell: Cell, mine: Mine) -> int:
        """In how many of its symbols a cell differs."""
        return sum(bool(self._failed(name, value, mine)) for name, value in cell.request.items())


def _meets(cell: Cell, cube: Cube) -> bool:
    values = {"arch": cell.arch, "toolchain": cell.toolchain, "base": cell.base, **cell.request}
    return all(values.get(axis) in named for axis, named in cube.items())


def another_arch(cells: Sequence[Cell], arch: str) -> Fit | None:
    """The fit of a .config for an arch that none of these cells, which have the finding, has; else None.

    Nothing else is judged then: the symbols of another arch are others.
    """
    seen = tuple(dict.fromkeys(cell.arch for cell in cells))
    if arch in seen:
        return None
    return Fit(0, cells[0], (Term("arch", seen, arch, arch, seen[0], (), holds=False),))


def nearest_toolchain(known: Mapping[str, Compiler | None], mine: Compiler | None) -> str:
    """The toolchain whose compiler is nearest to this one: its family, then its major version, then the
    order. Where nothing is known of either, the first."""

    def distance(name: str) -> tuple[bool, int]:
        theirs = known[name]
        return (True, 0) if mine is None or theirs is None else mine.distance(theirs)

    return min(known, key=distance)


@dataclass(frozen=True)
class Change:
    """What the missed symbols ask of a .config, and what the tree's conf made of that.

    ``asked`` is what was appended, symbol → value; ``followed`` are other symbols, with (before, after).
    ``unreached`` says why it is not to be had, where it is not; else the new .config is in ``file``.
    """

    asked: Mapping[str, str]
    followed: Mapping[str, tuple[str, str]]
    unreached: tuple[str, ...] = ()
    file: Path | None = None


@dataclass(frozen=True)
class Apart:
    """What else tells a .config from the cell that has the finding. ``symbols`` counts those that differ in
    the two whole configurations, None where the run has lost its own."""

    compiler: Compiler | None
    others: tuple[Other, ...]
    symbols: int | None


@dataclass(frozen=True)
class Answer:
    """Why somebody does or does not see a finding. ``by_itself``: what the run's tree makes of the file
    without any change, symbol → (there, then). All but the fit is missing where the arch is another."""

    given: Given
    finding: Finding
    fit: Fit
    by_itself: Mapping[str, tuple[str, str]] | None = None
    change: Change | None = None
    apart: Apart | None = None
