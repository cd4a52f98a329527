"""A run against a baseline, and against what is known: it fails only on what is new or lost."""

from dataclasses import dataclass
from functools import cached_property

from matrix.record.model import Run
from matrix.record.outcome import PROVEN, UNTRIED, State
from matrix.record.outcome import exit_code as code_of
from matrix.verdict.compare import compare
from matrix.verdict.known import EMPTY, Ledger
from matrix.verdict.model import CellChange, FindingChange, Transition, Verdict
from matrix.verdict.side import Side


@dataclass(frozen=True)
class Regression:
    """What is new or lost since a baseline. ``code`` is the run's exit code.

    ``new`` are findings, ``broken`` and ``lost`` cells; ``excused`` are findings that would be new, and are
    known. ``undecided``: cells of both plans of which nothing can be said. ``gone`` and ``added`` count the
    cells that only the baseline, and only this run, has in its plan.
    """

    verdict: Verdict
    code: int
    new: tuple[FindingChange, ...]
    broken: tuple[CellChange, ...]
    lost: tuple[CellChange, ...]
    excused: tuple[FindingChange, ...]
    undecided: tuple[CellChange, ...]
    gone: int
    added: int


def against(
    baseline: Side, this: Side, ledger: Ledger = EMPTY, *, allow_lost: bool = False, werror: bool = False
) -> Regression:
    """What is new or lost in a run since its baseline, and the exit code that it deserves for that.

    Cells are compared where both plans have them. An error in a cell that the baseline has not is new unless
    the baseline has the finding elsewhere: nobody vouches for it. The code is 130 for an interrupted run, 100
    for what is new or lost, 2 where nothing can be said, 101 with ``werror`` and new warnings, else 0.
    RequestError when nothing is common.
    """
    judged = _Judged(compare(baseline, this), this, ledger)
    failing = [*judged.errors, *judged.broken, *(() if allow_lost else judged.lost)]
    undecided = judged.undecided(werror=werror)
    return Regression(
        verdict=judged.verdict,
        code=_code(this.run, bool(failing), bool(undecided), warns=werror and bool(judged.new)),
        new=judged.new,
        broken=judged.broken,
        lost=judged.lost,
        excused=tuple(row for row in judged.appeared if judged.is_excused(row)),
        undecided=undecided,
        gone=sum(cell.after is None for cell in judged.verdict.cells),
        added=sum(cell.before is None for cell in judged.verdict.cells),
    )


def _code(run: Run, failing: bool, undecided: bool, *, warns: bool) -> int:
    if run.interrupted:
        return 130
    if failing:
        return 100
    if undecided:
        return 2
    if not any(cell.state in PROVEN for cell in run.cells):
        return 1
    return 101 if warns else 0


@dataclass(frozen=True)
class _Judged:
    """A verdict read as a regression: what was there before may stay, what is known may come."""

    verdict: Verdict
    this: Side
    ledger: Ledger

    @cached_property
    def appeared(self) -> tuple[FindingChange, ...]:
        """Findings that are where the baseline had them not, or where only this run looks."""
        return tuple(row for row in self.verdict.findings if row.new_in or _unvouched(row))

    def is_excused(self, row: FindingChange) -> bool:
        return row.after is not None and all(name in self.ledger.protects for name in row.after.ids)

    @cached_property
    def new(self) -> tuple[FindingChange, ...]:
        return tuple(row for row in self.appeared if not self.is_excused(row))

    @property
    def errors(self) -> tuple[FindingChange, ...]:
        return tuple(row for row in self.new if row.new_error or _unvouched(row))

    @cached_property
    def broken(self) -> tuple[CellChange, ...]:
        cells = (cell for cell in self.verdict.cells if cell.transition is Transition.BROKEN)
        return tuple(cell for cell in cells if not self._fails_as_known(cell))

    @cached_property
    def lost(self) -> tuple[CellChange, ...]:
        return tuple(cell for cell in self.verdict.cells if cell.transition is Transition.LOST)

    def undecided(self, *, werror: bool) -> tuple[CellChange, ...]:
        """What this run could not try; and what it shows that may have been there before, or not."""
        hidden = {
            name
            for row in self.verdict.findings
            if row.before is None and not self.is_excused(row) and (werror or _is_error(row))
            for name in row.unknown_in
        }
        harmless = {State.PASS} if werror else {State.PASS, State.WARN}
        return tuple(
            cell
            for cell in self.verdict.cells
            if cell.after in UNTRIED
            or cell.id in hidden
            or (_is_open(cell) and cell.after not in harmless and not self._fails_as_known(cell))
        )

    def _fails_as_known(self, cell: CellChange) -> bool:
        """Whether all errors of a failing cell are known."""
        return (
            cell.after is State.FAIL
            and _softened(State.FAIL, cell.id, self.this, self.ledger) is not State.FAIL
        )


def _is_open(cell: CellChange) -> bool:
    return cell.common and cell.transition is Transition.UNKNOWN


def _is_error(row: FindingChange) -> bool:
    return row.after is not None and row.after.is_error


def _unvouched(row: FindingChange) -> bool:
    """An error that the baseline has nowhere, in cells that it does not have either."""
    return row.before is None and _is_error(row) and not row.new_in and not row.unknown_in


def code_with_known(this: Side, ledger: Ledger, *, werror: bool = False) -> int:
    """The exit code of a run without a baseline, whose known findings do not fail it."""
    states = (_softened(cell.state, cell.id, this, ledger) for cell in this.run.cells)
    return code_of(states, interrupted=this.run.interrupted, werror=werror)


def _softened(state: State, cell: str, side: Side, ledger: Ledger) -> State:
    """A cell's state if it did not show what is known. A failure without a finding stays one."""
    names = side.said.get(cell, {})
    if state not in {State.FAIL, State.WARN} or not names:
        return state
    left = [name for name in names if name not in ledger.protects]
    failing = any(side.is_error(cell, name) for name in left)
    if state is State.FAIL and (failing or not any(side.is_error(cell, name) for name in names)):
        return State.FAIL
    return State.WARN if left else State.PASS
