"""One cell: its configuration is put into the lane, make runs stage by stage, and the results are read."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from matrix.builder.broken_tools import judge_last_make, needs_second_try
from matrix.builder.cell_record import CellLog, CellResult, StageOccurrence, finish_cell, pair_with_stage
from matrix.builder.kbuild_objects import (
    find_made_since,
    list_module_files,
    read_listed_objects,
    remove_object_lists,
    to_make_target,
)
from matrix.builder.lane_dir import LaneDirectory, ObjectWarnings
from matrix.catalog.types import STAGE_NAMES, StageName
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
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
            while self._needs_make(name, makes, moment, log):
                spent = sum(record.seconds for record in self._records) + sum(make.seconds for make in makes)
                makes.append(self.runner.run(targets, self.cell.id, log, spent=spent))
        result = judge_last_make(makes)
        lines = _join_lines(makes)
        printed, is_complete = bound_occurrences(
            list(parse_build_log(lines, failed=result.state is State.FAIL).occurrences),
            sum(make.left_out_messages for make in makes),
        )
        occurrences, objects, compiled = self._collect_diagnostics(name, lines, printed, moment)
        # The directory is idle only now: if the process is killed before this, the lane is dropped.
        # Marked idle first, it would be kept without its warnings.
        self.lane.save_state()
        # Warnings that were left out are not remembered: the next cell must print them again.
        if is_complete:
            self.lane.finish_step(result.state)
        state = _refine_pass(_apply_final_errors(result, occurrences), objects, occurrences)
        if state is State.FAIL and result.is_cut_short:
            occurrences, objects = _drop_stopped_tools(occurrences, objects)
        self._occurrences += pair_with_stage(name, occurrences)
        self._objects |= objects
        if state in STOPPED_STATES and result.reason:
            self._reason = result.reason
        return StageRecord(
            name=name,
            state=state,
            command=result.command,
            exit=result.exit,
            seconds=round(sum(make.seconds for make in makes), 2),
            objects=len(objects),
            compiled=len(compiled & objects),
        )

    def _needs_make(self, name: StageName, makes: list[MakeResult], moment: int, log: LineCallback) -> bool:
        """Whether make must run, or run again after those that ran: their results may ask for it."""
        if not makes:
            return True
        if makes[-1].state is not State.FAIL:
            return False
        if len(makes) == 1 and self._remove_hidden_warners(name, _join_lines(makes), moment):
            return True
        if not needs_second_try(makes):
            return False
        log("[kmatrix: a program broke: the same command once more]")
        return True

    def _remove_hidden_warners(self, name: StageName, lines: list[str], moment: int) -> bool:
        """Remove the objects whose warnings a failure hides; return whether make must run again for them.

        A directory with a failure leaves no list, so it is not known whether an object in it that warned
        earlier belongs to this configuration. Removed, it is made again and warns again, or is not made.
        """
        build, targets = self.lane.build, self.stages.list_requested_targets(name)
        belonging = (
            read_listed_objects(build, targets)
            | list_module_files(build, targets)
            | parse_build_log(lines).compiled_objects
        )
        unknown = {item for item, kept in self.lane.warnings.items() if kept.listed and item not in belonging}
        hidden = {
            item
            for item in unknown - find_made_since(build, unknown, moment)
            if self.lane.files.stat_file(item)
        }
        self.lane.remove_objects(hidden)
        return bool(hidden)

    def _collect_diagnostics(
        self, name: StageName, lines: list[str], printed: list[Occurrence], moment: int
    ) -> tuple[list[Occurrence], frozenset[str], frozenset[str]]:
        """(what was printed now or is carried over, the stage's objects, what was compiled now).

        A directory with a failure leaves no list: what the log shows compiled counts as the stage's then.
        """
        build, targets = self.lane.build, self.stages.list_requested_targets(name)
        failing = _has_error(printed)
        objects = read_listed_objects(build, targets) | (
            self._find_logged_objects(name, lines, printed) if failing else frozenset()
        )
        blamed = frozenset(item.object for item in printed if item.object)
        compiled = find_made_since(build, objects | self.lane.warnings.keys(), moment) | blamed
        belonging = objects | list_module_files(build, targets)
        carried = [
            Occurrence(diagnostic, item)
            for item, kept in self.lane.warnings.items()
            if item not in compiled
            and (item in belonging if kept.listed else self.lane.files.stat_file(item))
            for diagnostic in kept.diagnostics
        ]
        self._remember_warnings(printed, belonging, compiled, failing=failing)
        return [*printed, *carried], objects, compiled

    def _find_logged_objects(
        self, name: StageName, lines: list[str], printed: list[Occurrence]
    ) -> frozenset[str]:
        """Objects that the log shows compiled, without what make prepares for any target."""
        if name != "focus":
            return parse_build_log(lines).compiled_objects
        targets = tuple(self.stages.list_make_targets(name))
        blamed = {item.object for item in printed if item.diagnostic.severity == "error"}
        return frozenset(
            item
            for item in parse_build_log(lines).compiled_objects
            if item.startswith(targets) or item in blamed
        )

    def _remember_warnings(
        self, printed: list[Occurrence], belonging: frozenset[str], compiled: frozenset[str], *, failing: bool
    ) -> None:
        """Remember the warnings of whatever was compiled now, in place of its earlier ones."""
        # Listed is what a list names: what a log alone shows may be made for every configuration.
        if not failing:
            self.lane.listed_objects |= belonging
        for item in compiled:
            warnings = tuple(
                o.diagnostic for o in printed if o.object == item and o.diagnostic.severity == "warning"
            )
            self.lane.warnings.pop(item, None)
            if warnings and failing and item.endswith(".o"):
                # Without its directory's list, where it belongs is not known; made again, it warns again.
                self.lane.remove_objects([item])
            elif warnings:
                self.lane.warnings[item] = ObjectWarnings(listed=item in belonging, diagnostics=warnings)


_FINAL_ERROR_TOOLS = frozenset({"gcc", "clang", "as", "ld", "lld", "modpost"})


def _has_error(occurrences: list[Occurrence]) -> bool:
    return any(item.diagnostic.severity == "error" for item in occurrences)


def _apply_final_errors(result: MakeResult, occurrences: list[Occurrence]) -> State:
    """A printed failure is final: an error with its line in the source stands, whatever came after.

    An error that may have come of the fault itself, as of a full disk, does not.
    """
    errors = (item.diagnostic for item in occurrences if item.diagnostic.severity == "error")
    refused = any(_is_final(error) for error in errors)
    return State.FAIL if refused and result.is_cut_short else result.state


def _drop_stopped_tools(
    occurrences: list[Occurrence], objects: frozenset[str]
) -> tuple[list[Occurrence], frozenset[str]]:
    """The same without the errors of tools that were stopped, which are not the tree's, and without the
    objects that those were making."""
    stopped = [
        item for item in occurrences if item.diagnostic.severity == "error" and not _is_final(item.diagnostic)
    ]
    left = [item for item in occurrences if item not in stopped]
    return left, objects - {item.object for item in stopped if item.object}


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
