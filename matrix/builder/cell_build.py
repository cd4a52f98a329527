"""One cell: its configuration put into the lane, make run stage by stage, and what came out."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import (
    parse_compiled_objects,
    parse_diagnostics,
    summarize_unrecognized_log,
)
from matrix.engine.protocol import ContainerResult
from matrix.errors import MachineError
from matrix.fs import translate_disk_full
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell, StageRecord
from matrix.record.states import CUT_SHORT_STATES, PROVEN_STATES, UNTRIED_STATES, State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolver import classify_step


@dataclass(frozen=True)
class Stages:
    """How far to build. ``focus``: directories (``drivers/vfio/``) or objects of this arch."""

    last: StageName
    focus: tuple[str, ...]

    def list_stages(self) -> tuple[StageName, ...]:
        """The stages up to the last one; without a focus there is no focus stage."""
        upto = STAGE_NAMES[: STAGE_NAMES.index(self.last) + 1]
        return upto if self.focus else upto[1:]

    def list_requested_targets(self, name: StageName) -> tuple[str, ...]:
        """What the stage is about."""
        return self.focus if name == "focus" else (name,)

    def list_make_targets(self, name: StageName) -> tuple[str, ...]:
        """What make is asked for: the directories of objects, as kbuild decides there what belongs."""
        return tuple(dict.fromkeys(map(to_make_target, self.list_requested_targets(name))))

    def format_command(self, name: StageName, workshop: MakeRunner) -> str:
        """The stage's make command, as text."""
        return shlex.join(workshop.build_command(self.list_make_targets(name)))


@dataclass
class CellBuild:
    """Builds one reachable cell in its lane's directory. ``at`` hears the name of each stage."""

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
    _failure_reason: str | None = None

    def run(self) -> CellResult:
        """Make every stage; the lane remembers what it must for the next cell."""
        if self.lane.is_broken:
            self.lane.reset_build()
        self._records.append(self.resolution.stage)
        self._occurrences += pair_with_stage("configure", self.resolution.diagnostics)
        self.lane.put_config(str(self.resolution.config))
        for name in self.stages.list_stages():
            self.on_stage(name)
            self._records.append(self._skip_stage(name) or self._try_stage(name))
        cell = self.cell.model_copy(update={"reason": self._failure_reason})
        outcome = finish_cell(cell, self._records, self._occurrences, self.log, frozenset(self._objects))
        if outcome.cell.state in UNTRIED_STATES:
            return outcome
        return outcome if self._is_config_unchanged() else self._mark_untrusted(outcome)

    def _try_stage(self, name: StageName) -> StageRecord:
        """A stage, or the record that the machine failed in it: what earlier stages showed stays seen."""
        try:
            return self._run_stage(name)
        except MachineError as error:
            self._failure_reason = str(error)
            return StageRecord(
                name=name, state=State.INFRA, command=self.stages.format_command(name, self.runner)
            )

    def _is_config_unchanged(self) -> bool:
        # kbuild's syncconfig runs conf once more; were its answer another, this were another cell.
        path = self.lane.build / ".config"
        now = path.read_text("utf-8", "replace") if path.exists() else ""
        return now == self.resolution.config or not Config.parse(now).diff(
            Config.parse(str(self.resolution.config))
        )

    def _mark_untrusted(self, outcome: CellResult) -> CellResult:
        self.lane.mark_busy()
        reason = "the build changed its own configuration, so nothing is known of this one"
        cell = outcome.cell.model_copy(update={"state": State.INFRA, "reason": reason})
        return replace(outcome, cell=cell)

    def _skip_stage(self, name: StageName) -> StageRecord | None:
        """A stage that cannot say anything: no modules to build, or no kernel to build them against."""
        last = self._records[-1]
        if name == "modules" and self._read_symbol("MODULES") != "y":
            return StageRecord(
                name=name, state=State.EMPTY, command=self.stages.format_command(name, self.runner)
            )
        if last.state in UNTRIED_STATES or (name == "modules" and last.state is State.FAIL):
            return StageRecord(
                name=name, state=State.NOT_RUN, command=self.stages.format_command(name, self.runner)
            )
        return None

    def _read_symbol(self, symbol: str) -> str:
        """A symbol in the configuration being built."""
        return Config.parse(str(self.resolution.config)).value_of(symbol)

    def _run_stage(self, name: StageName) -> StageRecord:
        targets = self.stages.list_make_targets(name)
        remove_object_lists(self.lane.build, targets)
        moment = self.lane.mark_busy()
        started = time.monotonic()
        command = self.runner.build_command(targets)
        ended, lines = self._run_make(command)
        if classify_step(ended, lines) is State.FAIL and self._remove_hidden_warners(name, lines, moment):
            ended, more = self._run_make(command)
            lines += more
        seconds = round(time.monotonic() - started, 2)
        state = classify_step(ended, lines)
        seen, objects, made = self._collect_diagnostics(name, lines, moment)
        self.lane.save_state()
        if state in PROVEN_STATES:
            # Only now: whoever dies before loses the lane, and not its warnings alone.
            self.lane.mark_idle()
        if state is State.FAIL and not any(item.diagnostic.severity == "error" for item in seen):
            seen.append(Occurrence(summarize_unrecognized_log(lines), None))
        self._occurrences += pair_with_stage(name, seen)
        self._objects |= objects
        return StageRecord(
            name=name,
            state=_refine_pass(_apply_final_errors(state, seen), objects, seen),
            command=shlex.join(command),
            exit=ended.exit,
            seconds=seconds,
            objects=len(objects),
            compiled=len(made & objects),
        )

    def _remove_hidden_warners(self, name: StageName, lines: list[str], moment: int) -> bool:
        """Whether make has to be asked again, for warnings that the failure hides.

        A directory with a failure leaves no list, so nobody knows whether an object in it that warned
        earlier belongs to this configuration. Removed, it is made again and warns again, or is not made.
        """
        build, parts = self.lane.build, self.stages.list_requested_targets(name)
        belonging = (
            read_listed_objects(build, parts)
            | list_module_files(build, parts)
            | parse_compiled_objects(lines)
        )
        unknown = {item for item, kept in self.lane.warnings.items() if kept.listed and item not in belonging}
        hidden = {
            item for item in unknown - find_made_since(build, unknown, moment) if (build / item).exists()
        }
        self.lane.remove_objects(hidden)
        return bool(hidden)

    def _run_make(self, command: tuple[str, ...]) -> tuple[ContainerResult, list[str]]:
        """Run make; every line goes to the log at once and is kept for the parser."""
        lines: list[str] = []
        spent = sum(record.seconds for record in self._records)
        with (
            translate_disk_full(self.log.path),
            self.log.path.open("a", encoding="utf-8", buffering=1) as file,
        ):

            def tee(line: str) -> None:
                lines.append(line)
                file.write(f"{line}\n")

            tee(f"$ {shlex.join(command)}")
            ended = self.runner.run(command, self.cell.id, tee, spent=spent)
        return ended, lines

    def _collect_diagnostics(
        self, name: StageName, lines: list[str], moment: int
    ) -> tuple[list[Occurrence], frozenset[str], frozenset[str]]:
        """(what was said now or is carried, the stage's objects, what was made now).

        A directory with a failure leaves no list: what the log shows compiled counts as the stage's then.
        """
        build, parts = self.lane.build, self.stages.list_requested_targets(name)
        said = parse_diagnostics(lines)
        failing = any(item.diagnostic.severity == "error" for item in said)
        objects = read_listed_objects(build, parts) | (
            self._find_logged_objects(name, lines) if failing else frozenset()
        )
        blamed = frozenset(item.object for item in said if item.object)
        made = find_made_since(build, objects | self.lane.warnings.keys(), moment) | blamed
        belonging = objects | list_module_files(build, parts)
        carried = [
            Occurrence(diagnostic, item)
            for item, kept in self.lane.warnings.items()
            if item not in made and (item in belonging if kept.listed else (build / item).exists())
            for diagnostic in kept.diagnostics
        ]
        self._remember_warnings(said, belonging, made, failing=failing)
        return [*said, *carried], objects, made

    def _find_logged_objects(self, name: StageName, lines: list[str]) -> frozenset[str]:
        """Objects that the log shows compiled, without what make prepares for any target."""
        if name != "focus":
            return parse_compiled_objects(lines)
        asked = tuple(self.stages.list_make_targets(name))
        blamed = {item.object for item in parse_diagnostics(lines) if item.diagnostic.severity == "error"}
        return frozenset(
            item for item in parse_compiled_objects(lines) if item.startswith(asked) or item in blamed
        )

    def _remember_warnings(
        self, said: list[Occurrence], belonging: frozenset[str], made: frozenset[str], *, failing: bool
    ) -> None:
        """Remember the warnings of whatever was made now, and forget what it said before.

        And what the lists name, where there are lists: what only a log shows may be made for any
        configuration.
        """
        if not failing:
            self.lane.listed_objects |= belonging
        for item in made:
            warnings = tuple(
                o.diagnostic for o in said if o.object == item and o.diagnostic.severity == "warning"
            )
            self.lane.warnings.pop(item, None)
            if warnings and failing and item.endswith(".o"):
                # Without its directory's list nobody knows where it belongs; made again, it says so again.
                self.lane.remove_objects([item])
            elif warnings:
                self.lane.warnings[item] = ObjectWarnings(listed=item in belonging, diagnostics=warnings)


_FINAL_ERROR_TOOLS = frozenset({"gcc", "clang", "as", "ld", "lld", "modpost"})


def _apply_final_errors(state: State, seen: list[Occurrence]) -> State:
    """A failure that was seen is final: an error with its place in the source stands, whatever came after."""
    errors = (item.diagnostic for item in seen if item.diagnostic.severity == "error")
    refused = any(error.tool in _FINAL_ERROR_TOOLS and error.line is not None for error in errors)
    return State.FAIL if refused and state in CUT_SHORT_STATES else state


def _refine_pass(state: State, objects: frozenset[str], seen: list[Occurrence]) -> State:
    """make's success is a pass only if an object of the stage belongs to this configuration."""
    if state is not State.PASS:
        return state
    if not objects:
        return State.EMPTY
    return State.WARN if seen else State.PASS
