"""The main job: plan, build, record. ``plan`` is the same without the building."""

import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from matrix.build.before import ReusableRun, load_reusable_run
from matrix.build.cell import Stages
from matrix.build.plan import Lane, RunContext, group_into_lanes
from matrix.build.row import create_blank_cell
from matrix.build.schedule import JobBudget, run_lanes
from matrix.catalog.types import Profile, parse_duration, parse_size
from matrix.engine.engine import ContainerLimits, Engine
from matrix.jobs.prepare import (
    ROOT,
    Ready,
    base_record,
    focus_of,
    host_record,
    prepare,
    source_record,
    tool_record,
)
from matrix.kconfig.definitions import Definitions, read_tree_definitions
from matrix.plan.product import compute_plan_digest, list_axes, plan_requests
from matrix.plan.request import Request
from matrix.record.events import EventSink, ProgressNote, RunStarted
from matrix.record.journal import (
    Journal,
    check_directory_unused,
    claim_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.model import BaseRecord, Run
from matrix.record.outcome import State, compute_run_exit_code
from matrix.resolve.make import MakeContext
from matrix.resolve.resolution import collect_fragment_symbols, collect_proof_symbols
from matrix.source.cache import SourceCache

# What one container may leave to the others and to the machine itself, in parts of its memory.
_MEMORY_USED = 0.9


@dataclass(frozen=True)
class World:
    """The places a job reaches: an engine and a cache of somebody's choosing, or this machine's."""

    engine: Engine | None = None
    cache: SourceCache | None = None
    runs: Path = ROOT / "runs"


def run(
    profile: Profile,
    emit: EventSink,
    argv: Sequence[str] = (),
    world: World = World(),
    before: tuple[Run, Path] | None = None,
) -> tuple[Run, Path]:
    """Plan, build and record one run; returns it with its directory.

    ``before`` is what this returned for the tree before a change: cells that the change does not reach are
    taken over from there (`unaffected`). The record is written however this ends: after Ctrl-C, too, every
    planned cell has its row.
    """
    points = plan_requests(profile)
    now = datetime.now(UTC)
    directory = run_directory(profile, profile.name, world.runs, now)
    check_directory_unused(directory)
    with prepare(profile, emit, engine=world.engine, cache=world.cache) as ready:
        _refuse_conflicts(ready, points)
        claim_run_directory(directory)
        name = directory.name if profile.out is None else generate_run_id(profile.name, now)
        record = _blank_run(name, ready, points, now, argv)
        if profile.out is None:
            link_latest_run(directory)
        known = _usable(before, ready, emit) if before else None
        return _execute(ready, points, record, directory, emit, build=True, before=known), directory


def plan(profile: Profile, emit: EventSink, world: World = World()) -> Run:
    """Resolve every request and record nothing: what would be built, and what cannot be, and why."""
    points = plan_requests(profile)
    now = datetime.now(UTC)
    with (
        prepare(profile, emit, engine=world.engine, cache=world.cache, make=False) as ready,
        TemporaryDirectory(prefix="kmatrix-plan-") as place,
    ):
        _refuse_conflicts(ready, points)
        record = _blank_run(generate_run_id("plan", now), ready, points, now, ())
        return _execute(ready, points, record, Path(place), emit, build=False)


def plan_code(planned: Run) -> int:
    """A plan's exit code: 0 when every request is known to be reachable or not."""
    open_ = [c.state for c in planned.cells if c.state is not State.UNREACHABLE and not c.is_reachable]
    known = not open_ and not planned.interrupted
    return 0 if known else compute_run_exit_code(open_, interrupted=planned.interrupted)


def _refuse_conflicts(ready: Ready, points: Sequence[Request]) -> None:
    """Knobs that want different values of one symbol: refused before anything is written."""
    for point in points:
        collect_fragment_symbols(point, ready.catalog, ready.profile.fixed)
        collect_proof_symbols(point, ready.catalog, ready.profile.fixed)


def run_directory(profile: Profile, title: str, runs: Path, now: datetime) -> Path:
    """Where a run that is called so is kept: ``--out``, or a new directory under ``runs``."""
    if profile.out is not None:
        return Path(profile.out).absolute()
    name = generate_run_id(title, now)
    taken = (runs / (name if number == 1 else f"{name}.{number}") for number in count(1))
    return next(path for path in taken if not path.exists())


def _blank_run(name: str, ready: Ready, points: Sequence[Request], now: datetime, argv: Sequence[str]) -> Run:
    return Run(
        id=name,
        tool=tool_record(),
        command=shlex.join(argv),
        host=host_record(ready.about),
        started=now,
        profile=ready.profile.model_dump(mode="json", by_alias=True),
        axes=list_axes(ready.profile),
        plan_sha256=compute_plan_digest(points),
        source=source_record(ready.tree),
        toolchains=ready.toolchains,
        bases={name: record for name, (record, _) in _bases(ready).items()},
        cells=tuple(create_blank_cell(point) for point in points),
    )


def _usable(before: tuple[Run, Path], ready: Ready, emit: EventSink) -> ReusableRun | None:
    known = load_reusable_run(*before, ready.tree, ready.cache)
    if known is None:
        emit(ProgressNote(f"The source of {before[0].id} is not in the cache: every cell is built."))
    return known


def _bases(ready: Ready) -> dict[str, tuple[BaseRecord, str | None]]:
    profile = ready.profile
    return {name: base_record(ready.catalog, name, profile.arch) for name in profile.base}


def _execute(
    ready: Ready,
    points: Sequence[Request],
    record: Run,
    directory: Path,
    emit: EventSink,
    *,
    build: bool,
    before: ReusableRun | None = None,
) -> Run:
    lanes = group_into_lanes(points)
    at_once = _at_once(ready, lanes)
    budget = JobBudget(ready.profile.jobs or ready.about.cpus, at_once)
    site = site_of(ready, record.id, budget, at_once)
    interrupted = False
    with Journal(directory, record) as journal:
        for base, text in _bases(ready).values():
            if text is not None:
                journal.store_config(str(base.config_sha256), text)
        emit(RunStarted(record.id, directory, len(points), len(lanes)))
        try:
            plan = _plan(ready, site, journal, emit, points, build=build, before=before)
            run_lanes(lanes, plan, budget, at_once)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            done = journal.close(interrupted=interrupted)
    return done


def _at_once(ready: Ready, lanes: Sequence[Lane]) -> int:
    jobs, most = ready.profile.jobs, len(lanes)
    # Every lane compiles with one job at least: more lanes than --jobs would make more jobs.
    return min(ready.profile.lanes or jobs or ready.about.cpus, jobs or most, most)


def site_of(ready: Ready, run_id: str, budget: JobBudget, at_once: int) -> MakeContext:
    """What the lanes of a run share, when so many are at work at once."""
    profile = ready.profile
    share = int(ready.about.memory * _MEMORY_USED / at_once)
    memory = parse_size(profile.memory) if profile.memory else share
    return MakeContext(
        engine=ready.engine,
        tree=ready.tree,
        conf_digest=ready.cache.load_manifest(ready.tree.digest).compute_conf_digest(),
        run_id=run_id,
        user=ready.user,
        limits=ContainerLimits(memory=memory, seconds=parse_duration(profile.timeout)),
        share_jobs=budget.compute_share,
        cancel=threading.Event(),
    )


def _plan(
    ready: Ready,
    site: MakeContext,
    journal: Journal,
    emit: EventSink,
    points: Sequence[Request],
    *,
    build: bool,
    before: ReusableRun | None,
) -> RunContext:
    profile, catalog = ready.profile, ready.catalog

    def stages(arch: str) -> Stages:
        return Stages(profile.stage, focus_of(profile, catalog, arch))

    @cache
    def definitions(arch: str) -> Definitions:
        return read_tree_definitions(ready.tree.path, catalog.arches[arch].srcarch)

    return RunContext(
        make_context=site,
        cache=ready.cache,
        catalog=catalog,
        axes=list_axes(profile),
        fixed_symbols=profile.fixed,
        stages_for_arch=stages,
        build=build,
        image_ids={name: record.image_id for name, record in ready.toolchains.items()},
        user_variables=profile.make,
        definitions_for_arch=definitions,
        journal=journal,
        emit=emit,
        request_ids=frozenset(point.id for point in points),
        fail_fast=profile.fail_fast,
        deadline=monotonic() + parse_duration(profile.deadline) if profile.deadline else None,
        reusable_run=before,
    )
