"""One cell: its configuration put into the lane, make run stage by stage, and what came out."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from matrix.build.lane import Kept, LaneDirectory
from matrix.build.objects import directory_of, forget_lists, listed, made_since, modules
from matrix.build.row import Log, Outcome, Said, during, finished
from matrix.catalog.types import STAGES, StageName
from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.parse import parse_compiled_objects, parse_diagnostics, summarize_unrecognized_log
from matrix.engine.engine import Ended
from matrix.errors import MachineError
from matrix.kconfig.config import Config
from matrix.record.files import no_space
from matrix.record.model import Cell, StageRecord
from matrix.record.outcome import UNTRIED, State
from matrix.resolve.make import Workshop
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolver import step_state


@dataclass(frozen=True)
class Stages:
    """How far to build. ``focus``: directories (``drivers/vfio/``) or objects of this arch."""

    last: StageName
    focus: tuple[str, ...]

    def names(self) -> tuple[StageName, ...]:
        """The stages up to the last one; without a focus there is no focus stage."""
        upto = STAGES[: STAGES.index(self.last) + 1]
        return upto if self.focus else upto[1:]

    def parts(self, name: StageName) -> tuple[str, ...]:
        """What the stage is about."""
        return self.focus if name == "focus" else (name,)

    def targets(self, name: StageName) -> tuple[str, ...]:
        """What make is asked for: the directories of objects, as kbuild decides there what belongs."""
        return tuple(dict.fromkeys(map(directory_of, self.parts(name))))

    def typed(self, name: StageName, workshop: Workshop) -> str:
        """The stage's make command, as text."""
        return shlex.join(workshop.command(self.targets(name)))


@dataclass
class CellBuild:
    """Builds one reachable cell in its lane's directory. ``at`` hears the name of each stage."""

    cell: Cell
    resolution: Resolution
    lane: LaneDirectory
    workshop: Workshop
    stages: Stages
    log: Log
    at: Callable[[str], None]
    _records: list[StageRecord] = field(default_factory=list)
    _seen: list[Said] = field(default_factory=list)
    _objects: set[str] = field(default_factory=set)
    _reason: str | None = None

    def run(self) -> Outcome:
        """Make every stage; the lane remembers what it must for the next cell."""
        if self.lane.broken:
            self.lane.renew()
        self._records.append(self.resolution.stage)
        self._seen += during("configure", self.resolution.diagnostics)
        self.lane.put_config(str(self.resolution.config))
        for name in self.stages.names():
            self.at(name)
            self._records.append(self._skipped(name) or self._tried(name))
        cell = self.cell.model_copy(update={"reason": self._reason})
        outcome = finished(cell, self._records, self._seen, self.log, frozenset(self._objects))
        if outcome.cell.state in UNTRIED:
            return outcome
        return outcome if self._config_kept() else self._distrusted(outcome)

    def _tried(self, name: StageName) -> StageRecord:
        """A stage, or the record that the machine failed in it: what earlier stages showed stays seen."""
        try:
            return self._stage(name)
        except MachineError as error:
            self._reason = str(error)
            return StageRecord(name=name, state=State.INFRA, command=self.stages.typed(name, self.workshop))

    def _config_kept(self) -> bool:
        # kbuild's syncconfig runs conf once more; were its answer another, this were another cell.
        path = self.lane.build / ".config"
        now = path.read_text("utf-8", "replace") if path.exists() else ""
        return now == self.resolution.config or not Config.parse(now).diff(
            Config.parse(str(self.resolution.config))
        )

    def _distrusted(self, outcome: Outcome) -> Outcome:
        self.lane.begin()
        reason = "the build changed its own configuration, so nothing is known of this one"
        cell = outcome.cell.model_copy(update={"state": State.INFRA, "reason": reason})
        return replace(outcome, cell=cell)

    def _skipped(self, name: StageName) -> StageRecord | None:
        """A stage that cannot say anything: no modules to build, or no kernel to build them against."""
        last = self._records[-1]
        if name == "modules" and self._value("MODULES") != "y":
            return StageRecord(name=name, state=State.EMPTY, command=self.stages.typed(name, self.workshop))
        if last.state in {State.CANCELLED, State.TIMEOUT, State.OOM, State.INFRA, State.NOT_RUN} or (
            name == "modules" and last.state is State.FAIL
        ):
            return StageRecord(name=name, state=State.NOT_RUN, command=self.stages.typed(name, self.workshop))
        return None

    def _value(self, symbol: str) -> str:
        """A symbol in the configuration being built."""
        return Config.parse(str(self.resolution.config)).value_of(symbol)

    def _stage(self, name: StageName) -> StageRecord:
        targets = self.stages.targets(name)
        forget_lists(self.lane.build, targets)
        moment = self.lane.begin()
        started = time.monotonic()
        command = self.workshop.command(targets)
        ended, lines = self._make(command)
        if step_state(ended, lines) is State.FAIL and self._uncover(name, lines, moment):
            ended, more = self._make(command)
            lines += more
        seconds = round(time.monotonic() - started, 2)
        state = step_state(ended, lines)
        seen, objects, made = self._heard(name, lines, moment)
        self.lane.remember()
        if state in {State.PASS, State.FAIL}:
            # Only now: whoever dies before loses the lane, and not its warnings alone.
            self.lane.end()
        if state is State.FAIL and not any(item.diagnostic.severity == "error" for item in seen):
            seen.append(Occurrence(summarize_unrecognized_log(lines), None))
        self._seen += during(name, seen)
        self._objects |= objects
        return StageRecord(
            name=name,
            state=_judged(_final(state, seen), objects, seen),
            command=shlex.join(command),
            exit=ended.exit,
            seconds=seconds,
            objects=len(objects),
            compiled=len(made & objects),
        )

    def _uncover(self, name: StageName, lines: list[str], moment: int) -> bool:
        """Whether make has to be asked again, for warnings that the failure hides.

        A directory with a failure leaves no list, so nobody knows whether an object in it that warned
        earlier belongs to this configuration. Removed, it is made again and warns again, or is not made.
        """
        build, parts = self.lane.build, self.stages.parts(name)
        belonging = listed(build, parts) | modules(build, parts) | parse_compiled_objects(lines)
        unknown = {item for item, kept in self.lane.warnings.items() if kept.listed and item not in belonging}
        hidden = {item for item in unknown - made_since(build, unknown, moment) if (build / item).exists()}
        self.lane.discard(hidden)
        return bool(hidden)

    def _make(self, command: tuple[str, ...]) -> tuple[Ended, list[str]]:
        """Run make; every line goes to the log at once and is kept for the parser."""
        lines: list[str] = []
        spent = sum(record.seconds for record in self._records)
        with no_space(self.log.path), self.log.path.open("a", encoding="utf-8", buffering=1) as file:

            def tee(line: str) -> None:
                lines.append(line)
                file.write(f"{line}\n")

            tee(f"$ {shlex.join(command)}")
            ended = self.workshop.run(command, self.cell.id, tee, spent=spent)
        return ended, lines

    def _heard(
        self, name: StageName, lines: list[str], moment: int
    ) -> tuple[list[Occurrence], frozenset[str], frozenset[str]]:
        """(what was said now or is carried, the stage's objects, what was made now).

        A directory with a failure leaves no list: what the log shows compiled counts as the stage's then.
        """
        build, parts = self.lane.build, self.stages.parts(name)
        said = parse_diagnostics(lines)
        failing = any(item.diagnostic.severity == "error" for item in said)
        objects = listed(build, parts) | (self._shown(name, lines) if failing else frozenset())
        blamed = frozenset(item.object for item in said if item.object)
        made = made_since(build, objects | self.lane.warnings.keys(), moment) | blamed
        belonging = objects | modules(build, parts)
        carried = [
            Occurrence(diagnostic, item)
            for item, kept in self.lane.warnings.items()
            if item not in made and (item in belonging if kept.listed else (build / item).exists())
            for diagnostic in kept.diagnostics
        ]
        self._keep(said, belonging, made, failing=failing)
        return [*said, *carried], objects, made

    def _shown(self, name: StageName, lines: list[str]) -> frozenset[str]:
        """Objects that the log shows compiled, without what make prepares for any target."""
        if name != "focus":
            return parse_compiled_objects(lines)
        asked = tuple(self.stages.targets(name))
        blamed = {item.object for item in parse_diagnostics(lines) if item.diagnostic.severity == "error"}
        return frozenset(
            item for item in parse_compiled_objects(lines) if item.startswith(asked) or item in blamed
        )

    def _keep(
        self, said: list[Occurrence], belonging: frozenset[str], made: frozenset[str], *, failing: bool
    ) -> None:
        """Remember the warnings of whatever was made now, and forget what it said before.

        And what the lists name, where there are lists: what only a log shows may be made for any
        configuration.
        """
        if not failing:
            self.lane.listed |= belonging
        for item in made:
            warnings = tuple(
                o.diagnostic for o in said if o.object == item and o.diagnostic.severity == "warning"
            )
            self.lane.warnings.pop(item, None)
            if warnings and failing and item.endswith(".o"):
                # Without its directory's list nobody knows where it belongs; made again, it says so again.
                self.lane.discard([item])
            elif warnings:
                self.lane.warnings[item] = Kept(listed=item in belonging, diagnostics=warnings)


# Whoever stops a make stops it after what the tools have said. Not `infra`: a full disk makes them say much.
_CUT_SHORT = frozenset({State.TIMEOUT, State.OOM, State.CANCELLED})
_REFUSING = frozenset({"gcc", "clang", "as", "ld", "lld", "modpost"})


def _final(state: State, seen: list[Occurrence]) -> State:
    """A failure that was seen is final: an error with its place in the source stands, whatever came after."""
    errors = (item.diagnostic for item in seen if item.diagnostic.severity == "error")
    refused = any(error.tool in _REFUSING and error.line is not None for error in errors)
    return State.FAIL if refused and state in _CUT_SHORT else state


def _judged(state: State, objects: frozenset[str], seen: list[Occurrence]) -> State:
    """make's success is a pass only if an object of the stage belongs to this configuration."""
    if state is not State.PASS:
        return state
    if not objects:
        return State.EMPTY
    return State.WARN if seen else State.PASS
