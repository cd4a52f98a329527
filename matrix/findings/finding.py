"""findings.json as types: what fails, under which condition, with which proof.

Derived from a run and nothing else, so that a newer kmatrix can make it again from any old one.
"""

from operator import not_
from typing import Literal

from pydantic import AliasChoices, ConfigDict, Field

from matrix.diagnostics.diagnostic import Severity
from matrix.record.run_model import SCHEMA_VERSION, Record, Tool
from matrix.record.states import State

Culprit = Literal["toolchain"]
"""Whose fault a problem is by the tool's own words, where it is not the tree's."""
Condition = tuple[dict[str, tuple[str, ...]], ...]
"""Any of these conjunctions; each gives some axes the values at which the finding appears."""


class Proof(Record):
    """What a neighbour proves: a cell that differs from one with the finding in one axis alone.

    ``of`` is the conjunction's index. ``cell`` is the neighbour and ``beside`` the cell with the finding;
    both are None where the plan has no such cell. ``has_finding`` is None where it is not known,
    and ``reason`` is why.
    """

    of: int = 0
    flip: str
    from_: str = Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from")
    to: str
    beside: str | None = None
    cell: str | None = None
    state: State | None = None
    has_finding: bool | None = None
    reason: str | None = None


class Assumption(Record):
    """An axis that a conjunction does not name, though the finding was seen at some of its values only and
    no cell with another value shows whether it matters.

    ``because`` counts those cells by what they are (``unreachable``, ``empty``, ``fail``, ``not planned``).
    """

    of: int = 0
    axis: str
    seen: tuple[str, ...]
    unknown: tuple[str, ...]
    because: dict[str, int]


class Where(Record):
    """A lane's share of a scope. ``because`` counts cells by state, where nothing could be looked for."""

    arch: str
    toolchain: str
    cells: int
    because: dict[str, int] = Field(default_factory=dict)


class Scope(Record):
    """Where it was seen, where it was looked for and is absent, where it could not be looked for."""

    seen: tuple[Where, ...] = ()
    absent: tuple[Where, ...] = ()
    unknown: tuple[Where, ...] = ()


class Finding(Record):
    """One problem. ``id`` is only its printed name; ``keys`` identify the problem in any run.

    ``diagnostics`` are keys into the run's: first the main one of each toolchain, in the order of
    ``severity`` (one may stand there for several), then the rest. ``minimal``: no smaller
    condition separates these cells; false when the search was cut short. ``blames``: a tool broke by itself,
    and its people want to know. ``consequences``: keys into the run's of what follows from it in the same
    compilation, in every cell; ``consequence_keys`` are those of ``keys`` that identify only that.
    """

    id: str
    title: str
    keys: tuple[str, ...]
    severity: dict[str, Severity]
    condition: Condition
    context: dict[str, str]
    minimal: bool
    proof: tuple[Proof, ...] = ()
    assumes: tuple[Assumption, ...] = ()
    scope: Scope = Scope()
    cells: tuple[str, ...]
    objects: tuple[str, ...] = ()
    diagnostics: tuple[str, ...] = ()
    # It came later: where it says nothing it is left out, as of a diagnostic.
    blames: Culprit | None = Field(default=None, exclude_if=not_)
    consequences: tuple[str, ...] = Field(default=(), exclude_if=not_)
    consequence_keys: tuple[str, ...] = Field(default=(), exclude_if=not_)

    @property
    def own_keys(self) -> frozenset[str]:
        """The keys without those of what only follows from it."""
        return frozenset(self.keys).difference(self.consequence_keys)

    @property
    def is_error(self) -> bool:
        """Whether any toolchain refuses the code for it."""
        return "error" in self.severity.values()


class Findings(Record):
    """The findings of one run, most severe first."""

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    run: str
    tool: Tool
    findings: tuple[Finding, ...] = ()

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
