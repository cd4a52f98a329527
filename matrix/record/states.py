"""What can come out of a cell: one row for each state, the sets that follow from the rows, evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Self

from matrix.exit_codes import ExitCode, choose_exit_code


class StateKind(Enum):
    """What a state proves."""

    COMPLETE = auto()
    """Everything that belongs to the stage was made."""
    REFUSED = auto()
    """The tree was refused."""
    EMPTY = auto()
    """Nothing belongs to the stage."""
    UNREACHABLE = auto()
    """There is nothing that could be built."""
    STOPPED = auto()
    """The machine stopped it: a limit or a fault, never the kernel's."""
    ABANDONED = auto()
    """It was never begun, or given up."""
    OPEN = auto()
    """Others built it, and nothing shows how that ended: what was printed is valid, and nothing is absent."""


@dataclass(frozen=True, kw_only=True)
class StateRow:
    """One row of the table.

    ``rank``: the lowest among a cell's stages is the cell's; in tens, so that a new one fits between.
    ``sign`` and ``style`` (rich's) are its look in every report. ``meaning`` is the text in README's
    table. ``reason`` stands where a cell has no reason of its own. ``is_cut_short``: it was ended
    from outside, and what the tools had printed until then is valid. ``is_quiet``: reports show no details
    of such a cell.
    """

    name: str
    kind: StateKind
    rank: int
    sign: str
    style: str
    meaning: str
    reason: str = ""
    is_cut_short: bool = False
    is_quiet: bool = False


class State(StrEnum):
    """The outcome of a cell or of one of its stages."""

    row: StateRow

    def __new__(cls, row: StateRow) -> Self:
        state = str.__new__(cls, row.name)
        state._value_ = row.name
        state.row = row
        return state

    PASS = StateRow(
        name="pass",
        kind=StateKind.COMPLETE,
        rank=90,
        sign=".",
        style="green",
        meaning="built; no diagnostics",
        is_quiet=True,
    )
    WARN = StateRow(
        name="warn",
        kind=StateKind.COMPLETE,
        rank=80,
        sign="w",
        style="yellow",
        meaning="built; warnings",
    )
    # A failure is final, so it outranks the machine's faults.
    FAIL = StateRow(
        name="fail",
        kind=StateKind.REFUSED,
        rank=10,
        sign="F",
        style="bold red",
        meaning="the compiler, linker, modpost, Kconfig or make refused the tree",
        reason="failed, and its log has no error that kmatrix knows",
    )
    # Ranks last, so that any stage that proves something replaces it.
    EMPTY = StateRow(
        name="empty",
        kind=StateKind.EMPTY,
        rank=100,
        sign="e",
        style="cyan",
        meaning="nothing of the stage belongs to this configuration: nothing was proven",
        reason="nothing of the stage belongs to this configuration, so nothing was proven",
    )
    UNREACHABLE = StateRow(
        name="unreachable",
        kind=StateKind.UNREACHABLE,
        rank=70,
        sign="-",
        style="dim",
        meaning="no configuration satisfies the request",
        reason="no reason recorded",
        is_quiet=True,
    )
    TIMEOUT = StateRow(
        name="timeout",
        kind=StateKind.STOPPED,
        rank=30,
        sign="T",
        style="magenta",
        meaning="ran into the time limit",
        reason="ran out of time",
        is_cut_short=True,
    )
    OOM = StateRow(
        name="oom",
        kind=StateKind.STOPPED,
        rank=20,
        sign="O",
        style="magenta",
        meaning="ran into the memory limit",
        reason="ran out of memory",
        is_cut_short=True,
    )
    # Not cut short: a full disk makes the tools print errors that are not the tree's.
    INFRA = StateRow(
        name="infra",
        kind=StateKind.STOPPED,
        rank=40,
        sign="!",
        style="magenta",
        meaning="the machine or the engine failed",
        reason="the machine failed, not the kernel",
    )
    CANCELLED = StateRow(
        name="cancelled",
        kind=StateKind.ABANDONED,
        rank=50,
        sign="c",
        style="blue",
        meaning="interrupted while it was built",
        reason="interrupted",
        is_cut_short=True,
    )
    NOT_RUN = StateRow(
        name="not-run",
        kind=StateKind.ABANDONED,
        rank=60,
        sign="?",
        style="blue",
        meaning="never started",
        reason="never started",
    )
    UNKNOWN = StateRow(
        name="unknown",
        kind=StateKind.OPEN,
        rank=65,
        sign="u",
        style="blue",
        meaning="built by others, and nothing shows how it ended",
        reason="nothing shows how it ended",
    )


def _select_states(*kinds: StateKind) -> frozenset[State]:
    return frozenset(state for state in State if state.row.kind in kinds)


COMPLETE_STATES = _select_states(StateKind.COMPLETE)
"""States in which everything that belongs to a stage was made."""
PROVEN_STATES = COMPLETE_STATES | _select_states(StateKind.REFUSED)
"""States that prove something of the tree: it was compiled, or refused."""
ANSWERED_STATES = PROVEN_STATES | _select_states(StateKind.EMPTY)
"""States in which a stage was tried as far as it can be, though it may have nothing to make."""
STOPPED_STATES = _select_states(StateKind.STOPPED)
"""States in which the machine ended the stage: a limit, or a fault."""
SPEECHLESS_STATES = STOPPED_STATES | _select_states(StateKind.ABANDONED)
"""States in which what tools printed proves nothing of the tree."""
UNTRIED_STATES = SPEECHLESS_STATES | _select_states(StateKind.OPEN)
"""States in which what was planned was not tried to its end, as far as is known."""
UNFINISHED_STATES = _select_states(StateKind.ABANDONED) | {State.INFRA}
"""States of a cell that a run which goes on tries again: it was not tried, or the machine failed."""
CUT_SHORT_STATES = frozenset(state for state in State if state.row.is_cut_short)
QUIET_STATES = frozenset(state for state in State if state.row.is_quiet)


class Evidence(StrEnum):
    """Where a state comes from."""

    BUILT = "built"
    SAME_CONFIG = "same-config"
    """Another cell of the run has the same inputs, and was built."""
    REMEMBERED = "remembered"
    """It was built before, by this run or another, with all that it depends on as it is now."""
    SAME_OBJECTS = "same-objects"
    """Each of its objects was compiled elsewhere, and nothing had to be linked."""
    UNAFFECTED = "unaffected"
    """Of older runs: built on the tree before a change that does not reach it."""
    RESUMED = "resumed"
    IMPORTED = "imported"


REUSED_EVIDENCE = frozenset({Evidence.SAME_CONFIG, Evidence.REMEMBERED, Evidence.SAME_OBJECTS})
"""No make ran for such a cell but that of its configure step."""


def find_worst_state(states: Iterable[State]) -> State:
    """The worst of some states; of none, `not-run`."""
    return min(states, key=lambda state: state.row.rank, default=State.NOT_RUN)


def compute_run_exit_code(
    states: Iterable[State], *, interrupted: bool = False, werror: bool = False, is_part: bool = False
) -> ExitCode:
    """The exit code of a run with these cell states. Of a part of a plan nothing need be proven."""
    seen = set(states)
    return choose_exit_code(
        interrupted=interrupted,
        failed=State.FAIL in seen,
        untried=not seen.isdisjoint(UNTRIED_STATES),
        unproven=not is_part and seen.isdisjoint(PROVEN_STATES),
        warned=werror and State.WARN in seen,
    )
