"""One cell: its configuration is put into the lane, make runs stage by stage, and the results are read."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from matrix.builder.broken_tools import judge_last_make, needs_second_try
from matrix.builder.cell_record import CellLog, CellResult, StageOccurrence, finish_cell, pair_with_stage
from matrix.builder.dry_run import parse_dry_run
from matrix.builder.kbuild_objects import has_object_lists, remove_object_lists, to_make_target
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.stage_objects import (
    StageObjects,
    list_carried_warnings,
    read_built_objects,
    read_failing_objects,
    remember_warnings,
)
from matrix.catalog.types import STAGE_NAMES, StageName
from matrix.diagnostics.diagnostic import BuildLog, Diagnostic, Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.engine.protocol import LineCallback
from matrix.errors import MachineError
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, StageRecord
from matrix.record.states import STOPPED_STATES, UNTRIED_STATES, State
from matrix.resolve.make_runner import MakeResult, MakeRunner
from matrix.resolve.resolution import Resolution
from matrix.resolve.step_output import bound_occurrences


@dataclass(frozen=True)
class Stages:
    """How far to build. ``focus``: directories (``drivers/vfio/``) or objects of this arch.

    ``absent`` are those of the focus that this tree has not, before or after a patch. They are no part of
    what names a lane's directory: with the patch, it starts as a copy of the one without.
    """

    last: StageName
    focus: tuple[str, ...]
    absent: frozenset[str] = field(default=frozenset(), repr=False)

    def list_stages(self) -> tuple[StageName, ...]:
        """The stages up to the last one; without a focus there is no focus stage."""
        upto = STAGE_NAMES[: STAGE_NAMES.index(self.last) + 1]
        return upto if self.focus else upto[1:]

    def list_requested_targets(self, name: StageName) -> tuple[str, ...]:
        """The targets that the stage is judged by."""
        return tuple(path for path in self.focus if path not in self.absent) if name == "focus" else (name,)

    def list_make_targets(self, name: StageName) -> tuple[str, ...]:
        """The targets of the make command: directories in place of objects, as kbuild decides there what
        belongs."""
        return tuple(dict.fromkeys(map(to_make_target, self.list_requested_targets(name))))

    def format_command(self, name: StageName, runner: MakeRunner) -> str:
        """The stage's make command, as it is typed."""
        return runner.format_command(self.list_make_targets(name))


@dataclass
class CellBuild:
    """Builds one reachable cell in its lane's directory. ``on_stage`` is called with each stage's name."""

    cell: Cell
    resolution: Resolution
    lane: LaneDirectory
    runner: MakeRunner
    stages: Stages
    log: CellLog
    on_stage: Callable[[str], None]
    _records: list[StageRecord] = field(default_factory=list)
    _occurrences: list[StageOccurrence] = field(default_factory=list)
    _objects: set[str] = field(default_factory=set)
    _is_whole: bool = True
    _reason: str | None = None

    def run(self) -> CellResult:
        """Make every stage; what the next cell of the lane needs is kept in its directory."""
        if self.lane.is_broken:
            self.lane.reset_build()
        self._records.append(self.resolution.stage)
        self._occurrences += pair_with_stage("configure", self.resolution.diagnostics)
        self.lane.put_config(str(self.resolution.config))
        for name in self.stages.list_stages():
            self.on_stage(name)
            state = self._find_skip_state(name)
            try:
                record = self._run_stage(name) if state is None else self._build_idle_record(name, state)
            except MachineError as error:
                # What earlier stages showed stays in the record.
                record = self._build_idle_record(name, State.INFRA)
                self._reason = str(error)
            self._records.append(record)
        cell = self.cell.model_copy(update={"reason": self._reason})
        result = finish_cell(cell, self._records, self._occurrences, self.log, frozenset(self._objects))
        result = replace(result, is_whole=self._is_whole)
        if result.cell.state in UNTRIED_STATES or self._is_config_unchanged():
            return result
        return self._mark_untrusted(result)

    def _is_config_unchanged(self) -> bool:
        # kbuild's syncconfig runs conf once more; with another result, what was built is another cell.
        text = self.lane.files.read_text(".config") or ""
        return text == self.resolution.config or not Config.parse(text).diff(
            Config.parse(str(self.resolution.config))
        )

    def _mark_untrusted(self, result: CellResult) -> CellResult:
        self.lane.mark_busy()
        reason = "the build changed its own configuration, so nothing is known of this one"
        cell = result.cell.model_copy(update={"state": State.INFRA, "reason": reason})
        return replace(result, cell=cell)

    def _find_skip_state(self, name: StageName) -> State | None:
        """The state of a stage that need not be made: no focus in this tree, no modules, or no kernel to
        build them against."""
        last = self._records[-1].state
        if not self.stages.list_requested_targets(name):
            return State.EMPTY
        if name == "modules" and Config.parse(str(self.resolution.config)).value_of("MODULES") != "y":
            return State.EMPTY
        if last in UNTRIED_STATES or (name == "modules" and last is State.FAIL):
            return State.NOT_RUN
        return None

    def _build_idle_record(self, name: StageName, state: State) -> StageRecord:
        """The record of a stage in which make did not run to an end."""
        return StageRecord(name=name, state=state, command=self.stages.format_command(name, self.runner))

    def _run_stage(self, name: StageName) -> StageRecord:
        targets = self.stages.list_make_targets(name)
        remove_object_lists(self.lane.build, targets)
        moment = self.lane.mark_busy()
        makes: list[MakeResult] = []
        with self.log.open_sink() as log:
            while self._needs_make(makes, log):
                makes.append(self.runner.run(targets, self.cell.id, log, spent=self._sum_seconds(makes)))
        result = judge_last_make(makes)
        printed, is_complete = _parse_makes(makes, result.state)
        answer = self._ask_make(name, result, makes)
        objects = self._find_objects(name, printed, answer, moment)
        carried = list_carried_warnings(self.lane, objects)
        remember_warnings(self.lane, printed.occurrences, objects, failing=printed.has_error)
        # The directory is idle only now: if the process is killed before this, the lane is dropped.
        # Marked idle first, it would be kept without its warnings.
        self.lane.save_state()
        # Warnings that were left out are not remembered: the next cell must print them again.
        if is_complete:
            self.lane.finish_step(_find_stopped_state([result, *answer]))
        occurrences = [*printed.occurrences, *carried]
        state = _refine_pass(_apply_final_errors(result, occurrences), objects.own, occurrences)
        if state is State.FAIL and result.is_cut_short:
            occurrences, objects = _drop_stopped_tools(occurrences, objects)
        self._occurrences += pair_with_stage(name, occurrences)
        self._objects = self._objects - objects.unproven | objects.proven
        self._is_whole &= is_complete and result.state not in UNTRIED_STATES and not result.is_cut_short
        if state in STOPPED_STATES and result.reason:
            self._reason = result.reason
        return StageRecord(
            name=name,
            state=state,
            command=result.command,
            exit=result.exit,
            seconds=round(sum(make.seconds for make in (*makes, *answer)), 2),
            objects=len(objects.own),
            compiled=len(objects.compiled & objects.own),
        )

    def _sum_seconds(self, makes: list[MakeResult]) -> float:
        """What was spent of the cell's time limit: by its earlier stages, and by these makes."""
        return sum(record.seconds for record in self._records) + sum(make.seconds for make in makes)

    def _needs_make(self, makes: list[MakeResult], log: LineCallback) -> bool:
        """Whether make must run, or run again after those that ran: their results may ask for it."""
        if not makes:
            return True
        if makes[-1].state is not State.FAIL:
            return False
        if not needs_second_try(makes):
            return False
        log("[kmatrix: a program broke: the same command once more]")
        return True

    def _ask_make(self, name: StageName, result: MakeResult, makes: list[MakeResult]) -> list[MakeResult]:
        """A dry run after a failure that left a directory without its list; none after any other end.

        An object that was made for an earlier configuration is not compiled again, so the log is silent of
        it. make knows that it belongs to this one, and that it is up to date.
        """
        requested = self.stages.list_requested_targets(name)
        if result.state is not State.FAIL or has_object_lists(self.lane.build, requested):
            return []
        targets, spent = self.stages.list_make_targets(name), self._sum_seconds(makes)
        return [self.runner.run(targets, self.cell.id, lambda _: None, spent=spent, dry_run=True)]

    def _find_objects(
        self, name: StageName, printed: BuildLog, answer: list[MakeResult], moment: int
    ) -> StageObjects:
        """The stage's objects. ``answer``: the dry run after it, if there was one."""
        targets = self.stages.list_requested_targets(name)
        if not printed.has_error:
            return read_built_objects(self.lane, targets, printed.occurrences, moment)
        dry_run = parse_dry_run(line for make in answer for line in make.lines)
        return read_failing_objects(self.lane, targets, printed, dry_run, moment)


def _parse_makes(makes: list[MakeResult], state: State) -> tuple[BuildLog, bool]:
    """(what the makes of a stage printed, whether all of that is kept)."""
    printed = parse_build_log(_join_lines(makes), failed=state is State.FAIL)
    left_out = sum(make.left_out_messages for make in makes)
    occurrences, is_complete = bound_occurrences(list(printed.occurrences), left_out)
    return printed._replace(occurrences=tuple(occurrences)), is_complete


def _find_stopped_state(makes: list[MakeResult]) -> State:
    """The state of the first that came to no end of its own, or else of the first."""
    return next((make.state for make in makes if make.state in UNTRIED_STATES), makes[0].state)


_FINAL_ERROR_TOOLS = frozenset({"gcc", "clang", "as", "ld", "lld", "modpost"})


def _apply_final_errors(result: MakeResult, occurrences: list[Occurrence]) -> State:
    """A printed failure is final: an error with its line in the source stands, whatever came after.

    An error that may have come of the fault itself, as of a full disk, does not.
    """
    errors = (item.diagnostic for item in occurrences if item.diagnostic.severity == "error")
    refused = any(_is_final(error) for error in errors)
    return State.FAIL if refused and result.is_cut_short else result.state


def _drop_stopped_tools(
    occurrences: list[Occurrence], objects: StageObjects
) -> tuple[list[Occurrence], StageObjects]:
    """The same without the errors of tools that were stopped, which are not the tree's, and without the
    objects that those were making."""
    stopped = [
        item for item in occurrences if item.diagnostic.severity == "error" and not _is_final(item.diagnostic)
    ]
    left = [item for item in occurrences if item not in stopped]
    return left, objects.exclude(frozenset(item.object for item in stopped if item.object))


def _is_final(error: Diagnostic) -> bool:
    return error.tool in _FINAL_ERROR_TOOLS and error.line is not None and not error.internal


def _join_lines(makes: list[MakeResult]) -> list[str]:
    return [line for make in makes for line in (f"$ {make.command}", *make.lines)]


def _refine_pass(state: State, objects: frozenset[str], occurrences: list[Occurrence]) -> State:
    """make's success is a pass only if an object of the stage belongs to this configuration."""
    if state is not State.PASS:
        return state
    if not objects:
        return State.EMPTY
    return State.WARN if occurrences else State.PASS
