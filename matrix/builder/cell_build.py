"""One cell: its configuration is put into the lane, make runs stage by stage, and the results are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from matrix.builder.broken_tools import judge_last_make, needs_second_try
from matrix.builder.cell_record import CellLog, CellResult, StageOccurrence, finish_cell, pair_with_stage
from matrix.builder.dry_run import parse_dry_run
from matrix.builder.kbuild_objects import has_object_lists, remove_object_lists, to_make_target
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lane_objects import LaneObjects, MadeDirectory
from matrix.builder.prepared_files import PreparedFiles
from matrix.builder.stage_objects import (
    StageObjects,
    read_built_objects,
    read_failing_objects,
)
from matrix.catalog.types import STAGE_NAMES, StageName
from matrix.diagnostics.diagnostic import BuildLog, Diagnostic, Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.engine.protocol import LineCallback
from matrix.errors import MachineError
from matrix.file_times import find_future_file, touch_future_files
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

    def find_skip_state(self, name: StageName, config: Config, last: State) -> State | None:
        """The state of a stage that need not be made: no focus in this tree, no modules, or no kernel to
        build them against. ``last``: of the stage before."""
        if not self.list_requested_targets(name):
            return State.EMPTY
        if name == "modules" and config.value_of("MODULES") != "y":
            return State.EMPTY
        if last in UNTRIED_STATES or (name == "modules" and last is State.FAIL):
            return State.NOT_RUN
        return None

    def format_command(self, name: StageName, runner: MakeRunner) -> str:
        """The stage's make command, as it is typed."""
        return runner.format_command(self.list_make_targets(name))


@dataclass
class CellBuild:
    """Builds one reachable cell in its lane's directory. ``on_stage`` is called with each stage's name.

    ``listed_objects``: afterwards, all that the lists of its stages name. ``warned``: whatever something was
    printed of, by its name. ``has_nameless_warning``: whether it is unknown of what something was printed.
    """

    cell: Cell
    resolution: Resolution
    objects: LaneObjects
    prepared: PreparedFiles
    runner: MakeRunner
    stages: Stages
    log: CellLog
    on_stage: Callable[[str], None]
    listed_objects: set[str] = field(default_factory=set)
    warned: set[str] = field(default_factory=set)
    has_nameless_warning: bool = False
    _records: list[StageRecord] = field(default_factory=list)
    _occurrences: list[StageOccurrence] = field(default_factory=list)
    _objects: set[str] = field(default_factory=set)
    _reason: str | None = None
    _has_put_back: bool = False
    _ends: list[MakeResult] = field(default_factory=list)
    _is_whole: bool = True

    @property
    def lane(self) -> LaneDirectory:
        return self.objects.lane

    @cached_property
    def config(self) -> Config:
        """The cell's configuration."""
        return Config.parse(str(self.resolution.config))

    def run(self) -> CellResult:
        """Make every stage; what later builds can use is kept in its lane's directory and in the memory."""
        if self.lane.is_broken:
            self.lane.reset_build()
        self._records.append(self.resolution.stage)
        self._occurrences += pair_with_stage("configure", self.resolution.diagnostics)
        self.lane.put_config(str(self.resolution.config))
        for name in self.stages.list_stages():
            self.on_stage(name)
            state = self.stages.find_skip_state(name, self.config, self._records[-1].state)
            try:
                record = self._run_stage(name) if state is None else self._build_idle_record(name, state)
            except MachineError as error:
                # What earlier stages showed stays in the record. What is in the directory does not: a
                # container may have been killed there.
                record = self._build_idle_record(name, State.INFRA)
                self._reason, self._is_whole = str(error), False
            self._records.append(record)
        self._release_lane()
        cell = self.cell.model_copy(update={"reason": self._reason})
        result = finish_cell(cell, self._records, self._occurrences, self.log, frozenset(self._objects))
        result = replace(result, is_whole=self._is_whole)
        if result.cell.state in UNTRIED_STATES or self._is_config_unchanged():
            return result
        return self._mark_untrusted(result)

    def _release_lane(self) -> None:
        """Leave the directory to the next cell: idle, where every make came to an end of its own."""
        # make does not repeat what it printed of them. Now, as a later stage needs what an earlier one made;
        # and before the directory is idle: if the process is killed until then, the lane is dropped.
        self.objects.remove_unkept(self.warned)
        self.lane.save_state()
        if self._ends and self._is_whole and not self.has_nameless_warning:
            self.lane.finish_step(_find_stopped_state(self._ends))

    def _is_config_unchanged(self) -> bool:
        # kbuild's syncconfig runs conf once more; with another result, what was built is another cell.
        text = self.lane.files.read_text(".config") or ""
        return text == self.resolution.config or not Config.parse(text).diff(self.config)

    def _mark_untrusted(self, result: CellResult) -> CellResult:
        self.lane.mark_busy()
        reason = "the build changed its own configuration, so nothing is known of this one"
        cell = result.cell.model_copy(update={"state": State.INFRA, "reason": reason})
        return replace(result, cell=cell)

    def _build_idle_record(self, name: StageName, state: State) -> StageRecord:
        """The record of a stage in which make did not run to an end."""
        return StageRecord(name=name, state=state, command=self.stages.format_command(name, self.runner))

    def _run_stage(self, name: StageName) -> StageRecord:
        targets = self.stages.list_make_targets(name)
        remove_object_lists(self.lane.build, targets)
        self.lane.mark_busy()
        with self.log.open_sink() as log:
            # Which objects fit depends on the headers that make generates.
            before = (
                [self.runner.run(("prepare",), self.cell.id, log, spent=self._sum_seconds([]))]
                if self._needs_headers()
                else []
            )
            self._put_objects_back(before)
            moment, makes = self.lane.mark_busy(), list[MakeResult]()
            while not _is_stopped(before) and self._needs_make(makes, log):
                spent = self._sum_seconds([*before, *makes])
                makes.append(self.runner.run(targets, self.cell.id, log, spent=spent))
            answer = self._ask_make(name, (makes or before)[-1], [*before, *makes])
            if makes and _has_failed(answer) and self.objects.remove_warned():
                # Not even make knows what belongs there (an object without a source). So nobody knows whose
                # warnings hold; made again, they are printed again.
                spent = self._sum_seconds([*before, *makes, *answer])
                makes.append(self.runner.run(targets, self.cell.id, log, spent=spent))
        result = judge_last_make(makes or before)
        printed, is_complete = _parse_makes(makes or before, result.state)
        prepared, is_prepared_complete = _list_warnings(before) if makes else ([], True)
        directory = MadeDirectory(self.objects.list_entries(), moment)
        objects = self._find_objects(name, printed, answer, directory)
        self.listed_objects |= objects.listed
        made = [*prepared, *printed.occurrences, *self.objects.list_warnings(objects.current)]
        occurrences = _drop_repeated_warnings(made, self.resolution.diagnostics)
        self._ends += [result, *answer]
        self.has_nameless_warning |= any(map(_is_nameless, occurrences))
        if is_complete and result.state not in UNTRIED_STATES:
            self._keep_objects(objects, printed, directory)
        self.warned |= {item.object for item in occurrences if item.object}
        state = _refine_pass(_apply_final_errors(result, occurrences), objects.own, occurrences)
        if state is State.FAIL and result.is_cut_short:
            occurrences, objects = _drop_stopped_tools(occurrences, objects)
        self._occurrences += pair_with_stage(name, occurrences)
        self._objects = self._objects - objects.unproven | objects.collect_recorded()
        self._is_whole &= is_complete and is_prepared_complete
        self._is_whole &= result.state not in UNTRIED_STATES and not result.is_cut_short
        if state in STOPPED_STATES and result.reason:
            self._reason = result.reason
        return StageRecord(
            name=name,
            state=state,
            command=makes[-1].command if makes else self.stages.format_command(name, self.runner),
            exit=result.exit,
            seconds=round(sum(make.seconds for make in (*before, *makes, *answer)), 2),
            objects=len(objects.own),
            compiled=len(objects.compiled & objects.own),
        )

    def _needs_headers(self) -> bool:
        """Whether a make is to prepare the headers, once for all stages: where objects may be put back, which
        fit or not by the headers, and these are not known without one."""
        if self._has_put_back or not self.objects.has_candidates:
            return False
        return not self.prepared.put_back(str(self.resolution.config_sha256))

    def _put_objects_back(self, prepared: list[MakeResult]) -> None:
        """Put back what is on record, once for all stages, before the first make of the cell.

        ``prepared`` is the make of the headers, if there was one. Where it failed, nothing is known to fit,
        and all of the kind that is put back is removed: what stands of it may be on record with warnings,
        which make would not repeat.
        """
        has_put_back, self._has_put_back = self._has_put_back, True
        if has_put_back or _is_stopped(prepared):
            return
        # What no build leaves may make the next make hang: it is found here, and not by waiting for it.
        future = find_future_file(self.lane.build)
        if _has_failed(prepared) or not self._is_config_unchanged():
            self.objects.remove_kept_kind()
            return
        if future:
            # make would complain of a clock, and take them for newer than any object that is put back.
            touch_future_files(self.lane.build)
        self.objects.put_back(self.config)

    def _keep_objects(self, objects: StageObjects, printed: BuildLog, directory: MadeDirectory) -> None:
        """Remember what was compiled. With another configuration than the cell's, it would be another's."""
        if not self._is_config_unchanged():
            return
        if not printed.has_error:
            self.lane.listed_objects |= objects.listed
        compiled = self.objects.find_compiled(directory) - objects.unproven
        listed = objects.listed | objects.current
        self.objects.keep_compiled(
            self.config, self.cell.id, compiled, printed.occurrences, listed, directory.entries
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
        self, name: StageName, printed: BuildLog, answer: list[MakeResult], directory: MadeDirectory
    ) -> StageObjects:
        """The stage's objects. ``answer``: the dry run after it, if there was one."""
        targets = self.stages.list_requested_targets(name)
        if not printed.has_error:
            return read_built_objects(self.objects, targets, printed.occurrences, directory)
        dry_run = parse_dry_run(line for make in answer for line in make.lines)
        return read_failing_objects(self.objects, targets, printed, dry_run, directory)


def _parse_makes(makes: list[MakeResult], state: State) -> tuple[BuildLog, bool]:
    """(what the makes of a stage printed, whether all of that is kept)."""
    printed = parse_build_log(_join_lines(makes), failed=state is State.FAIL)
    left_out = sum(make.left_out_messages for make in makes)
    occurrences, is_complete = bound_occurrences(list(printed.occurrences), left_out)
    return printed._replace(occurrences=tuple(occurrences)), is_complete


def _is_stopped(makes: list[MakeResult]) -> bool:
    """Whether a limit or a fault ended one of them: then there is no use in another."""
    return any(make.state in UNTRIED_STATES for make in makes)


def _has_failed(makes: list[MakeResult]) -> bool:
    return any(make.state is State.FAIL for make in makes)


def _is_nameless(item: Occurrence) -> bool:
    """Whether nothing shows what is to be made again for this warning to be printed again: only in an empty
    directory all is. make and conf repeat their own."""
    own = ("make", "kconfig")
    return item.object is None and item.diagnostic.severity == "warning" and item.diagnostic.tool not in own


def _list_warnings(prepared: list[MakeResult]) -> tuple[list[Occurrence], bool]:
    """(what was printed while the headers were prepared, whether that is all). Errors are left out: make
    repeats them."""
    printed, is_complete = _parse_makes(prepared, State.FAIL)
    return [item for item in printed.occurrences if item.diagnostic.severity == "warning"], is_complete


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


def _drop_repeated_warnings(printed: list[Occurrence], configured: Sequence[Occurrence]) -> list[Occurrence]:
    """Without Kconfig's warnings that the configure step has: make's own conf says them again, or does not
    run at all, as what it makes was there or was put back. So they are the configure step's alone."""
    known = {item.diagnostic.key for item in configured if item.diagnostic.severity == "warning"}
    return [item for item in printed if item.diagnostic.key not in known]


def _refine_pass(state: State, objects: frozenset[str], occurrences: list[Occurrence]) -> State:
    """make's success is a pass only if an object of the stage belongs to this configuration."""
    if state is not State.PASS:
        return state
    if not objects:
        return State.EMPTY
    return State.WARN if occurrences else State.PASS
