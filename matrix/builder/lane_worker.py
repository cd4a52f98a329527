"""Lanes at work, side by side: resolve the requests, order the reachable ones, build one after another."""

from collections.abc import Callable, Sequence, Set
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from matrix.builder.attempts import CellAttempts
from matrix.builder.cell_build import CellBuild
from matrix.builder.cell_record import (
    CellLog,
    CellResult,
    create_blank_cell,
    create_resolved_cell,
    fail_cell,
    finish_unconfigured_cell,
)
from matrix.builder.kbuild_deps import CommandFileReader
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lane_objects import LaneObjects
from matrix.builder.lanes import Lane, RequestsAhead, order_by_length
from matrix.builder.prepared_files import PreparedFiles
from matrix.builder.reuse import KnownResults, build_cell_inputs
from matrix.builder.run_context import BuiltCell, RunContext
from matrix.builder.same_cells import SameCells
from matrix.builder.visiting_order import ConfigSet
from matrix.errors import MachineError, RequestError
from matrix.foreign_files import translate_foreign_faults
from matrix.fs import translate_disk_full
from matrix.interrupts import defer_interrupts
from matrix.kconfig.config import Config
from matrix.memory.assembly_versions import ASSEMBLY_VERSIONS
from matrix.memory.objects import ObjectMemory, compute_object_scope
from matrix.memory.prepared import PreparedMemory, compute_prepared_scope
from matrix.memory.results import CellInputs
from matrix.memory.unlisted_sources import add_unlisted_sources, find_prototype_headers
from matrix.plan import Request, list_axes
from matrix.record.events import CellFinished, LaneFinished, StageStarted
from matrix.record.run_model import Cell
from matrix.record.states import ANSWERED_STATES, COMPLETE_STATES, Evidence, State
from matrix.resolve.conf_forks import MAX_TOGETHER, MIN_TOGETHER
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.resolution import Resolution, find_actual_request
from matrix.resolve.resolver import Resolver

_STOP_GRACE = 10.0
"""Seconds that threads have to end when a run is interrupted."""


def run_lanes(context: RunContext) -> None:
    """Work on all lanes, each in a thread, so many at once. Returns when all threads ended.

    Ctrl-C and a lane's own exception cancel the rest; the exception is raised after everything stopped, or
    after some seconds: a container is gone at once, but a thread may be in the middle of a long copy.
    """
    pool = ThreadPoolExecutor(context.budget.at_once, thread_name_prefix="lane")
    futures: list[Future[None]] = []
    has_finished = False
    try:
        futures += [pool.submit(LaneWorker(lane, context).run) for lane in _order_lanes(context)]
        wait(futures, return_when=FIRST_EXCEPTION)
        has_finished = all(future.done() and future.exception() is None for future in futures)
    finally:
        with defer_interrupts():
            if not has_finished:
                context.steps.cancel.set()
                pool.shutdown(wait=False, cancel_futures=True)
                wait(futures, timeout=_STOP_GRACE)
        pool.shutdown(wait=False)
    # A fault of the machine is in its cells' rows by now: what a thread still raises here is a bug.
    for future in futures:
        if future.done() and not future.cancelled():
            future.result()


def _order_lanes(context: RunContext) -> Sequence[Lane]:
    """The lanes in the order of their start: the plan's, or, of several at once, the longest first."""
    if context.budget.at_once == 1:
        return context.lanes
    toolchains = context.session.catalog.toolchains.items()
    return order_by_length(context.lanes, {name: toolchain.template for name, toolchain in toolchains})


@dataclass(frozen=True)
class _ReachableCell:
    """A cell whose request the tree can satisfy, before it is built.

    The text of its configuration is read when it is needed: a lane may have thousands of them.
    """

    cell: Cell
    resolution_without_text: Resolution
    inputs: CellInputs
    log: CellLog
    load_config: Callable[[str], str]

    @property
    def resolution(self) -> Resolution:
        return replace(self.resolution_without_text, config=self.load_config(self.inputs.config_sha256))


@dataclass
class LaneWorker:
    """One lane at work, in a thread of its own."""

    lane: Lane
    context: RunContext
    _open_directories: ExitStack = field(default_factory=ExitStack)
    _configs: ConfigSet = field(default_factory=ConfigSet)
    _finished_ids: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Resolve all, then build what is reachable. A fault of the machine ends this lane and no other."""
        try:
            with translate_foreign_faults(), self._open_directories:
                # Every request before any cell: the order of the builds depends on all configurations.
                reachable = [*filter(None, map(self._resolve_request, self.lane.requests))]
                if self.context.build:
                    for cell in self._order_cells(self._finish_known(reachable)):
                        began = self.context.journal.measure_elapsed()
                        self._finish_cell(self._note_time(self._build_cell(cell), began))
                else:
                    self._mark_known(reachable)
        except MachineError as error:
            self._fail_unfinished(str(error))
        except Exception as error:
            # A mistake of kmatrix: the record has it before it ends the run.
            self._fail_unfinished(f"kmatrix failed: {type(error).__name__}: {error}")
            raise
        finally:
            # From their next step on, the other lanes compile with this one's jobs too.
            self.context.budget.release_lane()
            self.context.emit(LaneFinished(self.lane.name))

    def _fail_unfinished(self, reason: str) -> None:
        for request in self.lane.requests:
            if request.id not in self._finished_ids:
                self._finish_cell(fail_cell(create_blank_cell(request), reason))

    @cached_property
    def _directory(self) -> LaneDirectory:
        # Opened when it is first used. Only make needs it: it may be large, and a patched tree's starts as a
        # copy, while all that a lane has to do may be in the stores.
        session = self.context.session
        stages = session.find_stages(self.lane.arch)
        return self._open_directories.enter_context(
            session.open_lane(self.lane, stages, self._runner.make_variables)
        )

    @cached_property
    def _runner(self) -> MakeRunner:
        context, lane = self.context, self.lane
        return context.session.create_make_runner(
            context.steps,
            lane.toolchain,
            context.session.merge_make_variables(lane.arch, lane.toolchain),
            lambda: self._directory.build,
            context.budget,
        )

    @cached_property
    def _resolver(self) -> Resolver:
        session = self.context.session
        return session.create_resolver(self._runner, session.catalog, session.profile.fixed)

    @cached_property
    def _sources(self) -> CommandFileReader:
        return CommandFileReader(self._directory)

    @cached_property
    def _common_inputs(self) -> CellInputs:
        """What the results of all cells of the lane depend on; each cell has a configuration of its own."""
        stages = self.context.session.find_stages(self.lane.arch)
        names = stages.list_stages()
        return build_cell_inputs(
            self._runner.image,
            "",
            [stages.format_command(name, self._runner) for name in names],
            [stages.list_requested_targets(name) for name in names],
        )

    @cached_property
    def _object_memory(self) -> ObjectMemory:
        tools = self.context.session.tree_contents.tools_digest
        scope = compute_object_scope(self._runner.image, self._runner.make_line, tools)
        return ObjectMemory(self.context.memory, scope)

    @cached_property
    def _objects(self) -> LaneObjects:
        stages = self.context.session.find_stages(self.lane.arch)
        # kbuild would make the whole tree for any other target than the focus.
        folders = stages.list_make_targets("focus") if stages.last == "focus" else ()
        reader = self.context.session.input_reader
        return LaneObjects(self._directory, self._object_memory, reader, folders)

    @cached_property
    def _prepared(self) -> PreparedFiles:
        tree = self.context.session.tree_contents
        scope = compute_prepared_scope(self._runner.image, self._runner.make_line, tree)
        return PreparedFiles(self._directory, PreparedMemory(self.context.memory, tree, scope))

    @cached_property
    def _same_cells(self) -> SameCells:
        return SameCells(self.context.results, self._object_memory, self.context.session.input_reader)

    @cached_property
    def _attempts(self) -> CellAttempts:
        return CellAttempts(self.context)

    @cached_property
    def _known(self) -> KnownResults:
        known = KnownResults(self.context.results, self.context.journal.run_id)
        finished = self.context.finished
        for cell in finished.list_made(self.lane):
            if cell.config_sha256 is not None:
                inputs = replace(self._common_inputs, config_sha256=cell.config_sha256)
                known.add_finished(inputs, partial(finished.load_result, cell))
        return known

    def _resolve_request(self, request: Request) -> _ReachableCell | None:
        """Resolve a request, and record what came of it; a cell to build, or None."""
        reason = self.context.find_stop_reason()
        if reason:
            update = {"make": self._runner.make_line, "reason": reason}
            cell = create_blank_cell(request).model_copy(update=update)
            size = self.context.finished.configure_sizes.get(request.id, 0)
            self.context.journal.record_planned_cell(cell, size)
            return None
        self.context.emit(StageStarted(self.lane.name, request.id, "configure"))
        log = self._create_log(request)
        for attempt in self._attempts.begin(request.id, log):
            try:
                with translate_foreign_faults():
                    # The store first: what is known there needs neither a container nor the directory.
                    resolution = self._resolver.find_stored(request)
                    if resolution is None:
                        resolution = self._configure_request(request, log)
                    attempt.outcome = resolution
                    if attempt.fault is None:
                        return self._record_resolution(resolution, log)
            except MachineError as error:
                attempt.outcome = self._fail_cell(create_blank_cell(request), error)
        self._give_up(attempt.outcome, log)
        return None

    def _configure_request(self, request: Request, log: CellLog) -> Resolution:
        """Configure a request with make, and those that come after it with the same one where that goes."""
        with log.open_sink() as append_line:
            together = self._list_unresolved(request)
            if len(together) >= MIN_TOGETHER:
                self._directory.prepare_configure()
                self._resolver.load_base(request, append_line)
                self._directory.finish_step(self._resolver.make_together(together, append_line))
            resolution = self._resolver.take_made(request, append_line)
            if resolution is None:
                self._directory.prepare_configure()
                self._resolver.load_base(request, append_line)
                resolution = self._resolver.resolve(request, append_line)
                self._directory.finish_step(resolution.stage.state)
            return resolution

    def _list_unresolved(self, request: Request) -> list[Request]:
        """This request and those after it that need conf; none where it is not to be asked for several."""
        if not self._resolver.can_make_together(request):
            return []
        return self._ahead.list_from(request, MAX_TOGETHER)

    @cached_property
    def _ahead(self) -> RequestsAhead:
        return RequestsAhead(self.lane.requests, self._needs_conf)

    def _needs_conf(self, request: Request) -> bool:
        try:
            return self._resolver.find_stored(request) is None
        except RequestError:
            return False  # its own fault, at its own turn

    def _give_up(self, outcome: Resolution | CellResult | None, log: CellLog) -> None:
        """Finish a cell that the machine did not let be configured."""
        if isinstance(outcome, Resolution):
            self._record_resolution(outcome, log)
        elif outcome is not None:
            self._finish_cell(outcome)

    def _fail_cell(self, cell: Cell, error: MachineError) -> CellResult:
        """The cell that a fault ended. What it left in the lane is dropped before the next one."""
        if "_directory" in vars(self):
            with suppress(MachineError):
                self._directory.mark_busy()
        return fail_cell(cell, str(error))

    def _create_log(self, request: Request) -> CellLog:
        name = Path("cells") / request.directory / "build.log"
        path = self.context.journal.directory / name
        with translate_disk_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        log = CellLog(path, str(name))
        self._cut_old_log(request, log)
        return log

    def _cut_old_log(self, request: Request, log: CellLog) -> None:
        """Leave of what an earlier process logged of a cell what will not be made again: a configure step
        that is stored. What was not even planned has nothing else in its log."""
        size = log.measure()
        if size:
            kept = self.context.finished.configure_sizes.get(request.id, size)
            log.cut(0 if self._needs_conf(request) else kept)

    def _record_resolution(self, resolution: Resolution, log: CellLog) -> _ReachableCell | None:
        cell = self._plan_cell(resolution)
        if resolution.config is None:
            self._finish_cell(finish_unconfigured_cell(cell, resolution, log))
            return None
        digest = str(resolution.config_sha256)
        self.context.journal.store_config(digest, resolution.config)
        if cell.state is State.UNREACHABLE:
            self._finish_cell(CellResult(cell, {}))
            return None
        self.context.journal.record_planned_cell(cell, log.measure())
        if self.context.build and digest not in self._configs:
            self._configs.add(digest, Config.parse(resolution.config))
        inputs = replace(self._common_inputs, config_sha256=digest)
        bare = replace(resolution, config=None)
        return _ReachableCell(cell, bare, inputs, log, self.context.journal.load_config)

    def _plan_cell(self, resolution: Resolution) -> Cell:
        """The cell before it is built. An unreachable one has a reason, and the cell that it resolves to."""
        request, session = resolution.request, self.context.session
        row = (resolution, self._resolver.collect_fragment(request), self._runner.make_line)
        if resolution.config is None or resolution.is_reachable:
            return create_resolved_cell(*row)
        config = Config.parse(resolution.config)
        actual = find_actual_request(request, session.catalog, list_axes(session.profile), config).id
        # It can be its own id: every axis has the requested value, and only a symbol beside them has not.
        other = actual if actual in self.context.request_ids and actual != request.id else None
        read_definitions = partial(session.read_definitions, request.arch)
        reason = self._resolver.explain(resolution, config, read_definitions)
        return create_resolved_cell(*row, reason, other)

    def _finish_known(self, cells: Sequence[_ReachableCell]) -> list[_ReachableCell]:
        """Finish the cells for which a result is known already; the others."""
        unknown = []
        for cell in cells:
            result = self._find_known(cell)
            if result is None:
                unknown.append(cell)
            else:
                self._finish_cell(result)
        return unknown

    def _find_known(self, reachable: _ReachableCell) -> CellResult | None:
        return self._known.find_result(reachable.cell, reachable.resolution, reachable.inputs, reachable.log)

    def _find_same_objects(self, reachable: _ReachableCell) -> CellResult | None:
        if self.context.session.find_stages(self.lane.arch).list_stages() != ("focus",):
            return None
        # Its configure step's part of the log is of this cell alone.
        start = reachable.log.measure()
        cell = (reachable.cell, reachable.resolution, reachable.inputs, reachable.log)
        result = self._same_cells.find_result(*cell)
        if result is not None:
            self._known.add_built(reachable.inputs, result, reachable.log.read_from(start))
        return result

    def _add_sources(self, result: CellResult, build: CellBuild) -> CellResult:
        """The result of a cell that was just built to an end, with what it was made of."""
        objects, elsewhere = result.objects, self._objects.listed_elsewhere
        listed = {name for name in objects | build.listed_objects if name.endswith(".o")}
        keys = self._objects.find_keys(listed)
        named, others = self._sources.find_cell_sources(objects, build.listed_objects, elsewhere, keys.keys())
        unlisted = self._find_unlisted(named, others, build) if named else None
        more = None if unlisted is None else others | unlisted
        self._keep_prepared(result, build, more)
        if unlisted is None:
            return replace(result, sources=frozenset(), parts=None)
        parts = None
        if not build.has_nameless_warning:
            parts = self._objects.describe_parts(listed, keys, others | unlisted, build.warned)
        sources = named | unlisted | self._objects.list_sources(keys)
        return replace(result, sources=sources, parts=parts)

    def _keep_prepared(self, result: CellResult, build: CellBuild, sources: Set[str] | None) -> None:
        """Remember what was prepared for a cell, and of which sources. Not where conf, or what it runs, may
        have printed something: it would have to print that each time."""
        said = (result.diagnostics[ref.key] for ref in result.build_refs if ref.object is None)
        if result.is_whole and all(diagnostic.tool == "make" for diagnostic in said):
            self._prepared.keep(str(result.cell.config_sha256), build.config, sources)

    def _find_unlisted(self, named: Set[str], others: Set[str], build: CellBuild) -> frozenset[str] | None:
        """The sources of a cell that are on none of kbuild's lists; None where they cannot be known.

        ``named`` are those that are on one, ``others`` those of them that went into what is not on record.
        """
        reader = self.context.session.input_reader
        sources = add_unlisted_sources(others, reader)
        if sources is None or build.config.value_of(ASSEMBLY_VERSIONS) != "y":
            return sources
        srcarch = self.context.session.catalog.arches[self.lane.arch].srcarch
        return sources | find_prototype_headers(named, reader, srcarch)

    def _mark_known(self, cells: Sequence[_ReachableCell]) -> None:
        """Record of a plan's cells which of them would not be built, and note how long they took before."""
        for cell in cells:
            time = self._known.find_time(cell.inputs) if self.context.note_time else None
            if self.context.note_time and time is not None:
                self.context.note_time(cell.cell.id, time)
            origin = self._known.find_origin(cell.inputs)
            if origin is not None:
                update = {"evidence": Evidence.REMEMBERED, "evidence_from": origin}
                self.context.journal.record_planned_cell(cell.cell.model_copy(update=update))

    def _order_cells(self, cells: Sequence[_ReachableCell]) -> list[_ReachableCell]:
        weights = self._object_memory.count_objects_by_symbol() if len(cells) > 1 else {}
        order = self._configs.plan_order([cell.inputs.config_sha256 for cell in cells], weights)
        return [cells[index] for index in order]

    def _note_time(self, result: CellResult, began: float) -> CellResult:
        """The result with from when to when it was built, where a make ran for it."""
        if result.cell.is_reused or result.cell.state is State.NOT_RUN:
            return result
        span = round(began, 1), round(self.context.journal.measure_elapsed(), 1)
        return replace(result, cell=result.cell.model_copy(update={"at_work": span}))

    def _build_cell(self, reachable: _ReachableCell) -> CellResult:
        """Build a cell, unless it is known; a fault of the machine is a result, and ends no other cell."""
        cell = reachable.cell
        reason = self.context.find_stop_reason()
        if reason:
            return CellResult(cell.model_copy(update={"reason": reason}), {})
        # Looked up again at its turn: a cell that was built meanwhile may have the same configuration.
        known = self._find_known(reachable) or self._find_same_objects(reachable)
        if known is not None:
            return known
        for attempt in self._attempts.begin(cell.id, reachable.log):
            start = reachable.log.measure()
            # Outside of `try`: without its directory the whole lane fails, and not cell after cell.
            build = self._prepare_build(reachable)
            try:
                with translate_foreign_faults():
                    result = build.run()
                    if result.cell.state in ANSWERED_STATES - {State.FAIL}:
                        # Read now: the next cell overwrites the command files.
                        result = self._add_sources(result, build)
                    elif result.cell.state is State.FAIL:
                        self._keep_prepared(result, build, None)
                    if result.cell.state in ANSWERED_STATES:
                        self._examine_cell(reachable)
            except MachineError as error:
                result = self._fail_cell(cell, error)
            attempt.outcome = result
        self._known.add_built(reachable.inputs, result, reachable.log.read_from(start))
        return result

    def _examine_cell(self, reachable: _ReachableCell) -> None:
        def find_keys() -> dict[str, str]:
            return self._objects.find_keys(self._object_memory.list_paths())

        self.context.examine(BuiltCell(reachable.inputs, find_keys, self._directory, self._runner))

    def _prepare_build(self, reachable: _ReachableCell) -> CellBuild:
        cell = reachable.cell
        return CellBuild(
            cell,
            reachable.resolution,
            self._objects,
            self._prepared,
            self._runner,
            self.context.session.find_stages(self.lane.arch),
            reachable.log,
            lambda stage: self.context.emit(StageStarted(self.lane.name, cell.id, stage)),
        )

    def _finish_cell(self, result: CellResult) -> None:
        """Record a cell that is done; what is long goes into files of its own, by digest."""
        if result.cell.state is State.FAIL:
            self.context.cell_failed.set()
        self._finished_ids.add(result.cell.id)
        journal = self.context.journal
        is_complete = result.cell.state in COMPLETE_STATES
        digests = {
            "objects_sha256": journal.store_objects(result.objects),
            "sources_sha256": journal.store_sources(result.sources if is_complete else ()),
        }
        cell = self._attempts.add_to(result.cell.model_copy(update=digests))
        # On disk before it is displayed: what the user was shown survives a crash.
        journal.record_finished_cell(cell, result.diagnostics)
        self.context.emit(CellFinished(cell, result.first_error))
