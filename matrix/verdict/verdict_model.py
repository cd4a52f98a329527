"""verdict.json as types: two runs, before and after, compared cell by cell and finding by finding.

Derived from two records and nothing else. "Before" and "after" are a tree without and with a patch, a
baseline and a run, or any two runs.
"""

from enum import StrEnum
from operator import not_
from typing import Literal

from pydantic import AliasChoices, ConfigDict, Field

from matrix.diagnostics.diagnostic import Severity
from matrix.findings.finding import Condition, Culprit
from matrix.record.run_model import (
    SCHEMA_VERSION,
    CommandText,
    Record,
    RequestedCell,
    SourceRecord,
    Tool,
)
from matrix.record.states import Evidence, State


class Transition(StrEnum):
    """What became of a cell. `changed`: built on both sides, with other findings; `unchanged`: built with the
    same ones, or built on neither side; `unknown`: nothing is claimed, and `why` has the reason."""

    FIXED = "fixed"
    BROKEN = "broken"
    STILL_FAILING = "still-failing"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    LOST = "lost"
    GAINED = "gained"
    UNKNOWN = "unknown"


class FindingStatus(StrEnum):
    """What became of a finding. `lost`: cells that had it cannot be built any more, so it is not fixed."""

    FIXED = "fixed"
    NEW = "new"
    STILL = "still"
    LOST = "lost"
    UNKNOWN = "unknown"


class CellFindingStatus(StrEnum):
    """What became of a finding in one cell that had it before.

    `built`: it names no object that kbuild lists (a link, a host program), and the stage came to its end;
    `unlisted`: it does, the cell passes, and no list shows whether the object was made for that.
    """

    STILL = "still there"
    COMPILED = "compiled without it"
    BUILT = "built without it"
    NOT_BUILT = "not built any more"
    UNLISTED = "passes, its objects not recorded"
    LOST = "lost"
    UNKNOWN = "unknown"
    NOT_PLANNED = "not planned"


class ComparedRun(Record):
    """One of the two runs. ``cells`` counts them by state."""

    run: str
    tool: Tool
    source: SourceRecord
    cells: dict[State, int]
    interrupted: bool = False


class EnvironmentDifference(Record):
    """Something other than the source that is not the same on both sides.

    ``what`` is ``compiler``, ``binutils``, ``image``, ``stage``, ``focus``, ``base``, ``make`` or
    ``fragment``; ``where`` the toolchain, with the arch, or the base that it concerns. ``matters``: it can
    change an outcome, so nothing that differs there is the patch's doing.
    """

    what: str
    where: str = ""
    before: str
    after: str
    matters: bool = True


class CellChange(RequestedCell):
    """One cell on both sides. A state is None where that side's plan has no such cell.

    ``why`` is the reason why nothing is claimed; ``reason`` and ``resolves_to`` are those of an unreachable
    after-side. ``findings_before`` and ``findings_after`` are ids, each of its own run.
    ``unexplained``: it fails after, and no error that kmatrix knows explains that.
    """

    transition: Transition
    before: State | None
    after: State | None
    why: str | None = None
    reason: str | None = None
    resolves_to: str | None = None
    evidence: Evidence | None = None
    evidence_from: str | None = None
    findings_before: tuple[str, ...] = ()
    findings_after: tuple[str, ...] = ()
    unexplained: bool = Field(default=False, exclude_if=not_)

    @property
    def is_added_failure(self) -> bool:
        """Whether it fails without a known error, and the plan before lacks it: nobody vouches for it."""
        return self.before is None and self.unexplained

    @property
    def is_in_both_plans(self) -> bool:
        """Whether both plans have it."""
        return self.before is not None and self.after is not None


class SideFinding(Record):
    """A finding as one side has it: one there, or several that are one on the other side.

    ``condition`` is any of theirs; ``severity`` the worst by toolchain.
    """

    ids: tuple[str, ...]
    severity: dict[str, Severity]
    condition: Condition
    cells: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """Whether any toolchain refuses the code for it."""
        return "error" in self.severity.values()


class SymbolFlip(Record):
    """A symbol that has another value after; one that is not mentioned is n."""

    symbol: str
    from_: str = Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from")
    to: str


class SeenThrough(Record):
    """Objects of one cell, made by themselves with the promoted warnings demoted that hide a finding.

    ``when`` is ``before`` or ``after``. ``through`` are the findings that were in the way, by the names that
    the before-side has for them, or else the after-side (then with " after"); ``stays``: all of them are on
    both sides. ``demoted`` are flags, ``switched_off`` the symbols that were changed on top of that.
    ``shows``: whether the finding is there, None where the objects were not made even so; ``why`` says why.
    ``beyond`` are titles of what no build of either side had shown. The cell's own state rests on none of
    this. ``log`` is relative to the run's directory.
    """

    cell: str
    toolchain: str
    when: Literal["before", "after"]
    objects: tuple[str, ...]
    through: tuple[str, ...] = ()
    stays: bool = False
    demoted: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()
    command: CommandText = ""
    shows: bool | None = None
    why: str | None = None
    beyond: tuple[str, ...] = ()
    log: str | None = None


class NeighbourExclusion(Record):
    """A failing cell that leaves out a finding's objects like its neighbour, a cell of another toolchain
    that was built: the same symbols changed in both."""

    cell: str
    toolchain: str
    neighbour: str
    neighbour_toolchain: str


class FindingChange(Record):
    """One finding on both sides, matched by its keys.

    ``became`` counts the cells that had it before. ``why`` is the reason in words: why nothing is claimed,
    what was lost, why its object is not built any more (None where nothing explains that); ``flips`` are the
    symbols that changed in every such cell. ``new_in``: cells that were looked at before and had it not, or
    only as a warning; ``new_error``: it is an error in one of them. ``unknown_in``: cells of both plans in
    which one side could not be looked at. ``blames`` is the finding's. ``seen_through``, ``excluded_like``:
    on what else than the cells' own builds this rests, and what was tried for it; ``gone_with`` then has the
    toolchains with which it is gone by those builds alone.
    """

    fate: FindingStatus
    title: str
    keys: tuple[str, ...]
    before: SideFinding | None = None
    after: SideFinding | None = None
    became: dict[CellFindingStatus, int] = Field(default_factory=dict)
    why: str | None = None
    flips: tuple[SymbolFlip, ...] = ()
    new_in: tuple[str, ...] = ()
    new_error: bool = False
    unknown_in: tuple[str, ...] = ()
    blames: Culprit | None = Field(default=None, exclude_if=not_)
    # They came later: where they say nothing they are left out.
    seen_through: tuple[SeenThrough, ...] = Field(default=(), exclude_if=not_)
    excluded_like: tuple[NeighbourExclusion, ...] = Field(default=(), exclude_if=not_)
    gone_with: tuple[str, ...] = Field(default=(), exclude_if=not_)


class SymbolChange(Record):
    """Symbols that changed in the very same cells; ``cells`` counts them, ``condition`` is the smallest that
    separates them from the others, over the axes of the before-side."""

    flips: tuple[SymbolFlip, ...]
    cells: int
    condition: Condition
    minimal: bool


class FixCheck(Record):
    """Whether a finding that was asked for is fixed, and the reason when it is not.

    ``known`` is false where it may be fixed, and nothing shows that it is, or is not. ``how`` says with which
    toolchains it was seen only through other errors, or known from a neighbour.
    """

    finding: str
    title: str
    fixed: bool
    known: bool = True
    reason: str | None = None
    how: str | None = Field(default=None, exclude_if=not_)


class Mailbox(Record):
    """A name and an address of a mail's header, decoded; ``address`` is without brackets."""

    name: str = ""
    address: str


class PatchMail(Record):
    """A mail that a patch came in, or a series' cover letter: what an answer to it needs.

    Ids are without angle brackets, ``references`` go from the oldest to the newest, ``date`` is as its sender
    wrote it; what the mail lacks is empty. ``quote``: the lines that are worth quoting, without ``>``. All of
    it is foreign text.
    """

    message_id: str = ""
    subject: str
    sender: Mailbox
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    references: tuple[str, ...] = ()
    date: str = ""
    quote: tuple[str, ...] = ()


class VerdictPatch(Record):
    """A patch that was asked about, in the order of its series. ``refused``: why it does not apply; neither
    it nor what follows it was built. ``lines``: path → first and last lines of what it adds there, as the
    tree has them after the whole series."""

    name: str
    subject: str = ""
    sha256: str
    mail: PatchMail | None = None
    refused: str | None = None
    # It came later: where it says nothing it is left out.
    lines: dict[str, tuple[tuple[int, int], ...]] = Field(default_factory=dict, exclude_if=not_)


class PatchStep(Record):
    """What one patch of a series alone changed: against the run with the patches before it.

    Only what is not the same is in it.
    """

    name: str
    subject: str
    before: str
    after: str
    cells: tuple[CellChange, ...] = ()
    findings: tuple[FindingChange, ...] = ()
    symbols: tuple[SymbolChange, ...] = ()


class Verdict(Record):
    """Two runs compared: cells in plan order, findings with what is new first.

    ``patches`` are those that the verdict is on, none where any two runs are compared. ``base_commit`` is
    the base that they name; ``base_differs`` is a sentence on what was built on instead; ``notes`` are on
    what was chosen of what was given, or left out.
    """

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    tool: Tool
    before: ComparedRun
    after: ComparedRun
    differences: tuple[EnvironmentDifference, ...] = ()
    counts: dict[Transition, int]
    cells: tuple[CellChange, ...]
    findings: tuple[FindingChange, ...] = ()
    symbols: tuple[SymbolChange, ...] = ()
    fixes: tuple[FixCheck, ...] = ()
    steps: tuple[PatchStep, ...] | None = None
    patches: tuple[VerdictPatch, ...] = ()
    cover: PatchMail | None = None
    base_commit: str | None = None
    base_differs: str | None = None
    notes: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
