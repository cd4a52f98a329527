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

from matrix.builder.cell_build import Stages
from matrix.builder.cell_record import create_blank_cell
from matrix.builder.lanes import Lane, RunContext, group_into_lanes
from matrix.builder.reuse import ReusableRun, load_reusable_run
from matrix.builder.schedule import JobBudget, run_lanes
from matrix.catalog.types import Profile, parse_duration, parse_size
from matrix.commands.focus import resolve_focus
from matrix.commands.session import (
    RUNS_DIRECTORY,
    Session,
    build_base_record,
    build_host_record,
    build_source_record,
    build_tool_record,
    prepare_session,
)
from matrix.engine.protocol import ContainerLimits, Engine
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.definitions import Definitions, read_tree_definitions
from matrix.plan import Request, compute_plan_digest, list_axes, plan_requests
from matrix.record.events import EventSink, ProgressNote, RunStarted
from matrix.record.journal import (
    Journal,
    check_directory_unused,
    claim_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.run_model import BaseRecord, Run
from matrix.record.states import State, compute_run_exit_code
from matrix.resolve.make_runner import MakeContext
from matrix.resolve.resolution import collect_fragment_symbols, collect_proof_symbols
from matrix.source.cache import SourceCache

# What one container may leave to the others and to the machine itself, in parts of its memory.
_USABLE_MEMORY = 0.9


@dataclass(frozen=True)
class Environment:
    """The engine, the cache and the folder of runs that a command works with; by default this machine's."""

    engine: Engine | None = None
    cache: SourceCache | None = None
    runs: Path = RUNS_DIRECTORY


LOCAL_ENVIRONMENT = Environment()


def run_matrix(
    profile: Profile,
    emit: EventSink,
    argv: Sequence[str] = (),
    world: Environment = LOCAL_ENVIRONMENT,
    before: StoredRun | None = None,
) -> StoredRun:
    """Plan, build and record one run.

    ``before`` is what this returned for the tree before a change: cells that the change does not reach are
    taken over from there (`unaffected`). The record is written however this ends: after Ctrl-C, too, every
    planned cell has its row.
    """
    points = plan_requests(profile)
    now = datetime.now(UTC)
    directory = choose_run_directory(profile, profile.name, world.runs, now)
    check_directory_unused(directory)
    with prepare_session(profile, emit, engine=world.engine, cache=world.cache) as ready:
        _check_knob_conflicts(ready, points)
        claim_run_directory(directory)
        name = directory.name if profile.out is None else generate_run_id(profile.name, now)
        record = _build_blank_run(name, ready, points, now, argv)
        if profile.out is None:
            link_latest_run(directory)
        known = _find_reusable_run(before, ready, emit) if before else None
        done = _execute_plan(ready, points, record, directory, emit, build=True, before=known)
        return StoredRun(done, directory)


def plan_matrix(profile: Profile, emit: EventSink, world: Environment = LOCAL_ENVIRONMENT) -> Run:
    """Resolve every request and record nothing: what would be built, and what cannot be, and why."""
    points = plan_requests(profile)
    now = datetime.now(UTC)
    with (
        prepare_session(profile, emit, engine=world.engine, cache=world.cache, build=False) as ready,
        TemporaryDirectory(prefix="kmatrix-plan-") as place,
    ):
        _check_knob_conflicts(ready, points)
        record = _build_blank_run(generate_run_id("plan", now), ready, points, now, ())
        return _execute_plan(ready, points, record, Path(place), emit, build=False)


def compute_plan_exit_code(planned: Run) -> ExitCode:
    """A plan's exit code: it has passed when every request is known to be reachable or not."""
    unknown = [c.state for c in planned.cells if c.state is not State.UNREACHABLE and not c.is_reachable]
    if not unknown and not planned.interrupted:
        return ExitCode.PASSED
    return compute_run_exit_code(unknown, interrupted=planned.interrupted)


def _check_knob_conflicts(ready: Session, points: Sequence[Request]) -> None:
    """Knobs that want different values of one symbol: refused before anything is written."""
    for point in points:
        collect_fragment_symbols(point, ready.catalog, ready.profile.fixed)
        collect_proof_symbols(point, ready.catalog, ready.profile.fixed)


def choose_run_directory(profile: Profile, title: str, runs: Path, now: datetime) -> Path:
    """Where a run that is called so is kept: ``--out``, or a new directory under ``runs``."""
    if profile.out is not None:
        return Path(profile.out).absolute()
    name = generate_run_id(title, now)
    taken = (runs / (name if number == 1 else f"{name}.{number}") for number in count(1))
    return next(path for path in taken if not path.exists())


def _build_blank_run(
    name: str, ready: Session, points: Sequence[Request], now: datetime, argv: Sequence[str]
) -> Run:
    return Run(
        id=name,
        tool=build_tool_record(),
        command=shlex.join(argv),
        host=build_host_record(ready.engine_info),
        started=now,
        profile=ready.profile.model_dump(mode="json", by_alias=True),
        axes=list_axes(ready.profile),
        plan_sha256=compute_plan_digest(points),
        source=build_source_record(ready.tree),
        toolchains=ready.toolchains,
        bases={name: record for name, (record, _) in _build_base_records(ready).items()},
        cells=tuple(create_blank_cell(point) for point in points),
    )


def _find_reusable_run(before: StoredRun, ready: Session, emit: EventSink) -> ReusableRun | None:
    known = load_reusable_run(before, ready.tree, ready.cache)
    if known is None:
        emit(ProgressNote(f"The source of {before.run.id} is not in the cache: every cell is built."))
    return known


def _build_base_records(ready: Session) -> dict[str, tuple[BaseRecord, str | None]]:
    profile = ready.profile
    return {name: build_base_record(ready.catalog, name, profile.arch) for name in profile.base}


def _execute_plan(
    ready: Session,
    points: Sequence[Request],
    record: Run,
    directory: Path,
    emit: EventSink,
    *,
    build: bool,
    before: ReusableRun | None = None,
) -> Run:
    lanes = group_into_lanes(points)
    at_once = _count_parallel_lanes(ready, lanes)
    budget = JobBudget(ready.profile.jobs or ready.engine_info.cpus, at_once)
    site = build_make_context(ready, record.id, budget, at_once)
    interrupted = False
    with Journal(directory, record) as journal:
        for base, text in _build_base_records(ready).values():
            if text is not None:
                journal.store_config(str(base.config_sha256), text)
        emit(RunStarted(record.id, directory, len(points), len(lanes)))
        try:
            plan = _build_run_context(ready, site, journal, emit, points, build=build, before=before)
            run_lanes(lanes, plan, budget, at_once)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            done = journal.close(interrupted=interrupted)
    return done


def _count_parallel_lanes(ready: Session, lanes: Sequence[Lane]) -> int:
    jobs, most = ready.profile.jobs, len(lanes)
    # Every lane compiles with one job at least: more lanes than --jobs would make more jobs.
    return min(ready.profile.lanes or jobs or ready.engine_info.cpus, jobs or most, most)


def build_make_context(ready: Session, run_id: str, budget: JobBudget, at_once: int) -> MakeContext:
    """What the lanes of a run share, when so many are at work at once."""
    profile = ready.profile
    share = int(ready.engine_info.memory * _USABLE_MEMORY / at_once)
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


def _build_run_context(
    ready: Session,
    site: MakeContext,
    journal: Journal,
    emit: EventSink,
    points: Sequence[Request],
    *,
    build: bool,
    before: ReusableRun | None,
) -> RunContext:
    profile, catalog = ready.profile, ready.catalog

    def stages_for_arch(arch: str) -> Stages:
        return Stages(profile.stage, resolve_focus(profile, catalog, arch))

    @cache
    def definitions_for_arch(arch: str) -> Definitions:
        return read_tree_definitions(ready.tree.path, catalog.arches[arch].srcarch)

    return RunContext(
        make_context=site,
        cache=ready.cache,
        catalog=catalog,
        axes=list_axes(profile),
        fixed_symbols=profile.fixed,
        stages_for_arch=stages_for_arch,
        build=build,
        image_ids={name: record.image_id for name, record in ready.toolchains.items()},
        user_variables=profile.make,
        definitions_for_arch=definitions_for_arch,
        journal=journal,
        emit=emit,
        request_ids=frozenset(point.id for point in points),
        fail_fast=profile.fail_fast,
        deadline=monotonic() + parse_duration(profile.deadline) if profile.deadline else None,
        reusable_run=before,
    )
