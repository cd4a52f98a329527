"""What a cell can say about a problem: it has it, it was built without it, or nobody knows."""

from collections.abc import Iterable, Mapping

from matrix.record.model import Cell
from matrix.record.outcome import State

Attempted = Mapping[str, frozenset[str]]
"""Cell id → the objects that are known to have been made, or tried, in it. Only failing cells need it."""

_WHOLE = frozenset({State.PASS, State.WARN})


def lacks(cell: Cell, objects: Iterable[str], stages: Iterable[str], attempted: Attempted) -> bool:
    """Whether this cell, which does not show a problem, was built without it.

    ``objects`` and ``stages`` are where the problem was seen elsewhere. A whole build lacks it. One that
    failed for another reason lacks it only if one of these objects was tried in it, or, for a problem
    without an object, if a stage that shows it came to its end.
    """
    if cell.state in _WHOLE:
        return True
    if cell.state is not State.FAIL:
        return False
    tried = attempted.get(cell.id, frozenset())
    wanted = frozenset(objects)
    if wanted:
        return bool(wanted & tried)
    ended = {stage.name for stage in cell.stages if stage.state in _WHOLE}
    return bool(ended & set(stages))
