"""The main command: plan, build, record. ``plan`` is the same without the building."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TextIO

from matrix.builder.cell_record import create_blank_cell
from matrix.builder.finished_cells import NO_FINISHED_CELLS, FinishedCells
from matrix.builder.lane_worker import run_lanes
from matrix.builder.lanes import Lane, group_into_lanes
from matrix.builder.run_context import BuiltCell, JobBudget, RunContext, Session
from matrix.catalog.types import MAX_LANES, Profile, parse_duration, parse_size
from matrix.commands.cache_size import shrink_caches
from matrix.commands.compare import BaselineOptions
from matrix.commands.cover import cover_profile
from matrix.commands.kept_runs import describe_stopped_run, find_unfinished_run
from matrix.commands.kept_verdicts import suggest_resumption
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    build_base_record,
    build_host_record,
    build_source_record,
    build_tool_record,
    prepare_session,
)
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.engine.job_pool import JobPool, shares_kernel
from matrix.engine.step import remove_writers
from matrix.errors import MachineError, RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.problem_forms import find_missing_symbols
from matrix.findings.stored_run import StoredRun
from matrix.plan import Request, check_plan, compute_plan_digest, list_axes, plan_requests
from matrix.record.events import EventSink, ProgressNote, RunStarted
from matrix.record.journal import (
    Journal,
    check_directory_unused,
    claim_run_directory,
    create_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import BaseRecord, Run
from matrix.record.states import State, compute_run_exit_code
from matrix.resolve.resolution import collect_fragment_symbols, collect_proof_symbols
from matrix.shards.lane_split import KnownTime
from matrix.shards.plan_file import ChosenShard
from matrix.shell_words import format_command
from matrix.side_failures import survive_failures
from matrix.source.symbol_providers import find_symbol_providers
from matrix.user_files import expand_user_path

ShardChooser = Callable[[Session, Sequence[Request], EventSink], ChosenShard]
"""Says which of the requests of a session's plan this machine builds."""


@dataclass(frozen=True)
class RunOptions:
    """What a run will be held against, and which share of its plan it builds, where it is not the whole."""

    baseline: BaselineOptions | None = None
    shard: ChosenShard | None = None


@dataclass(frozen=True)
class SharedParts:
    """What the lanes of a run share on one machine: its unique name, the owner of its containers, how many
    are at work at once, and their jobs. All visits of a run of another machine have the same."""

    unique_name: str
    owner: str
    at_once: int
    budget: JobBudget


@dataclass(frozen=True)
class RunBegin:
    """What is there of a run before it is worked on. One that is resumed has cells that are ``finished``, and
    its journal's ``file`` is open already. A visit of a run has ``parts`` that it shares with others."""

    file: TextIO | None = None
    finished: FinishedCells = NO_FINISHED_CELLS
    parts: SharedParts | None = None


NEW_RUN = RunBegin()
"""Nothing."""


WHOLE_RUN = RunOptions()
"""The whole plan, held against nothing."""


def run_matrix(
    profile: Profile,
    emit: EventSink,
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
    *,
    needs_focus: bool = True,
    baseline: BaselineOptions | None = None,
    choose_shard: ShardChooser | None = None,
) -> StoredRun:
    """Plan, build and record one run.

    The record is written however this ends: after Ctrl-C, too, every planned cell has its row. Without
    ``needs_focus`` what the tree has not of it is left out. ``baseline`` is what the run will be held
    against. With ``choose_shard`` it builds, and records, a share of the plan only.
    """
    check_plan(profile)
    now = datetime.now(UTC)
    check_output_unused(profile)
    with prepare_session(profile, emit, environment, needs_focus=needs_focus) as prepared:
        session = cover_profile(prepared, emit, resolve_plan)
        requests = plan_requests(session.profile)
        shard = choose_shard(session, requests, emit) if choose_shard else None
        options = RunOptions(baseline, shard)
        with begin_run(session, requests, now, emit, argv, environment, options) as context:
            environment.work_on_lanes(context)
        stored = StoredRun(context.journal.snapshot_run(), context.journal.directory)
    limit_caches(profile, emit, environment)
    return stored


@contextmanager
def begin_run(
    session: Session,
    requests: Sequence[Request],
    started: datetime,
    emit: EventSink,
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
    options: RunOptions = WHOLE_RUN,
) -> Iterator[RunContext]:
    """What the lanes of a new run share, which has the requests of its session's profile, or a share of them.

    Its record is written however the ``with`` block ends.
    """
    profile, shard = session.profile, options.shard
    _check_knob_conflicts(session, requests)
    title = f"{profile.name}-{shard.record.index}of{shard.record.count}" if shard else profile.name
    directory = create_output_directory(profile, title, environment.runs, started)
    claim_run_directory(directory)
    name = directory.name if profile.out is None else generate_run_id(title, started)
    record = build_blank_run(name, session, requests, started, argv, options.baseline)
    if shard is not None:
        requests = [request for request in requests if request.id in shard.ids]
        cells = tuple(map(create_blank_cell, requests))
        record = record.model_copy(update={"shard": shard.record, "cells": cells})
    _mention_unfinished_run(record, environment.runs, emit)
    with record_run(session, requests, RunDirectory(record, directory), emit) as context:
        if profile.out is None:
            # Now, as it holds a run: one that was killed before could not be resumed.
            link_latest_run(directory)
        yield context


def _mention_unfinished_run(request: Run, runs: Path, emit: EventSink) -> None:
    """Tell of a run that asked for the same and was stopped: it can be gone on with in place of this one."""
    stopped = find_unfinished_run(request, runs)
    if stopped is not None:
        emit(ProgressNote(f"The same request: {describe_stopped_run(stopped)}"))


def build_cell_alone(
    session: Session,
    request: Request,
    directory: Path,
    title: str,
    examine: Callable[[BuiltCell], None] = lambda _: None,
) -> StoredRun:
    """Build one request as a run of its own, of this title, in ``directory``, which does not exist yet.

    ``examine`` is called with the cell while its build directory is there.
    """
    now = datetime.now(UTC)
    directory.mkdir()
    record = build_blank_run(generate_run_id(title, now), session, [request], now, ())
    with record_run(session, [request], RunDirectory(record, directory), lambda _: None) as context:
        run_lanes(replace(context, examine=examine))
    return StoredRun(context.journal.snapshot_run(), directory)


def limit_caches(profile: Profile, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT) -> None:
    """Bring the caches back within their size, when what was to be built is.

    What other runs that are at work have used stays.
    """
    cache, limit = environment.open_cache(), parse_size(profile.cache_size)
    with survive_failures("what the caches hold"), cache.lock_shared():
        gone = shrink_caches(
            cache.layout, limit, lambda lane: remove_writers(environment.find_engine(), lane)
        )
        if gone > 0:
            emit(
                ProgressNote(
                    f"The caches are full: {gone / 2**20:.0f} MiB that were not used for longest went."
                )
            )


def plan_matrix(profile: Profile, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT) -> Run:
    """Resolve every request and record nothing: what would be built, and what cannot be, and why."""
    with (
        plan_session(profile, emit, environment) as session,
        resolve_plan(session, plan_requests(session.profile), emit) as context,
    ):
        return context.journal.snapshot_run()


@contextmanager
def plan_session(profile: Profile, emit: EventSink, environment: Environment) -> Iterator[Session]:
    """A session that a plan is made in, and nothing is built. Its profile has its rows where it needs any."""
    check_plan(profile)
    with prepare_session(profile, emit, environment, build=False) as session:
        yield cover_profile(session, emit, resolve_plan)


@contextmanager
def resolve_plan(
    session: Session,
    requests: Sequence[Request],
    emit: EventSink,
    note_time: Callable[[str, KnownTime], None] | None = None,
) -> Iterator[RunContext]:
    """What the lanes of a plan shared, with all of its requests resolved.

    Their configurations are there while the ``with`` block runs. ``note_time`` is told what is remembered of
    a cell's time.
    """
    now = datetime.now(UTC)
    _check_knob_conflicts(session, requests)
    with TemporaryDirectory(prefix="kmatrix-plan-") as directory:
        record = build_blank_run(generate_run_id("plan", now), session, requests, now, ())
        begun = RunDirectory(record, Path(directory))
        with record_run(session, requests, begun, emit, build=False) as context:
            run_lanes(replace(context, note_time=note_time))
        yield context


def compute_plan_exit_code(planned: Run) -> ExitCode:
    """A plan's exit code: it has passed when every request is known to be reachable or not."""
    unknown = [c.state for c in planned.cells if c.state is not State.UNREACHABLE and not c.is_reachable]
    if not unknown and not planned.interrupted:
        return ExitCode.PASSED
    return compute_run_exit_code(unknown, interrupted=planned.interrupted)


def _check_knob_conflicts(session: Session, requests: Sequence[Request]) -> None:
    """Refuse knobs that set one symbol to different values. RequestError, before anything is written."""
    for request in requests:
        collect_fragment_symbols(request, session.catalog, session.profile.fixed)
        collect_proof_symbols(request, session.catalog, session.profile.fixed)


def check_output_unused(profile: Profile) -> None:
    """RequestError when there is something in ``--out`` already, with what goes on with that where it was
    stopped."""
    if profile.out is None:
        return
    directory = expand_user_path(profile.out).absolute()
    try:
        check_directory_unused(directory)
    except RequestError as error:
        command = suggest_resumption(directory)
        if command is None:
            raise
        hint = f"{command} goes on with what was stopped there; or {error.hint}"
        raise RequestError(str(error), hint) from error


def create_output_directory(profile: Profile, title: str, runs: Path, now: datetime) -> Path:
    """Create a directory for a run of this title, a new one under ``runs``. ``--out`` is returned as it is,
    since it may be there already."""
    if profile.out is not None:
        return expand_user_path(profile.out).absolute()
    return create_run_directory(runs, generate_run_id(title, now))


def claim_output_folder(directory: Path, name: str) -> Path:
    """Create a folder in an output directory that is to hold several runs. RequestError when another command
    has just got the same ``--out``."""
    folder = directory / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise RequestError(
            f"--out {directory} is in use", "name a directory that does not exist yet"
        ) from error
    return folder


def build_blank_run(
    name: str,
    session: Session,
    requests: Sequence[Request],
    now: datetime,
    argv: Sequence[str],
    baseline: BaselineOptions | None = None,
) -> Run:
    """The record of a session's run of which nothing is built yet. ``name`` is its id."""
    against = baseline or BaselineOptions()
    record = Run(
        id=name,
        tool=build_tool_record(),
        command=format_command(*argv),
        host=build_host_record(session.engine_info),
        started=now,
        profile=session.profile.model_dump(mode="json", by_alias=True),
        axes=list_axes(session.profile),
        plan_sha256=compute_plan_digest(requests),
        source=build_source_record(session.tree),
        toolchains=session.toolchains,
        bases={name: record for name, (record, _) in _build_base_records(session).items()},
        cells=tuple(create_blank_cell(request) for request in requests),
    )
    return record.model_copy(update=against.recorded_names)


def _build_base_records(session: Session) -> dict[str, tuple[BaseRecord, str | None]]:
    profile = session.profile
    return {name: build_base_record(session.catalog, name, profile.arch) for name in profile.base}


@contextmanager
def record_run(
    session: Session,
    requests: Sequence[Request],
    begun: RunDirectory,
    emit: EventSink,
    *,
    build: bool = True,
    begin: RunBegin = NEW_RUN,
) -> Iterator[RunContext]:
    """What the lanes share. However the ``with`` block ends, the record is written; Ctrl-C is noted there.

    ``begun`` is the run as it begins, and its directory.
    """
    record, directory, profile, finished = begun.run, begun.directory, session.profile, begin.finished
    lanes = group_into_lanes(request for request in requests if request.id not in finished.ids)
    interrupted = False
    own = _share_parts(session, lanes, begun, build=build)
    with (
        Journal(directory, record, begin.file) as journal,
        own if begin.parts is None else nullcontext(begin.parts) as shared,
        closing(session.open_memory(shared.unique_name)) as memory,
    ):
        for base, text in _build_base_records(session).values():
            if text is not None:
                journal.store_config(str(base.config_sha256), text)
        place = directory if build else None
        emit(RunStarted(record.id, place, len(requests), len(lanes), finished.states))
        context = RunContext(
            session,
            lanes,
            session.create_step_runner(shared.owner, shared.at_once),
            shared.budget,
            journal,
            emit,
            memory,
            build=build,
            deadline=monotonic() + parse_duration(profile.deadline) if profile.deadline else None,
            finished=finished,
            elsewhere=_list_plan_ids(session) if record.shard else frozenset(),
        )
        if State.FAIL in finished.states:
            context.cell_failed.set()
        try:
            yield context
            if build:
                journal.record_providers(_find_providers(session, journal.list_proven_diagnostics()))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            journal.close(interrupted=interrupted)


@contextmanager
def _share_parts(
    session: Session, lanes: Sequence[Lane], begun: RunDirectory, *, build: bool
) -> Iterator[SharedParts]:
    """What lanes of a run share on this machine, which has all of them."""
    profile = session.profile
    # Every lane compiles with one job at least: more lanes than --jobs would make more jobs.
    at_once = max(1, min(profile.lanes or session.jobs, MAX_LANES, profile.jobs or len(lanes), len(lanes)))
    with open_job_pool(session, at_once if build else 1) as pool:
        budget = JobBudget(session.jobs, at_once, len(lanes), pool)
        yield SharedParts(begun.unique_name, begun.unique_name, at_once, budget)


def _list_plan_ids(session: Session) -> frozenset[str]:
    return frozenset(request.id for request in plan_requests(session.profile))


@contextmanager
def open_job_pool(session: Session, at_once: int) -> Iterator[JobPool | None]:
    """What lanes that work side by side share their compile jobs in; None where containers could not.

    The images that kmatrix builds have a make that takes part, 4.4 or newer. An older one would fail.
    """
    chains = [*session.toolchains.values()]
    can_share = at_once > 1 and all(chain.recipe for chain in chains)
    if can_share and shares_kernel(session.engine, chains[0].image_id, session.user):
        with closing(JobPool(session.jobs, session.user, session.cache.layout.lanes)) as pool:
            yield pool
    else:
        yield None


def _find_providers(session: Session, shown: Sequence[Diagnostic]) -> dict[str, str]:
    """What would bring the symbols that links lack, as these say; nothing where the tree cannot be
    searched."""
    symbols = frozenset[str]().union(*map(find_missing_symbols, shown))
    if not symbols:
        return {}
    try:
        paths = session.cache.load_manifest(session.tree.digest).entries
        return find_symbol_providers(session.tree.path, paths, symbols)
    except MachineError:
        return {}
