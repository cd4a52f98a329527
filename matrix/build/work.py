"""What a lane does: resolve its requests, order the reachable ones, build them one after another."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from matrix.build.cell import CellBuild
from matrix.build.lane import LaneDirectory, lane_directory
from matrix.build.order import visiting_order
from matrix.build.plan import Lane, Plan
from matrix.build.row import Log, Outcome, blank, configured_only, planned
from matrix.build.sources import Sources
from matrix.build.unaffected import given
from matrix.errors import MachineError
from matrix.kconfig.config import Config
from matrix.plan.request import Request
from matrix.record.events import CellFinished, LaneAt
from matrix.record.files import no_space
from matrix.record.model import Cell
from matrix.record.outcome import UNTRIED, WHOLE, Evidence, State
from matrix.resolve.make import Workshop
from matrix.resolve.reasons import unreached
from matrix.resolve.resolution import Resolution, actual
from matrix.resolve.resolver import Resolver


def resolve_in(
    place: LaneDirectory, resolver: Resolver, request: Request, log: Callable[[str], None]
) -> Resolution:
    """Resolve one request in a lane's directory, which is made anew where it cannot be trusted."""
    if place.broken:
        place.renew()
    place.begin()
    resolution = resolver.resolve(request, log)
    if resolution.stage.state not in UNTRIED:
        place.end()
    return resolution


Opened = Callable[[], LaneDirectory]
"""A lane's directory, opened when it is first asked for."""


@dataclass
class LaneWork:
    """One lane at work, in a thread of its own."""

    lane: Lane
    plan: Plan
    _built: dict[str, Outcome] = field(default_factory=dict)
    _configs: dict[str, Config] = field(default_factory=dict)
    _finished: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Resolve all, then build what is reachable. A fault of the machine ends this lane and no other."""
        try:
            self._in_its_directory()
        except MachineError as error:
            for request in self.lane.requests:
                if request.id not in self._finished:
                    row = blank(request).model_copy(update={"state": State.INFRA, "reason": str(error)})
                    self._finish(Outcome(row, {}))

    def _in_its_directory(self) -> None:
        with ExitStack() as stack:
            self._work(cache(lambda: stack.enter_context(self._directory())))

    def _directory(self) -> AbstractContextManager[LaneDirectory]:
        plan, lane, site = self.plan, self.lane, self.plan.site
        key = lane.key(plan.stages(lane.arch), plan.images[lane.toolchain], plan.variables(lane))
        return lane_directory(plan.cache.root / "lanes", key, site.tree, plan.cache, site.user)

    def _work(self, opened: Opened) -> None:
        """Only make needs the directory: it may be large, and a patched tree's starts as a copy."""
        plan = self.plan
        image, variables = plan.images[self.lane.toolchain], plan.variables(self.lane)
        workshop = Workshop(plan.site, image, variables, lambda: opened().build)
        resolver = Resolver(workshop, plan.catalog, dict(plan.fixed), plan.cache.root / "resolutions")
        ready = [
            (cell, resolution)
            for cell, resolution in self._resolve_all(resolver, opened)
            if resolution.reachable
        ]
        if plan.build:
            self._build_all([pair for pair in ready if not self._spared(*pair, workshop)], opened, workshop)

    def _spared(self, cell: Cell, resolution: Resolution, workshop: Workshop) -> bool:
        """Whether the cell need not be built, as nothing changed for it; its row says so then."""
        if self.plan.before is None:
            return False
        stages = self.plan.stages(self.lane.arch)
        commands = [stages.typed(name, workshop) for name in stages.names()]
        now = given(workshop.image, str(resolution.config_sha256), commands)
        outcome = self.plan.before.outcome(cell, now, self._log(resolution.request))
        if outcome is not None:
            self._finish(outcome)
        return outcome is not None

    def _build_all(self, ready: list[tuple[Cell, Resolution]], opened: Opened, workshop: Workshop) -> None:
        if not ready:
            return
        place = opened()
        sources = Sources(place)
        order = visiting_order([self._config(resolution) for _, resolution in ready])
        for cell, resolution in (ready[index] for index in order):
            build = partial(self._build, cell, resolution, place, workshop, sources)
            self._finish(self._guarded(cell, build))

    def _config(self, resolution: Resolution) -> Config:
        digest = str(resolution.config_sha256)
        if digest not in self._configs:
            self._configs[digest] = Config.parse(str(resolution.config))
        return self._configs[digest]

    def _resolve_all(self, resolver: Resolver, opened: Opened) -> list[tuple[Cell, Resolution]]:
        resolved: list[tuple[Cell, Resolution]] = []
        for request in self.lane.requests:
            reason = self.plan.stopped()
            if reason:
                self._note_stopped(request, resolver.workshop.make_line, reason)
                continue
            self.plan.emit(LaneAt(self.lane.name, request.id, "configure"))
            pair = self._resolve(request, resolver, opened)
            if pair is not None:
                resolved.append(pair)
        return resolved

    def _note_stopped(self, request: Request, make_line: str, reason: str) -> None:
        cell = blank(request).model_copy(update={"make": make_line, "reason": reason})
        self.plan.journal.note(cell)

    def _resolve(
        self, request: Request, resolver: Resolver, opened: Opened
    ) -> tuple[Cell, Resolution] | None:
        log = self._log(request)
        try:
            resolution = resolver.known(request) or resolve_in(
                opened(), resolver, request, lambda line: log.write([line])
            )
        except MachineError as error:
            cell = blank(request).model_copy(update={"state": State.INFRA, "reason": str(error)})
            self._finish(Outcome(cell, {}))
            return None
        cell = self._planned(resolution, resolver)
        if resolution.config is not None:
            self.plan.journal.keep_config(str(resolution.config_sha256), resolution.config)
        if resolution.config is None:
            self._finish(configured_only(cell, resolution, log))
        elif cell.state is State.UNREACHABLE:
            self._finish(Outcome(cell, {}))
        else:
            self.plan.journal.note(cell)
        return cell, resolution

    def _planned(self, resolution: Resolution, resolver: Resolver) -> Cell:
        known = (resolution, resolver.fragment_of(resolution.request), resolver.workshop.make_line)
        if resolution.config is None or resolution.reachable:
            return planned(*known)
        config = self._config(resolution)
        became = actual(resolution.request, self.plan.catalog, self.plan.axes, config).id
        other = became if became in self.plan.ids and became != resolution.request.id else None
        return planned(*known, self._reason(resolution, config), other)

    def _reason(self, resolution: Resolution, config: Config) -> str:
        """The first symbol that was not reached, axes before helpers, in words."""
        definitions = self.plan.definitions(resolution.request.arch)
        return unreached(resolution, config, definitions, self.plan.catalog)[0]

    def _build(
        self,
        cell: Cell,
        resolution: Resolution,
        place: LaneDirectory,
        workshop: Workshop,
        sources: Sources,
    ) -> Outcome:
        twin = self._built.get(str(resolution.config_sha256))
        if twin is not None:
            return _same_config(cell, twin)
        at = self._announcer(cell.id)
        stages = self.plan.stages(self.lane.arch)
        build = CellBuild(cell, resolution, place, workshop, stages, self._log(resolution.request), at)
        outcome = build.run()
        if outcome.cell.state in WHOLE:
            # Now, as the next cell makes its own files of these.
            outcome = replace(outcome, sources=sources.of(outcome.objects))
        if outcome.cell.state not in UNTRIED:
            self._built[str(resolution.config_sha256)] = outcome
        return outcome

    def _announcer(self, cell: str) -> Callable[[str], None]:
        return lambda stage: self.plan.emit(LaneAt(self.lane.name, cell, stage))

    def _guarded(self, cell: Cell, build: Callable[[], Outcome]) -> Outcome:
        """The one place where the machine's exceptions become a cell's outcome."""
        reason = self.plan.stopped()
        if reason:
            return Outcome(cell.model_copy(update={"reason": reason}), {})
        try:
            return build()
        except MachineError as error:
            return Outcome(cell.model_copy(update={"state": State.INFRA, "reason": str(error)}), {})

    def _finish(self, outcome: Outcome) -> None:
        if outcome.cell.state is State.FAIL:
            self.plan.failed.set()
        self._finished.add(outcome.cell.id)
        journal = self.plan.journal
        kept = {
            "objects_sha256": journal.keep_objects(outcome.objects),
            "sources_sha256": journal.keep_sources(outcome.sources),
        }
        cell = outcome.cell.model_copy(update=kept)
        journal.finish(cell, outcome.diagnostics)
        self.plan.emit(CellFinished(cell, outcome.title))

    def _log(self, request: Request) -> Log:
        name = Path("cells") / request.directory / "build.log"
        path = self.plan.journal.directory / name
        with no_space(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return Log(path, str(name))


def _same_config(cell: Cell, twin: Outcome) -> Outcome:
    """Another request resolved to the same .config: what was built for it holds here."""
    same = ("state", "stages", "diagnostics", "log")
    update = {name: getattr(twin.cell, name) for name in same}
    update |= {"evidence": Evidence.SAME_CONFIG, "evidence_from": twin.cell.id}
    return replace(twin, cell=cell.model_copy(update=update))
