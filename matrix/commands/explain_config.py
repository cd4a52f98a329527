"""A user's own .config against a finding: what it misses, and whether the tree's conf can give it that."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from matrix.builder.cell_build import Stages
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lanes import Lane
from matrix.builder.run_context import Session
from matrix.catalog.load import Catalog, load_catalog, parse_recorded_profile
from matrix.catalog.types import Base, Profile, Setting
from matrix.commands.restore import check_restorable, restore_session
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import MachineError, RequestError
from matrix.findings.check_config import (
    ConditionFit,
    ConfigChange,
    ConfigChecker,
    ConfigDifferences,
    ConfigExplanation,
    ResolvedConfig,
    UserConfig,
    find_nearest_toolchain,
    fit_other_arch,
)
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun, filter_cells_by_toolchain
from matrix.fs import translate_disk_full, write_atomically
from matrix.kconfig.config import Config, ConfigCompiler, parse_origin
from matrix.plan import Request, escape_path_part
from matrix.record.events import EventSink, ProgressNote
from matrix.record.journal import generate_run_id
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.reasons import explain_unreached
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolver import Resolver
from matrix.user_files import expand_user_path, read_user_file, stat_user_path

_CONFIG_BASE = "given"


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


def load_user_config(path: Path, catalog: Catalog) -> UserConfig:
    """A user's .config. RequestError with what is wrong with it."""
    try:
        text = read_user_file(path, f"--config {path}", "name a .config").decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"--config {path} is no text",
            "where it is compressed, unpack it first: zcat config.gz > my.config",
        ) from error
    try:
        config, origin = Config.parse(text), parse_origin(text)
    except RequestError as error:
        raise RequestError(f"--config {path}: {error}", error.hint) from error
    if not config:
        raise RequestError(f"--config {path} sets no symbol", "name the .config of a build directory")
    arch = catalog.detect_arch(config, origin.arch)
    if arch is None:
        raise RequestError(
            f"--config {path} does not say which arch it is for",
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
    user_config = load_user_config(options.config, catalog)
    cells = [cell for cell in run.cells if cell.id in set(finding.cells)]
    other_arch = fit_other_arch(cells, user_config.arch)
    if other_arch is not None:
        return ConfigExplanation(user_config, finding, other_arch)
    cells = filter_cells_by_toolchain(
        finding, [cell for cell in cells if cell.arch == user_config.arch], options.toolchain
    )
    _check_output_free(options)
    case = _ConfigCheck(stored, finding, user_config, profile)
    cells = [cell for cell in cells if cell.toolchain == case.pick_toolchain(cells)]
    with _open_config_resolver(case, cells[0], emit, environment) as resolver:
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

    @property
    def checker(self) -> ConfigChecker:
        return ConfigChecker(load_catalog().with_profile(self.profile), self.stored.run.axes)

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

    def _find_compilers(self, cells: list[Cell]) -> dict[str, ConfigCompiler | None]:
        known: dict[str, ConfigCompiler | None] = {}
        for cell in cells:
            known[cell.toolchain] = (
                known.get(cell.toolchain) or parse_origin(self.read_recorded_config(cell)).compiler
            )
        return known


def _build_explanation(
    case: _ConfigCheck, cells: list[Cell], options: ConfigCheckRequest, resolver: "_ConfigResolver"
) -> ConfigExplanation:
    alone = Config.parse(
        str(resolver.resolve_request(Request.from_symbols(*resolver.lane_axes, {}), {}).config)
    )
    resolved = ResolvedConfig(
        case.user_config.arch, case.find_origin_toolchain(options), case.user_config.config, alone
    )
    checker = case.checker
    fit = checker.find_closest_fit(case.finding, cells, resolved)
    change, after = (
        _apply_change(case, fit, alone, options, resolver) if fit.missing_symbols else (None, alone)
    )
    recorded = case.read_recorded_config(fit.cell)
    unproven = checker.find_unproven_symbols(
        case.finding, fit, case.profile.fixed, replace(resolved, resolved=after)
    )
    differences = ConfigDifferences(
        parse_origin(recorded).compiler,
        unproven,
        after.count_differences(Config.parse(recorded)) if recorded else None,
    )
    return ConfigExplanation(
        case.user_config, case.finding, fit, case.user_config.config.diff(alone), change, differences
    )


def _apply_change(
    case: _ConfigCheck,
    fit: ConditionFit,
    alone: Config,
    options: ConfigCheckRequest,
    resolver: "_ConfigResolver",
) -> tuple[ConfigChange, Config]:
    """The change as the tree's conf takes it, and the configuration that comes of it."""
    request = Request.from_symbols(*resolver.lane_axes, {**fit.satisfied_symbols, **fit.missing_symbols})
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


@dataclass(frozen=True)
class _ConfigResolver:
    """Resolves requests on top of a .config, in a lane's directory and with one toolchain."""

    session: Session
    runner: MakeRunner
    lane_directory: LaneDirectory
    catalog: Catalog
    lane_axes: tuple[str, str, str]

    def build_resolver(self, satisfied: dict[str, str]) -> Resolver:
        """``satisfied`` are symbols that have their value already: they are verified, and nothing is set."""
        arch = self.lane_axes[0]
        knobs = {
            name: {arch: {value: Setting(set={}, proof=self.catalog.find_setting(arch, name, value).proof)}}
            for name, value in satisfied.items()
        }
        merged = {name: {**self.catalog.knobs.get(name, {}), **knob} for name, knob in knobs.items()}
        catalog = replace(self.catalog, knobs={**self.catalog.knobs, **merged})
        return self.session.create_resolver(self.runner, catalog, {})

    def resolve_request(self, request: Request, satisfied: dict[str, str]) -> Resolution:
        """RequestError when the tree's Kconfig refuses, MachineError when make could not be run."""
        self.lane_directory.prepare_configure()
        resolution = self.build_resolver(satisfied).resolve(request, lambda _: None)
        self.lane_directory.finish_step(resolution.stage.state)
        if resolution.config is None:
            raise _build_refusal_error(resolution)
        return resolution

    def explain_unreached(self, resolution: Resolution, config: Config) -> tuple[str, ...]:
        """Why the tree does not give what was asked for."""
        definitions = self.session.read_definitions(self.lane_axes[0])
        return explain_unreached(resolution, config, definitions, self.catalog)


def _build_refusal_error(resolution: Resolution) -> RequestError | MachineError:
    state = resolution.stage.state
    if state is State.FAIL:
        message = next((item.diagnostic.message for item in resolution.diagnostics), "make failed")
        return RequestError(f"the tree's conf takes no .config: {message}", "./inv plan says more")
    return MachineError(f"olddefconfig could not be run: {state}", "./inv doctor looks at this machine")


@contextmanager
def _open_config_resolver(
    case: _ConfigCheck, cell: Cell, emit: EventSink, environment: Environment
) -> Iterator[_ConfigResolver]:
    """Open a resolver with the run's own tree, a cell's image and make line, and the .config as a base."""
    with restore_session(case.stored.run, cell.toolchain, emit, environment) as session:
        emit(
            ProgressNote(
                f"Asking the conf of Linux {session.tree.version} "
                f"what it makes of {case.user_config.path.name}."
            )
        )
        catalog = replace(session.catalog, bases={_CONFIG_BASE: Base(file=str(case.user_config.path))})
        lane = Lane(cell.arch, cell.toolchain, _CONFIG_BASE, ())
        axes, variables = (lane.arch, lane.toolchain, lane.base), cell.make_variables
        steps = session.create_step_runner(generate_run_id("explain", datetime.now(UTC)))
        with session.open_lane(lane, Stages("focus", ()), variables) as directory:
            runner = session.create_make_runner(steps, lane.toolchain, variables, lambda: directory.build)
            yield _ConfigResolver(session, runner, directory, catalog, axes)
