"""What can come out of a cell, and what a whole run amounts to: states, evidence, exit codes."""

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """The outcome of a cell or of one of its stages."""

    PASS = "pass"  # noqa: S105 - an outcome
    WARN = "warn"
    FAIL = "fail"
    EMPTY = "empty"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    OOM = "oom"
    INFRA = "infra"
    CANCELLED = "cancelled"
    NOT_RUN = "not-run"


class Evidence(StrEnum):
    """Where a state comes from."""

    BUILT = "built"
    SAME_CONFIG = "same-config"
    UNAFFECTED = "unaffected"
    RESUMED = "resumed"


# A cell's state is the worst of its stages. A failure that was seen is final, so `fail` outranks the
# machine's faults; `empty` is the best only because any stage that proves something replaces it.
_WORST_FIRST = (
    State.FAIL,
    State.OOM,
    State.TIMEOUT,
    State.INFRA,
    State.CANCELLED,
    State.NOT_RUN,
    State.UNREACHABLE,
    State.WARN,
    State.PASS,
    State.EMPTY,
)
UNTRIED_STATES = frozenset({State.OOM, State.TIMEOUT, State.INFRA, State.CANCELLED, State.NOT_RUN})
PROVEN_STATES = frozenset({State.PASS, State.WARN, State.FAIL})
COMPLETE_STATES = frozenset({State.PASS, State.WARN})
"""States in which everything that belongs to a stage was made."""


def find_worst_state(states: Iterable[State]) -> State:
    """The worst of some states; of none, `not-run`."""
    return min(states, key=_WORST_FIRST.index, default=State.NOT_RUN)


def compute_run_exit_code(states: Iterable[State], *, interrupted: bool = False, werror: bool = False) -> int:
    """The exit code that a run with these cell states deserves."""
    seen = set(states)
    if interrupted:
        return 130
    if State.FAIL in seen:
        return 100
    if seen & UNTRIED_STATES:
        return 2
    if not seen & PROVEN_STATES:
        return 1
    return 101 if werror and State.WARN in seen else 0
