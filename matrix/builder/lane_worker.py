"""What a lane does: resolve its requests, order the reachable ones, build them one after another."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from matrix.builder.cell_build import CellBuild
from matrix.builder.cell_record import (
    CellLog,
    CellResult,
    create_blank_cell,
    create_resolved_cell,
    finish_unconfigured_cell,
)
from matrix.builder.kbuild_deps import CommandFileReader
from matrix.builder.lane_dir import LaneDirectory, open_lane
from matrix.builder.lanes import Lane, RunContext, plan_visiting_order
from matrix.builder.reuse import build_cell_inputs
from matrix.errors import MachineError
from matrix.fs import translate_disk_full
from matrix.kconfig.config import Config
from matrix.plan import Request
from matrix.record.events import CellFinished, StageStarted
from matrix.record.run_model import Cell
from matrix.record.states import COMPLETE_STATES, UNTRIED_STATES, Evidence, State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.reasons import explain_unreached
from matrix.resolve.resolution import Resolution, find_actual_request
from matrix.resolve.resolver import Resolver


def resolve_in_lane(
    place: LaneDirectory, resolver: Resolver, request: Request, log: Callable[[str], None]
) -> Resolution:
    """Resolve one request in a lane's directory, which is made anew where it cannot be trusted."""
    if place.is_broken:
        place.reset_build()
    place.mark_busy()
    resolution = resolver.resolve(request, log)
    if resolution.stage.state not in UNTRIED_STATES:
        place.mark_idle()
    return resolution


LaneOpener = Callable[[], LaneDirectory]
"""A lane's directory, opened when it is first asked for."""


@dataclass
class LaneWorker:
    """One lane at work, in a thread of its own."""

    lane: Lane
    context: RunContext
    _results_by_config: dict[str, CellResult] = field(default_factory=dict)
    _parsed_configs: dict[str, Config] = field(default_factory=dict)
    _finished_ids: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Resolve all, then build what is reachable. A fault of the machine ends this lane and no other."""
        try:
            self._run_in_directory()
        except MachineError as error:
            for request in self.lane.requests:
                if request.id not in self._finished_ids:
                    row = create_blank_cell(request).model_copy(
                        update={"state": State.INFRA, "reason": str(error)}
                    )
                    self._finish_cell(CellResult(row, {}))

    def _run_in_directory(self) -> None:
        with ExitStack() as stack:
            self._run_requests(cache(lambda: stack.enter_context(self._open_directory())))

    def _open_directory(self) -> AbstractContextManager[LaneDirectory]:
        plan, lane, site = self.context, self.lane, self.context.make_context
        key = lane.compute_directory_key(
            plan.stages_for_arch(lane.arch), plan.image_ids[lane.toolchain], plan.merge_make_variables(lane)
        )
        return open_lane(key, site.tree, plan.cache, site.user)

    def _run_requests(self, opened: LaneOpener) -> None:
        """Only make needs the directory: it may be large, and a patched tree's starts as a copy."""
        plan = self.context
        image, variables = plan.image_ids[self.lane.toolchain], plan.merge_make_variables(self.lane)
        workshop = MakeRunner(plan.make_context, image, variables, lambda: opened().build)
        resolver = Resolver(workshop, plan.catalog, dict(plan.fixed_symbols), plan.cache.layout.resolutions)
        ready = [
            (cell, resolution)
            for cell, resolution in self._resolve_requests(resolver, opened)
            if resolution.is_reachable
        ]
        if plan.build:
            self._build_cells(
                [pair for pair in ready if not self._try_reuse(*pair, workshop)], opened, workshop
            )

    def _try_reuse(self, cell: Cell, resolution: Resolution, workshop: MakeRunner) -> bool:
        """Whether the cell need not be built, as nothing changed for it; its row says so then."""
        if self.context.reusable_run is None:
            return False
        stages = self.context.stages_for_arch(self.lane.arch)
        commands = [stages.format_command(name, workshop) for name in stages.list_stages()]
        now = build_cell_inputs(workshop.image, str(resolution.config_sha256), commands)
        outcome = self.context.reusable_run.reuse_cell(cell, now, self._prepare_log(resolution.request))
        if outcome is not None:
            self._finish_cell(outcome)
        return outcome is not None

    def _build_cells(
        self, ready: list[tuple[Cell, Resolution]], opened: LaneOpener, workshop: MakeRunner
    ) -> None:
        if not ready:
            return
        place = opened()
        sources = CommandFileReader(place)
        order = plan_visiting_order([self._parse_config(resolution) for _, resolution in ready])
        for cell, resolution in (ready[index] for index in order):
            build = partial(self._build_cell, cell, resolution, place, workshop, sources)
            self._finish_cell(self._run_guarded(cell, build))

    def _parse_config(self, resolution: Resolution) -> Config:
        digest = str(resolution.config_sha256)
        if digest not in self._parsed_configs:
            self._parsed_configs[digest] = Config.parse(str(resolution.config))
        return self._parsed_configs[digest]

    def _resolve_requests(self, resolver: Resolver, opened: LaneOpener) -> list[tuple[Cell, Resolution]]:
        resolved: list[tuple[Cell, Resolution]] = []
        for request in self.lane.requests:
            reason = self.context.find_stop_reason()
            if reason:
                self._record_stopped(request, resolver.runner.make_line, reason)
                continue
            self.context.emit(StageStarted(self.lane.name, request.id, "configure"))
            pair = self._resolve_request(request, resolver, opened)
            if pair is not None:
                resolved.append(pair)
        return resolved

    def _record_stopped(self, request: Request, make_line: str, reason: str) -> None:
        cell = create_blank_cell(request).model_copy(update={"make": make_line, "reason": reason})
        self.context.journal.record_planned_cell(cell)

    def _resolve_request(
        self, request: Request, resolver: Resolver, opened: LaneOpener
    ) -> tuple[Cell, Resolution] | None:
        log = self._prepare_log(request)
        try:
            resolution = resolver.find_stored(request) or resolve_in_lane(
                opened(), resolver, request, lambda line: log.write_lines([line])
            )
        except MachineError as error:
            cell = create_blank_cell(request).model_copy(update={"state": State.INFRA, "reason": str(error)})
            self._finish_cell(CellResult(cell, {}))
            return None
        cell = self._plan_cell(resolution, resolver)
        if resolution.config is not None:
            self.context.journal.store_config(str(resolution.config_sha256), resolution.config)
        if resolution.config is None:
            self._finish_cell(finish_unconfigured_cell(cell, resolution, log))
        elif cell.state is State.UNREACHABLE:
            self._finish_cell(CellResult(cell, {}))
        else:
            self.context.journal.record_planned_cell(cell)
        return cell, resolution

    def _plan_cell(self, resolution: Resolution, resolver: Resolver) -> Cell:
        known = (resolution, resolver.collect_fragment(resolution.request), resolver.runner.make_line)
        if resolution.config is None or resolution.is_reachable:
            return create_resolved_cell(*known)
        config = self._parse_config(resolution)
        became = find_actual_request(resolution.request, self.context.catalog, self.context.axes, config).id
        other = became if became in self.context.request_ids and became != resolution.request.id else None
        return create_resolved_cell(*known, self._explain_unreachable(resolution, config), other)

    def _explain_unreachable(self, resolution: Resolution, config: Config) -> str:
        """The first symbol that was not reached, axes before helpers, in words."""
        definitions = self.context.definitions_for_arch(resolution.request.arch)
        return explain_unreached(resolution, config, definitions, self.context.catalog)[0]

    def _build_cell(
        self,
        cell: Cell,
        resolution: Resolution,
        place: LaneDirectory,
        workshop: MakeRunner,
        sources: CommandFileReader,
    ) -> CellResult:
        twin = self._results_by_config.get(str(resolution.config_sha256))
        if twin is not None:
            return _copy_same_config(cell, twin)
        at = self._create_stage_callback(cell.id)
        stages = self.context.stages_for_arch(self.lane.arch)
        build = CellBuild(
            cell, resolution, place, workshop, stages, self._prepare_log(resolution.request), at
        )
        outcome = build.run()
        if outcome.cell.state in COMPLETE_STATES:
            # Now, as the next cell makes its own files of these.
            outcome = replace(outcome, sources=sources.find_cell_sources(outcome.objects))
        if outcome.cell.state not in UNTRIED_STATES:
            self._results_by_config[str(resolution.config_sha256)] = outcome
        return outcome

    def _create_stage_callback(self, cell: str) -> Callable[[str], None]:
        return lambda stage: self.context.emit(StageStarted(self.lane.name, cell, stage))

    def _run_guarded(self, cell: Cell, build: Callable[[], CellResult]) -> CellResult:
        """The one place where the machine's exceptions become a cell's outcome."""
        reason = self.context.find_stop_reason()
        if reason:
            return CellResult(cell.model_copy(update={"reason": reason}), {})
        try:
            return build()
        except MachineError as error:
            return CellResult(cell.model_copy(update={"state": State.INFRA, "reason": str(error)}), {})

    def _finish_cell(self, outcome: CellResult) -> None:
        if outcome.cell.state is State.FAIL:
            self.context.cell_failed.set()
        self._finished_ids.add(outcome.cell.id)
        journal = self.context.journal
        kept = {
            "objects_sha256": journal.store_objects(outcome.objects),
            "sources_sha256": journal.store_sources(outcome.sources),
        }
        cell = outcome.cell.model_copy(update=kept)
        journal.record_finished_cell(cell, outcome.diagnostics)
        self.context.emit(CellFinished(cell, outcome.first_error))

    def _prepare_log(self, request: Request) -> CellLog:
        name = Path("cells") / request.directory / "build.log"
        path = self.context.journal.directory / name
        with translate_disk_full(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return CellLog(path, str(name))


def _copy_same_config(cell: Cell, twin: CellResult) -> CellResult:
    """Another request resolved to the same .config: what was built for it holds here."""
    same = ("state", "stages", "diagnostics", "log")
    update = {name: getattr(twin.cell, name) for name in same}
    update |= {"evidence": Evidence.SAME_CONFIG, "evidence_from": twin.cell.id}
    return replace(twin, cell=cell.model_copy(update=update))
