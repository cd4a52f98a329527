"""Check a .config against a finding's condition: what holds, what it misses, what else differs. Pure.

A symbol means what its knob proves on the .config's arch: `KVM=y` on powerpc is `KVM_BOOK3S_64=y`, too. A
.config names the arch and the compiler that it was made for, which cannot be changed in it. Its base is not
recorded in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.findings.finding import Finding
from matrix.findings.truth_table import Cube
from matrix.kconfig.config import Config, ConfigCompiler, ConfigOrigin, SymbolCheck, verify_symbols
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell


@dataclass(frozen=True)
class UserConfig:
    """A user's .config: the file, its text, its symbols, and the arch that it is for."""

    path: Path
    text: str
    config: Config
    origin: ConfigOrigin
    arch: str


@dataclass(frozen=True)
class ResolvedConfig:
    """A .config on the axes of a run.

    ``written`` is the file as it was given, ``resolved`` what the run's tree makes of it. ``toolchain`` is
    the run's own that it was made with, as far as that is known.
    """

    arch: str
    toolchain: str | None
    written: Config
    resolved: Config


@dataclass(frozen=True)
class TermCheck:
    """One axis of a conjunction: it needs one of the values ``needed``, ``actual`` is the .config's.

    ``written`` is the file's value before the tree's conf was run. ``failed_checks`` are those of the value
    that is ``wanted``. ``holds`` is None where a .config does not record it.
    """

    axis: str
    needed: tuple[str, ...]
    actual: str
    written: str
    wanted: str
    failed_checks: tuple[SymbolCheck, ...]
    holds: bool | None

    @property
    def is_symbol(self) -> bool:
        return self.axis not in LANE_AXES


@dataclass(frozen=True)
class ConditionFit:
    """A .config against one conjunction, and the cell with the finding that it is nearest to."""

    cube_index: int
    cell: Cell
    terms: tuple[TermCheck, ...]

    @property
    def missed_terms(self) -> tuple[TermCheck, ...]:
        return tuple(term for term in self.terms if term.holds is False)

    @property
    def missing_symbols(self) -> dict[str, str]:
        """Symbol → value, for every symbol that it misses."""
        return {term.axis: term.wanted for term in self.missed_terms if term.is_symbol}

    @property
    def satisfied_symbols(self) -> dict[str, str]:
        """Symbol → value, for every symbol that holds already."""
        return {term.axis: term.actual for term in self.terms if term.holds and term.is_symbol}


@dataclass(frozen=True)
class UnprovenSymbol:
    """A symbol that no term names, at a value at which the finding was never seen.

    ``assumed``: the run has cells with other values, and none of them shows whether they matter. Otherwise
    all of its cells have one value.
    """

    symbol: str
    actual: str
    seen: tuple[str, ...]
    assumed: bool


@dataclass(frozen=True)
class ConfigChecker:
    """Checks a .config, with the catalog that has the run's own rows, and the run's axes."""

    catalog: Catalog
    axes: Mapping[str, tuple[str, ...]]

    def find_closest_fit(self, finding: Finding, cells: Sequence[Cell], user: ResolvedConfig) -> ConditionFit:
        """The fit to the nearest of a finding's conjunctions. ``cells`` are some of those that have it.

        Fewest missed terms win; then the cell that differs in fewest symbols; then the order of the
        conjunctions, and of the cells.
        """
        fits = (
            ConditionFit(number, cell, tuple(self._check_terms(cube, cell, user)))
            for number, cube in enumerate(finding.condition)
            for cell in cells
            if _is_cell_in_cube(cell, cube)
        )
        return min(
            fits, key=lambda fit: (len(fit.missed_terms), self._count_differing_symbols(fit.cell, user))
        )

    def find_unproven_symbols(
        self, finding: Finding, fit: ConditionFit, fixed: Mapping[str, str], user: ResolvedConfig
    ) -> tuple[UnprovenSymbol, ...]:
        """The symbols that the condition does not name, and that may matter. ``fixed`` are the run's."""
        assumed = ((a.axis, a.seen, True) for a in finding.assumes if a.of == fit.cube_index)
        one_valued = {**finding.context, **fixed}
        context = ((name, (value,), False) for name, value in one_valued.items())
        return tuple(
            UnprovenSymbol(name, has, seen, unproven)
            for name, seen, unproven in (*assumed, *context)
            if name not in LANE_AXES
            and (has := self._read_symbol_value(name, user.arch, user.resolved, seen)) not in seen
        )

    def _check_terms(self, cube: Cube, cell: Cell, user: ResolvedConfig) -> Iterator[TermCheck]:
        for axis, needs in cube.items():
            check_term = self._check_field_term if axis in LANE_AXES else self._check_symbol_term
            yield check_term(axis, needs, cell, user)

    def _check_field_term(
        self, axis: str, needs: tuple[str, ...], cell: Cell, user: ResolvedConfig
    ) -> TermCheck:
        has = {"arch": user.arch, "toolchain": user.toolchain}.get(axis)
        holds = None if has is None else has in needs
        return TermCheck(axis, needs, has or "", has or "", cell.axes[axis], (), holds)

    def _check_symbol_term(
        self, axis: str, needs: tuple[str, ...], cell: Cell, user: ResolvedConfig
    ) -> TermCheck:
        wanted = cell.request[axis]
        has, written = (
            self._read_symbol_value(axis, user.arch, config, needs)
            for config in (user.resolved, user.written)
        )
        # A symbol's own value may be one that is needed, and yet not proven: KVM=m on x86 without KVM_INTEL.
        holds = has in needs and not self._find_failed_checks(axis, has, user)
        lacks = () if holds else self._find_failed_checks(axis, wanted, user)
        return TermCheck(axis, needs, has, written, wanted, lacks, holds)

    def _read_symbol_value(self, symbol: str, arch: str, config: Config, first: Sequence[str]) -> str:
        """A symbol's value, of which ``first`` are tried before the axis's others."""
        values = dict.fromkeys([*first, *self.axes.get(symbol, ())])
        return self.catalog.match_symbol_value(arch, symbol, values, config)

    def _find_failed_checks(self, symbol: str, value: str, user: ResolvedConfig) -> tuple[SymbolCheck, ...]:
        checks = verify_symbols(self.catalog.find_setting(user.arch, symbol, value).proof, user.resolved)
        return tuple(check for check in checks if not check.is_satisfied)

    def _count_differing_symbols(self, cell: Cell, user: ResolvedConfig) -> int:
        """In how many of its symbols a cell differs."""
        return sum(bool(self._find_failed_checks(name, value, user)) for name, value in cell.request.items())


def _is_cell_in_cube(cell: Cell, cube: Cube) -> bool:
    return all(cell.axes.get(axis) in values for axis, values in cube.items())


def fit_other_arch(cells: Sequence[Cell], arch: str) -> ConditionFit | None:
    """The fit of a .config whose arch none of these cells, which have the finding, has; else None.

    Only the arch is in it, as another arch has other symbols.
    """
    seen = tuple(dict.fromkeys(cell.arch for cell in cells))
    if arch in seen:
        return None
    return ConditionFit(0, cells[0], (TermCheck("arch", seen, arch, arch, seen[0], (), holds=False),))


def find_nearest_toolchain(
    known: Mapping[str, ConfigCompiler | None], compiler: ConfigCompiler | None
) -> str:
    """The toolchain whose compiler is nearest to this one: by family, then by major version, then by order.

    It is the first where the compiler of either is not known.
    """

    def measure_distance(name: str) -> tuple[bool, int]:
        candidate = known[name]
        if compiler is None or candidate is None:
            return (True, 0)
        return compiler.measure_distance(candidate)

    return min(known, key=measure_distance)


@dataclass(frozen=True)
class ConfigChange:
    """The change of a .config that the missed symbols require, and what the tree's conf made of that.

    ``requested`` is what was appended, symbol → value; ``side_effects`` are other symbols, with (before,
    after). Where the change cannot be had there are ``unreachable_reasons``, else the new .config is in
    ``file``.
    """

    requested: Mapping[str, str]
    side_effects: Mapping[str, tuple[str, str]]
    unreachable_reasons: tuple[str, ...] = ()
    file: Path | None = None


@dataclass(frozen=True)
class ConfigDifferences:
    """What else differs between a .config and the cell that has the finding.

    ``differing_symbols`` counts those of the two whole configurations, None where the run has lost its own.
    """

    compiler: ConfigCompiler | None
    unproven_symbols: tuple[UnprovenSymbol, ...]
    differing_symbols: int | None


@dataclass(frozen=True)
class ConfigExplanation:
    """Why a user does or does not see a finding.

    ``changed_by_conf``: what the run's tree makes of the file without any change, symbol → (before, after).
    Where the arch is another, there is only the fit.
    """

    user_config: UserConfig
    finding: Finding
    fit: ConditionFit
    changed_by_conf: Mapping[str, tuple[str, str]] | None = None
    change: ConfigChange | None = None
    differences: ConfigDifferences | None = None
