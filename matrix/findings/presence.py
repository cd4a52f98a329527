"""What a run's cells can say about a problem: they have it, were built without it, or nobody knows."""

from collections.abc import Callable, Iterable, Mapping

from matrix.findings.model import Finding
from matrix.record.model import Cell, Run
from matrix.record.outcome import COMPLETE_STATES, State

MadeObjects = Mapping[str, frozenset[str]]
"""Failing cell's id → the objects that are known to have been made in it without an error."""


def find_made_objects(run: Run, objects_of: Callable[[Cell], frozenset[str]]) -> MadeObjects:
    """What failing cells made all the same: of the objects that belong to them, those no error blames."""
    return {
        cell.id: objects_of(cell) - _find_failed_objects(run, cell)
        for cell in run.cells
        if cell.state is State.FAIL
    }


def _find_failed_objects(run: Run, cell: Cell) -> frozenset[str]:
    known = run.diagnostics
    refs = (ref for ref in cell.diagnostics if ref.object and ref.key in known)
    return frozenset(str(ref.object) for ref in refs if known[ref.key].severity == "error")


def is_problem_absent(cell: Cell, objects: Iterable[str], stages: Iterable[str], made: MadeObjects) -> bool:
    """Whether this cell, which does not show a problem, was built without it.

    ``objects`` and ``stages`` are where the problem was seen elsewhere. A whole build lacks it. One that
    failed for another reason lacks it only if one of these objects was made in it, or, for a problem
    without an object, if a stage that shows it came to its end.
    """
    if cell.state in COMPLETE_STATES:
        return True
    if cell.state is not State.FAIL:
        return False
    wanted = frozenset(objects)
    if wanted:
        return bool(wanted & made.get(cell.id, frozenset()))
    ended = {stage.name for stage in cell.stages if stage.state in COMPLETE_STATES}
    return bool(ended & set(stages))


def index_cells(run: Run) -> dict[str, Cell]:
    """A run's cells by their ids."""
    return {cell.id: cell for cell in run.cells}


def list_affected_cells(cells: Mapping[str, Cell], finding: Finding) -> list[Cell]:
    """Those of a run's cells, given by their ids, that have a finding; failing ones first, in plan order: the
    first is the one to look at."""
    having = [cells[name] for name in finding.cells if name in cells]
    return sorted(having, key=lambda cell: cell.state is not State.FAIL)
