"""Attempts at a cell: what a fault of the machine ended is tried again after a while, and counted."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from matrix.builder.cell_record import CellLog, CellResult
from matrix.builder.run_context import RunContext
from matrix.record.events import ProgressNote
from matrix.record.run_model import Attempt, Cell
from matrix.record.states import State
from matrix.resolve.resolution import Resolution


@dataclass
class OpenAttempt:
    """An attempt while it is made. Whoever makes it sets the outcome: a cell's, or a resolution."""

    outcome: CellResult | Resolution | None = None

    @property
    def fault(self) -> str | None:
        """What the machine did; None where it did nothing."""
        if isinstance(self.outcome, CellResult):
            state, reason = self.outcome.cell.state, self.outcome.cell.reason
        elif self.outcome is not None:
            state, reason = self.outcome.stage.state, self.outcome.reason
        else:
            return None
        return (reason or state.row.reason) if state is State.INFRA else None


@dataclass
class CellAttempts:
    """The attempts at one lane's cells, configuring and building counted together."""

    context: RunContext
    _failed: dict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))

    def begin(self, cell: str, log: CellLog) -> Iterator[OpenAttempt]:
        """Attempts at a cell (its id), for a loop: another one while the last was `infra` and it may be."""
        while True:
            started = time.monotonic()
            attempt = OpenAttempt()
            yield attempt
            seconds = time.monotonic() - started
            if attempt.fault is None or not self._may_try_again(cell, attempt.fault):
                return
            failed = self._failed[cell]
            failed.append(Attempt(state=State.INFRA, reason=attempt.fault, seconds=round(seconds, 2)))
            log.write_lines(
                [
                    f"[kmatrix: attempt {len(failed)} ends here: {' '.join(attempt.fault.split())}]",
                    f"[kmatrix: attempt {len(failed) + 1} begins here]",
                ]
            )

    def add_to(self, cell: Cell) -> Cell:
        """The cell with its attempts, where it needed more than one."""
        failed = self._failed.pop(cell.id, None)
        if failed is None:
            return cell
        last = Attempt(state=cell.state, reason=cell.reason, seconds=round(cell.seconds, 2))
        return cell.model_copy(update={"attempts": (*failed, last)})

    def _may_try_again(self, cell: str, reason: str) -> bool:
        """Wait, and tell whether there is to be another attempt now."""
        number = len(self._failed.get(cell, ())) + 1
        if number > self.context.session.profile.retries or self.context.find_stop_reason():
            return False
        self.context.emit(ProgressNote(f"{cell}: infra, tried again: {reason}"))
        return self.context.wait_before_retry(number)
