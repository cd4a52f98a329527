"""A user's own .config against a finding: what it misses, and whether the tree's conf can give it that."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from matrix.catalog.load import Catalog, load_catalog, parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.config_resolver import ConfigResolver, open_config_resolver
from matrix.commands.restore import check_restorable
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import RequestError
from matrix.findings.check_config import (
    ConditionFit,
    ConfigChange,
    ConfigChecker,
    ConfigDifferences,
    ConfigExplanation,
    ResolvedConfig,
    UnprovenSymbol,
    UserConfig,
    find_nearest_toolchain,
    find_unproven_base_symbols,
    fit_other_arch,
)
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun, filter_cells_by_toolchain
from matrix.findings.untried import RunTrial, find_untried_compiler, find_untried_symbols, plan_trial
from matrix.fs import translate_disk_full, write_atomically
from matrix.kconfig.config import Config, ConfigCompiler, parse_origin
from matrix.plan import Request, escape_path_part
from matrix.record.events import EventSink
from matrix.record.run_model import Cell
from matrix.record.states import PROVEN_STATES
from matrix.user_files import expand_user_path, read_user_file, stat_user_path


@dataclass(frozen=True)
class ConfigCheckRequest:
    """The options: the .config, a toolchain, and the file of the changed one; the last two may be empty."""

    config: Path
    toolchain: str = ""
    out: str = ""


def parse_config_request(config: str, toolchain: str, out: str) -> ConfigCheckRequest | None:
    """What was asked, or None without a .config. RequestError for options that need one."""
    if config:
        return ConfigCheckRequest(expand_user_path(config), toolchain, out)
    unused = [name for name, value in (("--toolchain", toolchain), ("--out", out)) if value]
    if unused:
        raise RequestError(f"{unused[0]} needs a .config to hold against the finding", "add --config FILE")
    return None


def load_user_config(path: Path, catalog: Catalog, label: str) -> UserConfig:
    """A user's .config. RequestError with what is wrong with it, which begins with ``label``."""
    try:
        text = read_user_file(path, label, "name a .config").decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{label} is no text",
            "where it is compressed, unpack it first: zcat config.gz > my.config",
        ) from error
    try:
        config, origin = Config.parse(text), parse_origin(text)
    except RequestError as error:
        raise RequestError(f"{label}: {error}", error.hint) from error
    if not config:
        raise RequestError(f"{label} sets no symbol", "name the .config of a build directory")
    arch = catalog.detect_arch(config, origin.arch)
    if arch is None:
        raise RequestError(
            f"{label} does not say which arch it is for",
            "let make write it whole: make ARCH=… olddefconfig, in the directory that it is from",
        )
    return UserConfig(path.absolute(), text, config, origin, arch)


def explain_config(
    stored: StoredRun,
    finding: Finding,
    options: ConfigCheckRequest,
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
) -> ConfigExplanation:
    """Hold a .config against a finding of a run; write the changed one.

    RequestError for a .config, toolchain or file that will not do, before any work; MachineError when conf
    could not be run.
    """
    run = stored.run
    check_restorable(run, "no conf can say what it makes of a .config", stored.name)
    profile = parse_recorded_profile(run.profile, f"the profile of {run.id}")
    catalog = load_catalog().with_profile(profile)
    user_config = load_user_config(options.config, catalog, f"--config {options.config}")
    cells = [cell for cell in run.cells if cell.id in set(finding.cells)]
    absent = {lane.arch for lane in finding.scope.absent}
    other_arch = fit_other_arch(cells, user_config.arch, absent)
    if other_arch is not None:
        return ConfigExplanation(user_config, finding, other_arch)
    cells = filter_cells_by_toolchain(
        finding, [cell for cell in cells if cell.arch == user_config.arch], options.toolchain
    )
    _check_output_free(options)
    case = _ConfigCheck(stored, finding, user_config, profile)
    cells = [cell for cell in cells if cell.toolchain == case.pick_toolchain(cells)]
    with open_config_resolver(stored.run, cells[0], user_config.path, emit, environment) as resolver:
        return _build_explanation(case, cells, options, resolver)


def _check_output_free(options: ConfigCheckRequest) -> None:
    if options.out and stat_user_path(expand_user_path(options.out), f"--out {options.out}"):
        raise RequestError(f"--out {options.out} is there already", "name a file that does not exist yet")


@dataclass(frozen=True)
class _ConfigCheck:
    """A run's finding and a user's .config for an arch on which it was seen."""

    stored: StoredRun
    finding: Finding
    user_config: UserConfig
    profile: Profile

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog().with_profile(self.profile)

    @cached_property
    def built_cells(self) -> list[Cell]:
        """The cells of the .config's arch that show something."""
        mine = (cell for cell in self.stored.run.cells if cell.arch == self.user_config.arch)
        return [cell for cell in mine if cell.state in PROVEN_STATES]

    @property
    def checker(self) -> ConfigChecker:
        tried = {
            axis: {cell.axes.get(axis, "") for cell in self.built_cells} for axis in self.stored.run.axes
        }
        return ConfigChecker(self.catalog, self.stored.run.axes, tried)

    def pick_toolchain(self, cells: list[Cell]) -> str:
        """Pick the cells' toolchain that is nearest to the compiler that the .config was made with."""
        return find_nearest_toolchain(self._find_compilers(cells), self.user_config.origin.compiler)

    def find_origin_toolchain(self, options: ConfigCheckRequest) -> str | None:
        """The run's toolchain that the .config stands for; None where it names no compiler."""
        if options.toolchain or self.user_config.origin.compiler is None:
            return options.toolchain or None
        return self.pick_toolchain(
            [cell for cell in self.stored.run.cells if cell.arch == self.user_config.arch]
        )

    def read_recorded_config(self, cell: Cell) -> str:
        """A cell's .config as the run keeps it, or nothing."""
        try:
            return self.stored.load_config(cell)
        except RequestError:
            return ""

    def find_unproven_symbols(self, fit: ConditionFit, user: ResolvedConfig) -> tuple[UnprovenSymbol, ...]:
        """The symbols that the condition does not name, at values that no cell was planned or shown with."""
        planned = self.checker.find_unproven_symbols(self.finding, fit, self.profile.fixed, user)
        fragment = self._read_base_fragment(fit.cell)
        return (*planned, *find_unproven_base_symbols(fit.cell.base, fragment, user.resolved))

    def _read_base_fragment(self, cell: Cell) -> dict[str, str]:
        """What the only base sets, at the value that it has in this cell; empty where there are several."""
        run = self.stored.run
        if len({each.base for each in run.cells}) > 1 or cell.base not in run.bases:
            return {}
        recorded = Config.parse(self.read_recorded_config(cell))
        planned = {*run.axes, *self.profile.fixed, *cell.fragment}
        fragment = Config.parse("\n".join(run.bases[cell.base].fragment))
        return {
            name: recorded.value_of(name) if recorded else value
            for name, value in fragment.items()
            if name not in planned
        }

    def pick_run_values(self, fit: ConditionFit, unproven: Iterable[UnprovenSymbol]) -> dict[str, str]:
        """The values of these symbols in the cell that has the finding."""
        return {each.symbol: fit.cell.request.get(each.symbol, each.seen[0]) for each in unproven}

    def find_differences(
        self, fit: ConditionFit, unproven: tuple[UnprovenSymbol, ...], user: ResolvedConfig
    ) -> ConfigDifferences:
        """What else differs between a resolved .config and the cell that has the finding."""
        recorded = self.read_recorded_config(fit.cell)
        cell_config = Config.parse(recorded)
        named = [each.symbol for each in unproven]
        compilers = self._find_compilers(self.built_cells).values()
        known = tuple(compiler for compiler in compilers if compiler)
        differences = ConfigDifferences(
            parse_origin(recorded).compiler,
            unproven,
            user.resolved.count_differences(cell_config) if recorded else None,
            find_untried_symbols(user.resolved, cell_config, self._iterate_configs(), named)
            if recorded
            else {},
            tried_compilers=known if len(known) == len(compilers) else None,
            twin=self.checker.find_twin_cell(self.stored.run.cells, fit.cell, user),
        )
        return replace(differences, trial=self._plan_trial(fit, differences))

    def _iterate_configs(self) -> Iterator[Config]:
        """The configurations of the cells with the finding, of the .config's arch."""
        ids = set(self.finding.cells)
        cells = (cell for cell in self.built_cells if cell.id in ids)
        for cell in {cell.config_sha256: cell for cell in cells}.values():
            yield Config.parse(self.read_recorded_config(cell))

    def _plan_trial(self, fit: ConditionFit, differences: ConfigDifferences) -> RunTrial | None:
        """The run that would try the .config's own values; None where no run of kmatrix can."""
        values = {each.symbol: (*each.seen, each.actual) for each in differences.unproven_symbols}
        compiler = find_untried_compiler(self.user_config.origin.compiler, differences.tried_compilers)
        toolchain = self.catalog.find_toolchain(compiler) if compiler else ""
        return plan_trial(self.profile, fit.cell, values, toolchain) if values or toolchain else None

    def _find_compilers(self, cells: list[Cell]) -> dict[str, ConfigCompiler | None]:
        known: dict[str, ConfigCompiler | None] = {}
        for cell in cells:
            known[cell.toolchain] = (
                known.get(cell.toolchain) or parse_origin(self.read_recorded_config(cell)).compiler
            )
        return known


def _build_explanation(
    case: _ConfigCheck, cells: list[Cell], options: ConfigCheckRequest, resolver: ConfigResolver
) -> ConfigExplanation:
    alone = Config.parse(
        str(resolver.resolve_request(Request.from_symbols(*resolver.lane_axes, {}), {}).config)
    )
    resolved = ResolvedConfig(
        case.user_config.arch, case.find_origin_toolchain(options), case.user_config.config, alone
    )
    fit = case.checker.find_closest_fit(case.finding, cells, resolved)
    unproven = case.find_unproven_symbols(fit, resolved)
    # A condition that is met leaves what was never tried: the run's own values of that are the change.
    wanted = fit.missing_symbols or ({} if fit.missed_terms else case.pick_run_values(fit, unproven))
    change, after = _apply_change(case, fit, wanted, alone, options, resolver) if wanted else (None, alone)
    changed = replace(resolved, resolved=after)
    if fit.missing_symbols:
        unproven = case.find_unproven_symbols(fit, changed)
    differences = case.find_differences(fit, unproven, changed)
    return ConfigExplanation(
        case.user_config, case.finding, fit, case.user_config.config.diff(alone), change, differences
    )


def _apply_change(
    case: _ConfigCheck,
    fit: ConditionFit,
    wanted: Mapping[str, str],
    alone: Config,
    options: ConfigCheckRequest,
    resolver: ConfigResolver,
) -> tuple[ConfigChange, Config]:
    """The change as the tree's conf takes it, and the configuration that comes of it."""
    request = Request.from_symbols(*resolver.lane_axes, {**fit.satisfied_symbols, **wanted})
    resolution = resolver.resolve_request(request, fit.satisfied_symbols)
    after = Config.parse(str(resolution.config))
    fragment = resolver.build_resolver(fit.satisfied_symbols).collect_fragment(request)
    followed = {name: pair for name, pair in alone.diff(after).items() if name not in fragment}
    if not resolution.is_reachable:
        return ConfigChange(fragment, followed, resolver.explain_unreached(resolution, after)), after
    path = _write_changed_config(case, options, str(resolution.config))
    return ConfigChange(fragment, followed, file=path), after


def _write_changed_config(case: _ConfigCheck, options: ConfigCheckRequest, text: str) -> Path:
    """Write the changed .config; its path. Its own name holds its digest, so it replaces no other."""
    name = escape_path_part(case.user_config.path.name.removesuffix(".config").strip(".") or "config")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = (
        expand_user_path(options.out)
        if options.out
        else case.stored.directory / f"{case.finding.id}-{name}-{digest}.config"
    )
    try:
        with translate_disk_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}", "name another place: --out FILE"
        ) from error
    return path
