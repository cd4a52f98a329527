"""The types of run.json: what a run was asked to do, on what, with what, and what came out.

The published JSON Schema is made from these. Adding an optional key keeps the schema's number; readers
ignore unknown keys.
"""

from datetime import UTC, datetime
from operator import not_
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.record.states import REUSED_EVIDENCE, SPEECHLESS_STATES, UNFINISHED_STATES, Evidence, State
from matrix.shell_words import parse_variables, quote_recorded_command, quote_recorded_variables

SCHEMA_VERSION: Literal[1] = 1
IMPORT_AXIS = "build"
"""The axis of imported builds that have all other values alike: the names of their directories."""
AxesKey = frozenset[tuple[str, str]]
"""A cell's values on all axes, as a key."""
# A record may be a stranger's, and its commands are shown to be typed.
CommandText = Annotated[str, AfterValidator(quote_recorded_command)]
VariablesText = Annotated[str, AfterValidator(quote_recorded_variables)]


def _assume_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_assume_utc)]
"""A time of day; UTC where it does not say of where."""


class Record(BaseModel):
    """Base of all types on disk. Values are frozen; keys that a type does not have are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Tool(Record):
    version: str
    commit: str | None = None


class Host(Record):
    """The machine and its engine. ``memory`` in bytes."""

    system: str
    cpus: int
    memory: int
    engine: str
    isolation: str


class GitState(Record):
    commit: str
    describe: str
    dirty: bool


class PatchRecord(Record):
    name: str
    sha256: str


class SourceRecord(Record):
    """What was built. ``package`` is the full version of the Debian package it came in, or empty.

    ``unpatched`` is the digest of the source without its patches, where there are any, or empty.
    """

    spec: str
    version: str
    digest: str
    package: str = ""
    git: GitState | None = None
    patches: tuple[PatchRecord, ...] = ()
    unpatched: str = Field(default="", exclude_if=not_)


class Compiler(Record):
    """What builds for one arch, as the tools print it."""

    version: str
    binutils: str


class ToolchainRecord(Record):
    """A toolchain's image. ``recipe``: the Dockerfiles it was built from, each on the one before and the
    first on ``root``; both empty for an image that the profile named. ``digests``: where it came from a
    registry, what that may know it by, ``REPOSITORY@sha256:…``."""

    image: str
    image_id: str
    root: str = ""
    recipe: tuple[str, ...] = ()
    compilers: dict[str, Compiler] = Field(default_factory=dict)
    digests: tuple[str, ...] = Field(default=(), exclude_if=not_)


class BaseRecord(Record):
    """How a configuration starts: per arch the make target, or a .config kept under its digest, and the
    lines of the base's own fragments."""

    targets: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    config_sha256: str | None = None
    fragment: tuple[str, ...] = ()


class Verified(Record):
    """One symbol's check after olddefconfig: what was wanted, and what the tree made of it."""

    symbol: str
    want: str
    got: str


class StageRecord(Record):
    """One step of a cell. ``seconds`` of wall time; ``objects`` belong to the stage in this
    configuration, ``compiled`` were compiled now."""

    name: Literal["configure", "focus", "vmlinux", "modules"]
    state: State
    command: CommandText
    exit: int | None = None
    seconds: float = 0.0
    objects: int = 0
    compiled: int = 0


class DiagnosticRef(Record):
    """A diagnostic of the run, seen in this cell while this object was made."""

    key: str
    object: str | None = None
    stage: str


class Attempt(Record):
    """One attempt at a cell: how it ended, and ``seconds`` of wall time."""

    state: State
    reason: str | None = None
    seconds: float = 0.0


class RequestedCell(Record):
    """What was asked for: a cell's id, and its value on every axis. ``request`` has the symbols'."""

    id: str
    arch: str
    toolchain: str
    base: str
    request: dict[str, str]

    @property
    def axes(self) -> dict[str, str]:
        """Axis → value: arch, toolchain, base, then the symbols."""
        return {"arch": self.arch, "toolchain": self.toolchain, "base": self.base, **self.request}

    @property
    def axes_key(self) -> AxesKey:
        """What cells of several runs are matched by: an id may be cut, and is never parsed."""
        return frozenset(self.axes.items())


class Cell(RequestedCell):
    """One request and everything that is known about it. Starts as `not-run`.

    ``fragment`` is what was appended to the base (symbol → value, knobs spelled out). ``objects_sha256``
    names the file of the objects that are known to belong to its stages, ``sources_sha256`` that of the
    .c, .h and .S files that went into a cell that was built without failure. ``evidence_from`` is another
    cell of the run (`same-config`), or the run that built it and the cell there, as in ``RUN/CELL``.
    ``attempts``, the last one's state the cell's own, are there where it needed more than one. ``at_work``:
    from when to when it was built, in seconds since the run began, pauses left out. ``worker``: the address
    of the machine that sent this result, where that is not the run's own.
    """

    fragment: dict[str, str] = Field(default_factory=dict)
    verified: tuple[Verified, ...] = ()
    config_sha256: str | None = None
    make: VariablesText = ""
    state: State = State.NOT_RUN
    reason: str | None = None
    resolves_to: str | None = None
    evidence: Evidence | None = None
    evidence_from: str | None = None
    stages: tuple[StageRecord, ...] = ()
    diagnostics: tuple[DiagnosticRef, ...] = ()
    objects_sha256: str | None = None
    sources_sha256: str | None = None
    log: str | None = None
    # It came later: where there is nothing to say it is left out, so that older records stay as they are.
    attempts: tuple[Attempt, ...] = Field(default=(), exclude_if=not_)
    at_work: tuple[float, float] | None = Field(default=None, exclude_if=not_)
    worker: str = Field(default="", exclude_if=not_)

    @property
    def is_reachable(self) -> bool:
        """Resolved as it was asked for, and not built: a cell of a plan."""
        return self.state is State.NOT_RUN and self.config_sha256 is not None

    @property
    def is_finished(self) -> bool:
        """Whether it has a result, so that a run which goes on leaves it as it is."""
        return self.state not in UNFINISHED_STATES

    @property
    def deciding_stage(self) -> StageRecord | None:
        """The stage that decided the state: the first that failed, or the last that has this state.

        Where none has it, the last that ran.
        """
        deciding = [stage for stage in self.stages if stage.state is self.state] or list(self.stages[-1:])
        if not deciding:
            return None
        return deciding[0 if self.state is State.FAIL else -1]

    @property
    def proven_diagnostics(self) -> tuple[DiagnosticRef, ...]:
        """Those of its diagnostics that prove something of the tree.

        Where a limit or a fault ends a step, tools print errors that are not the tree's. So what was printed
        in a stage that was not tried to its end is no proof, and nothing is in a cell that was not.
        """
        if self.state in SPEECHLESS_STATES:
            return ()
        untried = {stage.name for stage in self.stages if stage.state in SPEECHLESS_STATES}
        return tuple(ref for ref in self.diagnostics if ref.stage not in untried)

    @property
    def unproven_diagnostics(self) -> tuple[DiagnosticRef, ...]:
        """The others: what its tools had printed before they were stopped."""
        proven = set(self.proven_diagnostics)
        return tuple(ref for ref in self.diagnostics if ref not in proven)

    @property
    def make_variables(self) -> dict[str, str]:
        """The variables of the make line: name → value."""
        return parse_variables(self.make)

    @property
    def seconds(self) -> float:
        """Wall time of all stages, whichever cell or run they ran for."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def is_reused(self) -> bool:
        """Whether its stages, but for its configure step, ran for another cell."""
        return self.evidence in REUSED_EVIDENCE

    @property
    def own_seconds(self) -> float:
        """Wall time of the stages that ran for this cell itself."""
        return sum(stage.seconds for stage in self.stages if not self.is_reused or stage.name == "configure")


class Pause(Record):
    """A while in which nobody worked on a run: when it stopped, and when it went on."""

    stopped: Moment
    resumed: Moment


class ShardRecord(Record):
    """Which share of a plan of so many ``requests`` a run builds: the ``index``-th of ``count``, from 1.

    ``shares``: of each share the digest of its cells' ids in plan order: the split.
    """

    index: int
    count: int
    requests: int
    shares: tuple[str, ...]

    @property
    def name(self) -> str:
        """``2/4``."""
        return f"{self.index}/{self.count}"


class MergedShard(Record):
    """A shard that a run was made of: its run, where and when that was built, how many cells it has.

    Without ``finished`` it was killed.
    """

    shard: ShardRecord
    id: str
    command: CommandText
    host: Host
    started: Moment
    finished: Moment | None = None
    interrupted: bool = False
    cells: int


class Run(Record):
    """One execution of a profile on one source; or builds of others that were imported.

    ``pauses``: where it was stopped and resumed. ``baseline`` and ``known``: the run and the file that it was
    to be held against, where there were any.

    ``providers``: symbol that a link lacks → what would bring it, where that is known: a Kconfig symbol
    (``CONFIG_MTD``), or else an object.
    ``followers``: symbol axis → the symbols of the imported .configs that differ just where it does, so that
    each of them may be what matters.
    ``shard``: what of its plan it builds, where other machines build the rest: its cells are its own share.
    ``shards``: what it was merged of; ``host`` is then the first one's.
    ``unused_workers``: address of a machine that was to build for it → why it was given nothing, or nothing
    more.
    """

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    id: str
    tool: Tool
    command: CommandText
    host: Host
    started: Moment
    finished: Moment | None = None
    interrupted: bool = False
    profile: dict[str, object]
    axes: dict[str, tuple[str, ...]]
    plan_sha256: str
    source: SourceRecord
    toolchains: dict[str, ToolchainRecord]
    bases: dict[str, BaseRecord] = Field(default_factory=dict)
    diagnostics: dict[str, Diagnostic] = Field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    # It came later: where there is nothing to say it is left out, so that older records stay as they are.
    providers: dict[str, str] = Field(default_factory=dict, exclude_if=not_)
    followers: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=not_)
    pauses: tuple[Pause, ...] = Field(default=(), exclude_if=not_)
    baseline: str = Field(default="", exclude_if=not_)
    known: str = Field(default="", exclude_if=not_)
    shard: ShardRecord | None = Field(default=None, exclude_if=not_)
    shards: tuple[MergedShard, ...] = Field(default=(), exclude_if=not_)
    unused_workers: dict[str, str] = Field(default_factory=dict, exclude_if=not_)

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @property
    def paused_seconds(self) -> float:
        """How long nobody worked on it, between its begin and its last line."""
        return sum((pause.resumed - pause.stopped).total_seconds() for pause in self.pauses)

    def measure_elapsed(self, moment: datetime) -> float:
        """The seconds that it had been at work at a moment that is after all of its pauses."""
        return (moment - self.started).total_seconds() - self.paused_seconds

    @property
    def asks_for_werror(self) -> bool:
        """Whether its profile says that warnings fail it."""
        return self.profile.get("werror") is True

    @property
    def is_imported(self) -> bool:
        """Whether others built its cells: then neither their images nor their source are known."""
        return any(cell.evidence is Evidence.IMPORTED for cell in self.cells)

    def locate_origin(self, cell: Cell) -> str:
        """The run that built a cell of this one, and the cell there: ``RUN/CELL``."""
        if cell.evidence_from and cell.evidence in (Evidence.REMEMBERED, Evidence.UNAFFECTED):
            return cell.evidence_from
        own = cell.evidence_from if cell.evidence is Evidence.SAME_CONFIG else cell.id
        return f"{self.id}/{own or cell.id}"

    def find_toolchain(self, name: str) -> ToolchainRecord:
        """What a cell's toolchain was. RequestError where the record lacks it."""
        if name not in self.toolchains:
            raise RequestError(
                f"the record of {self.id} lacks its toolchain {name}", "./inv run makes another"
            )
        return self.toolchains[name]
