"""Somebody's own .config against a finding: what it misses, and whether the tree's conf lets it have that."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from matrix.build.cell import Stages
from matrix.build.lane import LaneDirectory, open_lane
from matrix.build.plan import Lane
from matrix.build.schedule import JobBudget
from matrix.build.work import resolve_in_lane
from matrix.catalog.load import Catalog, load_catalog, parse_recorded_profile
from matrix.catalog.types import Base, Profile, Setting
from matrix.errors import MachineError, RequestError
from matrix.findings.fit import (
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
from matrix.findings.model import Finding
from matrix.jobs.again import ready_again
from matrix.jobs.derive import seen_with
from matrix.jobs.run import World, site_of
from matrix.kconfig.config import Config
from matrix.kconfig.definitions import read_tree_definitions
from matrix.kconfig.origin import ConfigCompiler, parse_origin
from matrix.plan.request import Request, escape_path_part
from matrix.record.events import EventSink, ProgressNote
from matrix.record.files import translate_disk_full, write_atomically
from matrix.record.journal import generate_run_id
from matrix.record.load import load_cell_config
from matrix.record.model import Cell, Run
from matrix.record.outcome import State
from matrix.resolve.make import MakeRunner
from matrix.resolve.reasons import explain_unreached
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolver import Resolver

_BASE = "given"
_THIS_MACHINE = World()


@dataclass(frozen=True)
class Asked:
    """The options of a question: the .config, a toolchain, and the file of the answer; the last two may be
    empty."""

    config: Path
    toolchain: str = ""
    out: str = ""


def asked_with(config: str, toolchain: str, out: str) -> Asked | None:
    """What was asked, or None without a .config. RequestError for options that say nothing without one."""
    if config:
        return Asked(Path(config), toolchain, out)
    given = [name for name, value in (("--toolchain", toolchain), ("--out", out)) if value]
    if given:
        raise RequestError(f"{given[0]} needs a .config to hold against the finding", "add --config FILE")
    return None


def read_config(path: Path, catalog: Catalog) -> UserConfig:
    """A .config that somebody names. RequestError says what is wrong with it."""
    try:
        text = path.expanduser().read_text("utf-8")
    except OSError as error:
        raise RequestError(f"--config {path} cannot be read: {error.strerror}", "name a .config") from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"--config {path} is no text",
            "where it is compressed, unpack it first: zcat config.gz > my.config",
        ) from error
    try:
        config, said = Config.parse(text), parse_origin(text)
    except RequestError as error:
        raise RequestError(f"--config {path}: {error}", error.hint) from error
    if not config:
        raise RequestError(f"--config {path} sets no symbol", "name the .config of a build directory")
    arch = catalog.detect_arch(config, said.arch)
    if arch is None:
        raise RequestError(
            f"--config {path} does not say which arch it is for",
            "let make write it whole: make ARCH=… olddefconfig, in the directory that it is from",
        )
    return UserConfig(path.expanduser().absolute(), text, config, said, arch)


def answer(
    run: Run, directory: Path, finding: Finding, asked: Asked, emit: EventSink, world: World = _THIS_MACHINE
) -> ConfigExplanation:
    """Hold a .config against a finding of the run in this directory; write the changed one.

    RequestError for a .config, toolchain or file that will not do, before any work; MachineError when conf
    could not be run.
    """
    profile = parse_recorded_profile(run.profile, f"the profile of {run.id}")
    catalog = load_catalog().with_profile(profile)
    given = read_config(asked.config, catalog)
    cells = [cell for cell in run.cells if cell.id in set(finding.cells)]
    elsewhere = fit_other_arch(cells, given.arch)
    if elsewhere is not None:
        return ConfigExplanation(given, finding, elsewhere)
    cells = seen_with(finding, [cell for cell in cells if cell.arch == given.arch], asked.toolchain)
    _refuse_taken(asked)
    case = _Case(run, directory, finding, given, profile)
    cells = [cell for cell in cells if cell.toolchain == case.nearest(cells)]
    with _desk(case, cells[0], emit, world) as desk:
        return _answered(case, cells, asked, desk)


def _refuse_taken(asked: Asked) -> None:
    if asked.out and Path(asked.out).exists():
        raise RequestError(f"--out {asked.out} is there already", "name a file that does not exist yet")


@dataclass(frozen=True)
class _Case:
    """A run's finding and somebody's .config for an arch on which it was seen."""

    run: Run
    directory: Path
    finding: Finding
    given: UserConfig
    profile: Profile

    @property
    def ground(self) -> ConfigChecker:
        return ConfigChecker(load_catalog().with_profile(self.profile), self.run.axes)

    def nearest(self, cells: list[Cell]) -> str:
        """The toolchain, of these cells', that is nearest to what the .config was made with."""
        return find_nearest_toolchain(self._compilers(cells), self.given.origin.compiler)

    def made_with(self, asked: Asked) -> str | None:
        """The run's toolchain that the .config stands for; None where it does not say."""
        if asked.toolchain or self.given.origin.compiler is None:
            return asked.toolchain or None
        return self.nearest([cell for cell in self.run.cells if cell.arch == self.given.arch])

    def recorded(self, cell: Cell) -> str:
        """A cell's .config as the run has kept it, or nothing."""
        try:
            return load_cell_config(self.directory, cell)
        except RequestError:
            return ""

    def _compilers(self, cells: list[Cell]) -> dict[str, ConfigCompiler | None]:
        known: dict[str, ConfigCompiler | None] = {}
        for cell in cells:
            known[cell.toolchain] = known.get(cell.toolchain) or parse_origin(self.recorded(cell)).compiler
        return known


def _answered(case: _Case, cells: list[Cell], asked: Asked, desk: "_Desk") -> ConfigExplanation:
    alone = Config.parse(str(desk.resolve(Request.from_symbols(*desk.lane, {}), {}).config))
    mine = ResolvedConfig(case.given.arch, case.made_with(asked), case.given.config, alone)
    ground = case.ground
    fit = ground.find_closest_fit(case.finding, cells, mine)
    change, after = (None, alone) if not fit.missing_symbols else _changed(case, fit, alone, asked, desk)
    there = case.recorded(fit.cell)
    others = ground.find_unproven_symbols(
        case.finding, fit, case.profile.fixed, replace(mine, resolved=after)
    )
    apart = ConfigDifferences(
        parse_origin(there).compiler, others, after.count_differences(Config.parse(there)) if there else None
    )
    return ConfigExplanation(case.given, case.finding, fit, case.given.config.diff(alone), change, apart)


def _changed(
    case: _Case, fit: ConditionFit, alone: Config, asked: Asked, desk: "_Desk"
) -> tuple[ConfigChange, Config]:
    """The change as the tree's conf takes it, and the configuration that comes of it."""
    request = Request.from_symbols(*desk.lane, {**fit.satisfied_symbols, **fit.missing_symbols})
    resolution = desk.resolve(request, fit.satisfied_symbols)
    after = Config.parse(str(resolution.config))
    fragment = desk.resolver(fit.satisfied_symbols).collect_fragment(request)
    followed = {name: pair for name, pair in alone.diff(after).items() if name not in fragment}
    if not resolution.is_reachable:
        return ConfigChange(fragment, followed, desk.why(resolution, after)), after
    return ConfigChange(fragment, followed, file=_written(case, asked, str(resolution.config))), after


def _written(case: _Case, asked: Asked, text: str) -> Path:
    """Where the changed .config is now. Its own name holds its digest, so it takes nobody's place."""
    name = escape_path_part(case.given.path.name.removesuffix(".config").strip(".") or "config")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = Path(asked.out) if asked.out else case.directory / f"{case.finding.id}-{name}-{digest}.config"
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
class _Desk:
    """Where a .config is resolved: a lane's directory, and the container of one toolchain around it."""

    workshop: MakeRunner
    place: LaneDirectory
    catalog: Catalog
    store: Path
    lane: tuple[str, str, str]

    def resolver(self, kept: dict[str, str]) -> Resolver:
        """``kept`` are symbols that have their value already: they are verified, and nothing is set."""
        arch = self.lane[0]
        knobs = {
            name: {arch: {value: Setting(set={}, proof=self.catalog.find_setting(arch, name, value).proof)}}
            for name, value in kept.items()
        }
        merged = {name: {**self.catalog.knobs.get(name, {}), **knob} for name, knob in knobs.items()}
        catalog = replace(self.catalog, knobs={**self.catalog.knobs, **merged})
        return Resolver(self.workshop, catalog, {}, self.store)

    def resolve(self, request: Request, kept: dict[str, str]) -> Resolution:
        """RequestError when the tree's Kconfig refuses, MachineError when it could not be asked."""
        resolution = resolve_in_lane(self.place, self.resolver(kept), request, lambda _: None)
        if resolution.config is None:
            raise _refused(resolution)
        return resolution

    def why(self, resolution: Resolution, config: Config) -> tuple[str, ...]:
        """Why the tree does not give what was asked for."""
        srcarch = self.catalog.arches[self.lane[0]].srcarch
        definitions = read_tree_definitions(self.workshop.context.tree.path, srcarch)
        return explain_unreached(resolution, config, definitions, self.catalog)


def _refused(resolution: Resolution) -> RequestError | MachineError:
    state = resolution.stage.state
    if state is State.FAIL:
        said = next((item.diagnostic.message for item in resolution.diagnostics), "make failed")
        return RequestError(f"the tree's conf takes no .config: {said}", "./inv plan says more")
    return MachineError(f"olddefconfig could not be run: {state}", "./inv doctor looks at this machine")


@contextmanager
def _desk(case: _Case, cell: Cell, emit: EventSink, world: World) -> Iterator[_Desk]:
    """The run's own tree, a cell's image and make line, and the .config as a base."""
    with ready_again(case.run, cell.toolchain, emit, engine=world.engine, cache=world.cache) as ready:
        emit(
            ProgressNote(
                f"Asking the conf of Linux {ready.tree.version} what it makes of {case.given.path.name}."
            )
        )
        catalog = replace(ready.catalog, bases={_BASE: Base(file=str(case.given.path))})
        image = ready.toolchains[cell.toolchain].image_id
        lanes, store = ready.cache.root / "lanes", ready.cache.root / "resolutions"
        lane = Lane(cell.arch, cell.toolchain, _BASE, ())
        key = lane.compute_directory_key(Stages("focus", ()), image, cell.make_variables)
        budget = JobBudget(ready.profile.jobs or ready.about.cpus, 1)
        site = site_of(ready, generate_run_id("explain", datetime.now(UTC)), budget, 1)
        with open_lane(lanes, key, ready.tree, ready.cache, ready.user) as place:
            workshop = MakeRunner(site, image, cell.make_variables, lambda: place.build)
            yield _Desk(workshop, place, catalog, store, (cell.arch, cell.toolchain, _BASE))
