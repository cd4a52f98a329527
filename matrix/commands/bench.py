"""The bench: the same cells built by kmatrix and by other ways, in turn, and what each of them takes.

kmatrix works in a cache of its own, which shares the kernel trees with the user's and is gone at the end, so
that nothing that was ever built helps it or is left behind.

    patches/     what some of the cases apply
    runs/        kmatrix's own runs
    work/        caches and build directories, gone at the end
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from matrix.bench_sample import compute_sample_size, deal_sample, pick_sample, pick_walk
from matrix.bench_times import BenchTable, CellTime, Overhead
from matrix.builder.run_context import Session
from matrix.cache_layout import CacheLayout
from matrix.catalog.types import Profile
from matrix.commands.bench_cases import BenchCase
from matrix.commands.bench_request import BenchRequest
from matrix.commands.bench_results import BenchResults, CaseTimes, describe_row
from matrix.commands.bench_runs import (
    count_compilations,
    group_bench_cells,
    group_by_lane,
    list_remembered_objects,
    sum_make_seconds,
)
from matrix.commands.bench_ways import BenchCell, BenchWay, create_way
from matrix.commands.patch import evaluate_patch
from matrix.commands.patch_request import PatchRequest
from matrix.commands.restore import restore_session
from matrix.commands.run import (
    check_output_unused,
    claim_output_folder,
    create_output_directory,
    run_matrix,
)
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, prepare_session
from matrix.errors import InterruptedRunError, MachineError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.plan import plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.states import UNTRIED_STATES
from matrix.source.cache import SourceCache
from matrix.source.mbox.series import read_series

_WORK_DIRECTORY = "work"


def run_bench(
    profile: Profile,
    request: BenchRequest,
    emit: EventSink,
    on_stop: Callable[[BenchTable], None],
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
) -> BenchTable:
    """Measure, case by case. What is wrong with the request is a RequestError before anything is built, but
    that no cell can be built, which kmatrix's own run shows.

    MachineError where a cell could not be tried, InterruptedRunError after Ctrl-C. Whatever ends it, what was
    measured until then goes to ``on_stop``.
    """
    # What would leave something unbuilt, or forget what was built before, belongs to no measurement.
    profile = profile.model_copy(update={"fresh": False, "deadline": None, "fail_fast": False})
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
        results = BenchResults(request)
        bench = _Bench(inner, request, emit, argv, replace(environment, cache=cache), directory, results)
        try:
            bench.measure_cases()
        except BaseException:
            if results.runs:
                on_stop(results.build_table(profile.jobs))
            raise
        finally:
            remove_tree(work)
        return results.build_table(profile.jobs)


def _prepare_sources(
    profile: Profile, request: BenchRequest, emit: EventSink, environment: Environment
) -> None:
    """Make images and trees that are missing, so that no case's time has that in it.

    RequestError where a case's patch cannot be made for its tree.
    """
    sharing: dict[tuple[str, tuple[Path, ...]], list[BenchCase]] = {}
    for case in request.cases:
        sharing.setdefault((case.pool, case.base_patches), []).append(case)
    for (_, patches), cases in sharing.items():
        based = _add_patches(cases[0].adapt_profile(profile), patches)
        with prepare_session(based, emit, environment) as session:
            for case in cases:
                if case.write_patch is not None:
                    case.write_patch(ForeignDirectory(session.tree.path), 1)
    if request.next_spec:
        with prepare_session(_take_source(profile, request.next_spec), emit, environment):
            pass


def _add_patches(profile: Profile, patches: Sequence[Path]) -> Profile:
    return profile.model_copy(update={"patch": (*profile.patch, *map(str, patches))})


def _take_source(profile: Profile, spec: str) -> Profile:
    return profile.model_copy(update={"source": spec})


@dataclass
class _BenchCache:
    """kmatrix's own cache and runs for some cases. ``built``: base patches → the run that built that base."""

    environment: Environment
    built: dict[tuple[Path, ...], StoredRun] = field(default_factory=dict)

    @property
    def sources(self) -> SourceCache:
        return self.environment.open_cache()


@dataclass
class _Bench:
    """One bench at work. ``_walked``: the pools whose base the ways that keep something have built."""

    profile: Profile
    request: BenchRequest
    emit: EventSink
    argv: Sequence[str]
    environment: Environment
    directory: Path
    results: BenchResults
    _caches: dict[str, _BenchCache] = field(default_factory=dict)
    _walked: set[str] = field(default_factory=set)

    def measure_cases(self) -> None:
        """All cases, in the order of their table. RequestError where no cell can be built."""
        for case in self.request.cases:
            times = CaseTimes(case)
            self.results.times.append(times)
            self._measure_case(times)
            self.emit(ProgressNote(describe_row(self.results.build_row(times))))

    def _measure_case(self, times: CaseTimes) -> None:
        """All ways in turn, and that again, so that what else the machine does meets each of them."""
        # What another version built is on record: a second time it would only be found again.
        repeat = 1 if times.case.is_next else self.request.repeat
        for number in range(1, repeat + 1):
            stored = self._measure_kmatrix(times, number)
            for name in self.request.against:
                way = create_way(name, self._find_work(times.case), self._sources)
                if way.keeps:
                    self._measure_walk(times, way, stored, number)
                else:
                    self._measure_sample(times.case, way, stored, number)

    @property
    def _sources(self) -> SourceCache:
        return self.environment.open_cache()

    def _find_work(self, case: BenchCase) -> Path:
        return self.directory / _WORK_DIRECTORY / case.pool

    def _measure_kmatrix(self, times: CaseTimes, number: int) -> StoredRun:
        """Measure one run or one `patch`; the run that it ended with."""
        case = times.case
        cache = self._open_cache(case)
        build = self._prepare_build(case, cache, number)
        self.emit(ProgressNote(f"{case.name}: kmatrix, repetition {number}"))
        known = list_remembered_objects(cache.sources)
        started, spent = time.monotonic(), _read_cpu_seconds()
        stored = build()
        seconds, spent = time.monotonic() - started, _read_cpu_seconds() - spent
        self.emit(ProgressNote(f"{case.name}: kmatrix took {seconds:.1f} s"))
        times.lanes = {name: len(cells) for name, cells in group_bench_cells(stored).items()}
        times.overhead = Overhead(spent, sum_make_seconds(stored.run))
        times.compilations = count_compilations(stored, list_remembered_objects(cache.sources) - known)
        times.seconds.append(seconds)
        if case.starts_empty:
            cache.built[()] = stored
        self.results.runs.append(stored.run)
        return stored

    def _prepare_build(self, case: BenchCase, cache: _BenchCache, number: int) -> Callable[[], StoredRun]:
        """What is measured of a repetition. All that it starts from is built now."""
        profile = case.adapt_profile(self.profile)
        if case.write_patch is not None:
            file = self._write_patch(case, cache, number)
            return partial(self._judge_patch, case, cache, profile, file)
        if not case.starts_empty:
            self._build_base(cache, profile, ())
        if case.is_next:
            profile = _take_source(profile, self.request.next_spec)
        return partial(self._run, cache, profile)

    def _open_cache(self, case: BenchCase) -> _BenchCache:
        """The cache that the earlier cases of a pool left, or an empty one."""
        if case.starts_empty or case.pool not in self._caches:
            root = self._find_work(case) / "cache"
            remove_tree(root)
            layout = CacheLayout(root, self._sources.layout.root)
            root.mkdir(parents=True)
            own = replace(self.environment, cache=SourceCache(layout), runs=self.directory / "runs")
            self._caches[case.pool] = _BenchCache(own)
        return self._caches[case.pool]

    def _build_base(self, cache: _BenchCache, profile: Profile, patches: tuple[Path, ...]) -> StoredRun:
        """The run that built what a case starts from; it is not measured."""
        if patches not in cache.built:
            self.emit(ProgressNote("Building what is there before; this is not measured."))
            cache.built[patches] = self._run(cache, _add_patches(profile, patches))
        return cache.built[patches]

    def _run(self, cache: _BenchCache, profile: Profile) -> StoredRun:
        stored = run_matrix(profile, self.emit, self.argv, cache.environment)
        return _check_complete(stored)

    def _write_patch(self, case: BenchCase, cache: _BenchCache, number: int) -> Path:
        """The patch of one repetition, as a file; its base is built."""
        base = self._build_base(cache, case.adapt_profile(self.profile), case.base_patches)
        cached = self._sources.find(base.run.source.digest)
        if cached is None or case.write_patch is None:
            raise MachineError("the tree that a case changes is not in the cache any more", "run it again")
        file = self.directory / "patches" / f"{case.name}-{number}.patch"
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, case.write_patch(ForeignDirectory(cached.path), number))
        return file

    def _judge_patch(self, case: BenchCase, cache: _BenchCache, profile: Profile, file: Path) -> StoredRun:
        request = PatchRequest(read_series(str(file)), tuple(map(str, case.base_patches)))
        result = evaluate_patch(profile, request, self.emit, self.argv, cache.environment)
        return _check_complete(result.runs[-1])

    def _measure_sample(self, case: BenchCase, way: BenchWay, stored: StoredRun, number: int) -> None:
        """This case's part of its pool's sample: what a way that keeps nothing takes is the same in all."""
        sharing = [item.name for item in self.request.cases if item.pool == case.pool]
        lanes = list(group_bench_cells(stored).values())
        count = compute_sample_size(self.request.sample, len(lanes), len(sharing))
        picked = pick_sample(lanes, count, number - 1)
        cells = deal_sample(picked, sharing.index(case.name), len(sharing))
        pooled = self.results.pooled.setdefault((case.pool, way.name), [])
        # One by one: what was measured stays when a later one fails.
        for time_of_cell in self._build_cells(way, case, stored, cells):
            pooled.append(time_of_cell)

    def _measure_walk(self, times: CaseTimes, way: BenchWay, stored: StoredRun, number: int) -> None:
        case = times.case
        if case.starts_empty:
            remove_tree(self._find_work(case) / way.name)
        elif case.pool not in self._walked:
            base = self._build_base(self._caches[case.pool], case.adapt_profile(self.profile), ())
            list(self._build_cells(way, case, base, self._pick_walk(base, number)))
        self._walked.add(case.pool)
        built = list(self._build_cells(way, case, stored, self._pick_walk(stored, number)))
        times.add_walk(way.name, built)

    def _pick_walk(self, stored: StoredRun, number: int) -> list[BenchCell]:
        lanes = list(group_bench_cells(stored).values())
        return [cell for lane in pick_walk(lanes, self.request.sample, number - 1) for cell in lane]

    def _build_cells(
        self, way: BenchWay, case: BenchCase, stored: StoredRun, cells: Sequence[BenchCell]
    ) -> Iterator[CellTime]:
        """Build some cells of a run, lane by lane, where its own tree and images are."""
        environment = self._caches[case.pool].environment
        for name, lane in group_by_lane(cells).items():
            self.emit(ProgressNote(f"{case.name}: {way.name}, {len(lane)} of {name}"))
            with restore_session(stored.run, lane[0].cell.toolchain, self.emit, environment) as session:
                for time_of_cell in way.build_cells(_leave_out_ccache(session), lane):
                    self.emit(ProgressNote(_describe_time(case, way, time_of_cell)))
                    yield time_of_cell


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


def _describe_time(case: BenchCase, way: BenchWay, time_of_cell: CellTime) -> str:
    ended = "" if time_of_cell.agrees else ", did not end as kmatrix's own"
    return f"{case.name}: {way.name} took {time_of_cell.seconds:.1f} s for {time_of_cell.cell}{ended}"


def _read_cpu_seconds() -> float:
    """CPU seconds until now, of this process and those that it started and that have ended."""
    return sum(os.times()[:4])
