"""Check a .config against a finding's condition: what holds, what it misses, what else differs. Pure.

A symbol means what its knob proves on the .config's arch: `KVM=y` on powerpc is `KVM_BOOK3S_64=y`, too. A
.config names the arch and the compiler that it was made for, which cannot be changed in it. Its base is not
recorded in it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from matrix.catalog.load import Catalog
from matrix.findings.finding import Finding
from matrix.findings.truth_table import Cube
from matrix.findings.untried import RunTrial, find_untried_compiler
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
    that is ``wanted``. ``holds`` is None where a .config does not record it. ``proven``: a neighbour without
    the finding shows that the axis matters, and the run tried ``actual``.
    """

    axis: str
    needed: tuple[str, ...]
    actual: str
    written: str
    wanted: str
    failed_checks: tuple[SymbolCheck, ...]
    holds: bool | None
    proven: bool = True

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
    all of its cells have one value; ``base`` is the one that sets it, empty where the plan does.
    """

    symbol: str
    actual: str
    seen: tuple[str, ...]
    assumed: bool
    base: str = ""


@dataclass(frozen=True)
class ConfigChecker:
    """Checks a .config, with the catalog that has the run's own rows, and the run's axes.

    ``tried`` has the values of each axis with which a cell was built, and all that were planned where it is
    left out.
    """

    catalog: Catalog
    axes: Mapping[str, tuple[str, ...]]
    tried: Mapping[str, Collection[str]] | None = None

    def find_closest_fit(self, finding: Finding, cells: Sequence[Cell], user: ResolvedConfig) -> ConditionFit:
        """The fit to the nearest of a finding's conjunctions. ``cells`` are some of those that have it.

        Fewest missed terms win; then the cell that differs in fewest symbols; then the order of the
        conjunctions, and of the cells.
        """
        proven = [_find_proven_axes(finding, number) for number in range(len(finding.condition))]
        fits = (
            ConditionFit(number, cell, tuple(self._check_terms(cube, cell, user, proven[number])))
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

    def find_twin_cell(self, cells: Sequence[Cell], like: Cell, user: ResolvedConfig) -> Cell | None:
        """The cell that has the .config's value on every symbol's axis, beside another of its lane."""
        lane = [(axis, like.axes[axis]) for axis in LANE_AXES]
        same_lane = (cell for cell in cells if all(cell.axes[axis] == value for axis, value in lane))
        return next((cell for cell in same_lane if not self._count_differing_symbols(cell, user)), None)

    def _check_terms(
        self, cube: Cube, cell: Cell, user: ResolvedConfig, proven: Collection[str]
    ) -> Iterator[TermCheck]:
        for axis, needs in cube.items():
            check_term = self._check_field_term if axis in LANE_AXES else self._check_symbol_term
            term = check_term(axis, needs, cell, user)
            tried = (self.axes if self.tried is None else self.tried).get(axis, ())
            yield replace(term, proven=axis in proven and term.actual in tried)

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


def _find_proven_axes(finding: Finding, cube_index: int) -> frozenset[str]:
    """The axes of a conjunction in which a neighbour without the finding differs alone."""
    return frozenset(
        proof.flip for proof in finding.proof if proof.of == cube_index and proof.has_finding is False
    )


def _is_cell_in_cube(cell: Cell, cube: Cube) -> bool:
    return all(cell.axes.get(axis) in values for axis, values in cube.items())


def find_unproven_base_symbols(
    base: str, fragment: Mapping[str, str], config: Config
) -> tuple[UnprovenSymbol, ...]:
    """The symbols that a base sets in every cell, and that are otherwise in this .config."""
    return tuple(
        UnprovenSymbol(name, has, (value,), assumed=False, base=base)
        for name, value in fragment.items()
        if (has := config.value_of(name)) != value
    )


def fit_other_arch(
    cells: Sequence[Cell], arch: str, absent: Collection[str] | None = None
) -> ConditionFit | None:
    """The fit of a .config whose arch none of these cells, which have the finding, has; else None.

    Only the arch is in it, as another arch has other symbols. ``absent`` are the arches on which it was
    looked for and is absent, where that is known.
    """
    seen = tuple(dict.fromkeys(cell.arch for cell in cells))
    if arch in seen:
        return None
    proven = absent is None or arch in absent
    term = TermCheck("arch", seen, arch, arch, seen[0], (), holds=False, proven=proven)
    return ConditionFit(0, cells[0], (term,))


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

    ``differing_symbols`` counts those of the two whole configurations, None where the run has lost its own;
    ``untried_symbols`` are those at values that no cell with the finding has: symbol → (the .config's, the
    cell's), without ``unproven_symbols``. ``trial`` is the run that would try what can be tried of it all.
    ``tried_compilers`` are those that a cell of the arch was built with, None where that is not known.
    ``twin`` is the cell that has the .config's value on every axis.
    """

    compiler: ConfigCompiler | None
    unproven_symbols: tuple[UnprovenSymbol, ...]
    differing_symbols: int | None
    untried_symbols: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    trial: RunTrial | None = None
    tried_compilers: tuple[ConfigCompiler, ...] | None = None
    twin: Cell | None = None


@dataclass(frozen=True)
class ConfigExplanation:
    """Why a user does or does not see a finding.

    ``changed_by_conf``: what the run's tree makes of the file without any change, symbol → (before, after).
    Where the arch is another, there is only the fit. ``change`` is what the fit misses, or, where it misses
    nothing, the run's own values of the unproven symbols.
    """

    user_config: UserConfig
    finding: Finding
    fit: ConditionFit
    changed_by_conf: Mapping[str, tuple[str, str]] | None = None
    change: ConfigChange | None = None
    differences: ConfigDifferences | None = None

    @property
    def is_met(self) -> bool:
        """Whether the .config misses nothing of the condition, as far as a .config can say."""
        return not self.fit.missed_terms

    @property
    def untried_compiler(self) -> ConfigCompiler | None:
        """The .config's compiler, where no cell of its arch was built with it."""
        if self.differences is None:
            return None
        return find_untried_compiler(self.user_config.origin.compiler, self.differences.tried_compilers)
