"""The bench: the same cells built by kmatrix and by other ways, in turn, and what each of them takes.

kmatrix works in a cache of its own, which shares the kernel trees with the user's and is gone at the end, so
that nothing that was ever built helps it or is left behind.

    patches/     what some of the cases apply
    runs/        kmatrix's own runs
    work/        caches and build directories, gone at the end
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path

from matrix.bench_times import (
    BenchTable,
    CaseRow,
    CellTime,
    Compilations,
    Estimate,
    WayRow,
    compute_ratio,
    estimate_independent,
    estimate_walk,
    pick_sample,
)
from matrix.builder.run_context import Session
from matrix.cache_layout import CacheLayout
from matrix.catalog.types import Profile
from matrix.commands.bench_cases import CASES, BenchCase
from matrix.commands.bench_ways import WAY_NAMES, BenchCell, BenchWay, create_way
from matrix.commands.patch import PatchRequest, evaluate_patch
from matrix.commands.restore import restore_session
from matrix.commands.run import (
    check_output_unused,
    claim_output_folder,
    create_output_directory,
    run_matrix,
)
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, prepare_session
from matrix.commands.settings import parse_number, split_words
from matrix.errors import InterruptedRunError, MachineError, RequestError, format_nearest
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.memory.eviction import list_holdings
from matrix.plan import plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_model import Cell, Run
from matrix.record.states import UNTRIED_STATES, Evidence, State
from matrix.source.cache import SourceCache
from matrix.source.mbox.series import read_series
from matrix.source.spec import parse_source_spec

MAX_REPEAT = 100
_WORK_DIRECTORY = "work"


@dataclass(frozen=True)
class BenchRequest:
    """What is measured: these cases against these ways, each ``repeat`` times.

    ``sample``: cells that each other way builds in a repetition, 0 for all. ``next_spec``: the source of the
    case `next`.
    """

    cases: tuple[BenchCase, ...]
    against: tuple[str, ...]
    repeat: int
    sample: int
    next_spec: str = ""


def parse_bench_request(
    case: Sequence[str], against: Sequence[str], repeat: str, sample: str, next_spec: str
) -> BenchRequest:
    """The request in the task's options. RequestError for an unknown name, or a number out of its range."""
    known = [item.name for item in CASES if next_spec or not item.is_next]
    names = _choose_names("case", case, tuple(item.name for item in CASES)) or known
    if "next" in names and not next_spec:
        raise RequestError("the case next needs another version of the tree", "name it: --next SPEC")
    if next_spec:
        parse_source_spec(next_spec)
    return BenchRequest(
        cases=tuple(item for item in CASES if item.name in names),
        against=tuple(_choose_names("against", against, WAY_NAMES) or WAY_NAMES),
        repeat=_parse_count("repeat", repeat, 1),
        sample=_parse_count("sample", sample, 0),
        next_spec=next_spec,
    )


def _choose_names(option: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(split_words(given)))
    for name in names:
        if name not in known:
            raise RequestError(
                f"--{option}: there is no {name!r}{format_nearest(name, known)}",
                f"it takes {', '.join(known)}",
            )
    return names


def _parse_count(option: str, text: str, least: int) -> int:
    try:
        count = parse_number([text])
    except RequestError as error:
        raise RequestError(f"--{option}: {error}", error.hint) from error
    most = MAX_REPEAT if option == "repeat" else 10**6
    if not least <= count <= most:
        raise RequestError(f"--{option}: expected a number from {least} to {most}, got {count}")
    return count


def run_bench(
    profile: Profile,
    request: BenchRequest,
    emit: EventSink,
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
) -> BenchTable:
    """Measure, case by case. All that is wrong with the request is a RequestError before anything is built.

    MachineError where a cell could not be tried, InterruptedRunError after Ctrl-C.
    """
    cache = environment.open_cache()
    check_output_unused(profile)
    for case in request.cases:
        case.check_files()
        plan_requests(case.adapt_profile(profile))
    for name in request.against:
        create_way(name, Path(), cache)
    # No sweep may take the trees away, which are in the user's cache.
    with cache.lock_shared():
        _prepare_sources(profile, request, emit, environment)
        directory = create_output_directory(
            profile, f"{profile.name}-bench", environment.runs, datetime.now(UTC)
        )
        work = claim_output_folder(directory, _WORK_DIRECTORY)
        inner = profile.model_copy(update={"out": None})
        bench = _Bench(inner, request, emit, argv, replace(environment, cache=cache), directory)
        try:
            return bench.measure_cases()
        finally:
            remove_tree(work)


def _prepare_sources(
    profile: Profile, request: BenchRequest, emit: EventSink, environment: Environment
) -> None:
    """Make images and fetch trees that are missing, so that no case's time has that in it."""
    for case in {case.pool: case for case in request.cases}.values():
        with prepare_session(case.adapt_profile(profile), emit, environment):
            pass
    if request.next_spec:
        with prepare_session(_take_source(profile, request.next_spec), emit, environment):
            pass


def _take_source(profile: Profile, spec: str) -> Profile:
    return profile.model_copy(update={"source": spec})


@dataclass
class BenchWorld:
    """kmatrix's own cache and runs for some cases. ``built``: base patches → the run that built that base."""

    environment: Environment
    built: dict[tuple[Path, ...], StoredRun] = field(default_factory=dict)

    def count_objects(self) -> int:
        """How many different objects are remembered in it."""
        holdings = list_holdings(self.environment.open_cache().layout.memory)
        return sum(holding.entries for holding in holdings if holding.kind == "object")


@dataclass
class _CaseTimes:
    """What was measured of a case. ``lanes``: the number of cells of each; ``walks``: the estimates of the
    ways that keep something."""

    case: BenchCase
    seconds: list[float] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    walks: dict[str, list[Estimate]] = field(default_factory=dict)
    unlike: dict[str, int] = field(default_factory=dict)
    compilations: Compilations = field(default_factory=lambda: Compilations(0))


@dataclass
class _Bench:
    """One bench at work. ``pooled``: what ways that keep nothing took for single cells, by pool and way."""

    profile: Profile
    request: BenchRequest
    emit: EventSink
    argv: Sequence[str]
    environment: Environment
    directory: Path
    _worlds: dict[str, BenchWorld] = field(default_factory=dict)
    _pooled: dict[tuple[str, str], list[CellTime]] = field(default_factory=dict)
    _walked: set[str] = field(default_factory=set)
    _shown: list[Run] = field(default_factory=list)

    def measure_cases(self) -> BenchTable:
        """All cases, in the order of their table."""
        measured = [self._measure_case(case) for case in self.request.cases]
        first = self._shown[0]
        toolchains = {name: record for run in self._shown for name, record in run.toolchains.items()}
        return BenchTable(
            host=first.host,
            source=first.source,
            compilers={
                name: next(iter(record.compilers.values())).version for name, record in toolchains.items()
            },
            jobs=self.profile.jobs or first.host.cpus,
            repeat=self.request.repeat,
            sample=self.request.sample,
            rows=tuple(map(self._build_row, measured)),
        )

    def _measure_case(self, case: BenchCase) -> _CaseTimes:
        """All ways in turn, and that again, so that what else the machine does meets each of them."""
        times = _CaseTimes(case)
        for number in range(1, self.request.repeat + 1):
            stored = self._measure_kmatrix(times, number)
            cells = list_bench_cells(stored)
            times.lanes = {name: len(list(group)) for name, group in _group_by_lane(cells)}
            for name in self.request.against:
                self._measure_way(
                    times, create_way(name, self._find_work(case), self._sources), stored, number
                )
        return times

    @property
    def _sources(self) -> SourceCache:
        return self.environment.open_cache()

    def _find_work(self, case: BenchCase) -> Path:
        return self.directory / _WORK_DIRECTORY / case.pool

    def _measure_kmatrix(self, times: _CaseTimes, number: int) -> StoredRun:
        """Measure one run or one `patch`; the run that it ended with."""
        case = times.case
        profile = case.adapt_profile(self.profile)
        world = self._open_world(case)
        build = partial(self._run, world, profile)
        if case.write_patch is not None:
            build = partial(self._judge_patch, case, world, profile, self._write_patch(case, world, number))
        elif not case.starts_empty:
            self._build_base(world, profile, ())
        if case.is_next:
            build = partial(self._run, world, _take_source(profile, self.request.next_spec))
        self.emit(ProgressNote(f"{case.name}: kmatrix, {number} of {self.request.repeat}"))
        known, started = world.count_objects(), time.monotonic()
        stored = build()
        seconds = time.monotonic() - started
        self.emit(ProgressNote(f"{case.name}: kmatrix took {seconds:.1f} s"))
        times.seconds.append(seconds)
        times.compilations = count_compilations(stored.run, world.count_objects() - known)
        if case.starts_empty:
            world.built[()] = stored
        self._shown.append(stored.run)
        return stored

    def _open_world(self, case: BenchCase) -> BenchWorld:
        """The cache that the earlier cases of a pool left, or an empty one."""
        if case.starts_empty or case.pool not in self._worlds:
            root = self._find_work(case) / "cache"
            remove_tree(root)
            layout = CacheLayout(root, self._sources.layout.root)
            root.mkdir(parents=True)
            own = replace(self.environment, cache=SourceCache(layout), runs=self.directory / "runs")
            self._worlds[case.pool] = BenchWorld(own)
        return self._worlds[case.pool]

    def _build_base(self, world: BenchWorld, profile: Profile, patches: tuple[Path, ...]) -> StoredRun:
        """The run that built what a case starts from; it is not measured."""
        if patches not in world.built:
            self.emit(ProgressNote("Building what is there before; this is not measured."))
            base = profile.model_copy(update={"patch": (*profile.patch, *map(str, patches))})
            world.built[patches] = self._run(world, base)
        return world.built[patches]

    def _run(self, world: BenchWorld, profile: Profile) -> StoredRun:
        stored = run_matrix(profile, self.emit, self.argv, world.environment)
        return _check_complete(stored)

    def _write_patch(self, case: BenchCase, world: BenchWorld, number: int) -> Path:
        """The patch of one repetition, as a file; its base is built."""
        base = self._build_base(world, case.adapt_profile(self.profile), case.base_patches)
        cached = self._sources.find(base.run.source.digest)
        if cached is None or case.write_patch is None:
            raise MachineError("the tree that a case changes is not in the cache any more", "run it again")
        file = self.directory / "patches" / f"{case.name}-{number}.patch"
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, case.write_patch(ForeignDirectory(cached.path), number))
        return file

    def _judge_patch(self, case: BenchCase, world: BenchWorld, profile: Profile, file: Path) -> StoredRun:
        request = PatchRequest(read_series(str(file)), tuple(map(str, case.base_patches)))
        result = evaluate_patch(profile, request, self.emit, self.argv, world.environment)
        return _check_complete(result.runs[-1])

    def _measure_way(self, times: _CaseTimes, way: BenchWay, stored: StoredRun, number: int) -> None:
        case, cells = times.case, list_bench_cells(stored)
        if way.keeps:
            self._measure_walk(times, way, stored)
            return
        picked = self._pick_cells(case, cells, number)
        built = self._build_cells(way, case, stored, picked)
        self._pooled.setdefault((case.pool, way.name), []).extend(built)

    def _pick_cells(self, case: BenchCase, cells: Sequence[BenchCell], number: int) -> Sequence[BenchCell]:
        """This case's share of the sample: what a way that keeps nothing takes is the same in all of them."""
        sharing = [item.name for item in self.request.cases if item.pool == case.pool]
        picked = pick_sample(cells, self.request.sample, number - 1)
        return picked[sharing.index(case.name) :: len(sharing)]

    def _measure_walk(self, times: _CaseTimes, way: BenchWay, stored: StoredRun) -> None:
        case = times.case
        if case.starts_empty:
            remove_tree(self._find_work(case) / way.name)
        elif case.pool not in self._walked:
            base = self._build_base(self._worlds[case.pool], case.adapt_profile(self.profile), ())
            self._build_cells(way, case, base, self._pick_walk(list_bench_cells(base)))
        self._walked.add(case.pool)
        built = self._build_cells(way, case, stored, self._pick_walk(list_bench_cells(stored)))
        times.unlike[way.name] = times.unlike.get(way.name, 0) + sum(not time.agrees for time in built)
        estimate = estimate_walk(built, times.lanes, fresh=case.starts_empty)
        times.walks.setdefault(way.name, []).extend([estimate] if estimate else [])

    def _pick_walk(self, cells: Sequence[BenchCell]) -> list[BenchCell]:
        """The first cells of each lane, in their order."""
        lanes = [list(group) for _, group in _group_by_lane(cells)]
        count = math.ceil(self.request.sample / len(lanes)) or len(cells)
        return [cell for lane in lanes for cell in lane[:count]]

    def _build_cells(
        self, way: BenchWay, case: BenchCase, stored: StoredRun, cells: Sequence[BenchCell]
    ) -> list[CellTime]:
        """Build some cells of a run, lane by lane, where its own tree and images are."""
        built: list[CellTime] = []
        environment = self._worlds[case.pool].environment
        for name, group in _group_by_lane(cells):
            lane = list(group)
            self.emit(ProgressNote(f"{case.name}: {way.name}, {len(lane)} of {name}"))
            with restore_session(stored.run, lane[0].cell.toolchain, self.emit, environment) as session:
                built += way.build_cells(_leave_out_ccache(session), lane)
        return built

    def _build_row(self, times: _CaseTimes) -> CaseRow:
        case, cells = times.case, sum(times.lanes.values())
        return CaseRow(
            name=case.name,
            title=case.title,
            target=case.target,
            cells=cells,
            seconds=tuple(times.seconds),
            ways=tuple(self._build_way_row(times, name, cells) for name in self.request.against),
            compilations=times.compilations,
        )

    def _build_way_row(self, times: _CaseTimes, way: str, cells: int) -> WayRow:
        pooled = self._pooled.get((times.case.pool, way))
        if pooled is None:
            estimates, unlike = times.walks.get(way, []), times.unlike.get(way, 0)
        else:
            estimate = estimate_independent(pooled, cells)
            estimates, unlike = [estimate] if estimate else [], sum(not time.agrees for time in pooled)
        return WayRow(way, tuple(estimates), compute_ratio(times.seconds, estimates), unlike)


def _leave_out_ccache(session: Session) -> Session:
    """The same session, which lets no other way find what ccache kept of kmatrix's builds."""
    return replace(session, profile=session.profile.model_copy(update={"ccache": False}))


def _check_complete(stored: StoredRun) -> StoredRun:
    """The same run, with its findings written, where every cell came to its end."""
    if stored.run.interrupted:
        raise InterruptedRunError(f"interrupted; the runs until then are kept beside {stored.directory}")
    for cell in stored.run.cells:
        if cell.state in UNTRIED_STATES:
            raise MachineError(
                f"kmatrix itself could not try {cell.id}, so there is nothing to compare: {cell.reason}",
                "./inv doctor looks at this machine",
            )
    stored.write_findings()
    return stored


def list_bench_cells(stored: StoredRun) -> list[BenchCell]:
    """The cells of a run that every way builds, in plan order: each configuration of a lane once."""
    cells: dict[tuple[str, ...], Cell] = {}
    for cell in stored.run.cells:
        if cell.state is not State.UNREACHABLE and cell.config_sha256 is not None:
            cells.setdefault((cell.arch, cell.toolchain, cell.base, cell.config_sha256), cell)
    return [BenchCell(cell, stored.load_config(cell)) for cell in cells.values()]


def _group_by_lane(cells: Sequence[BenchCell]) -> Iterator[tuple[str, Iterator[BenchCell]]]:
    return groupby(cells, key=lambda cell: cell.lane.name)


def count_compilations(run: Run, remembered: int) -> Compilations:
    """How many objects a run compiled, in the cells that it built itself. ``remembered``: how many different
    ones are remembered since; 0 where nothing is."""
    built = [cell for cell in run.cells if cell.evidence is Evidence.BUILT]
    return Compilations(sum(stage.compiled for cell in built for stage in cell.stages), remembered or None)
