"""The cells of a resumed run that have their results already: they stay as its directory has them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matrix.builder.cell_record import CellResult
from matrix.builder.lanes import Lane
from matrix.plan import LANE_AXES
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell
from matrix.record.states import UNTRIED_STATES, Evidence, State

_MADE_HERE = frozenset({Evidence.BUILT, Evidence.SAME_OBJECTS})
"""What gives its result to cells of the same lane with the same inputs; all else is in the memory."""


@dataclass(frozen=True)
class FinishedCells:
    """``stored``: the run as this process found it; None for a new one, which has no such cells.

    ``configure_sizes``: of other cells, id → the bytes at the begin of its log that are of its configure
    step.
    """

    stored: RunDirectory | None = None
    configure_sizes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """In plan order."""
        cells = self.stored.run.cells if self.stored else ()
        return tuple(cell for cell in cells if cell.is_finished)

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(cell.id for cell in self.cells)

    @property
    def states(self) -> tuple[State, ...]:
        """Of each cell its state."""
        return tuple(cell.state for cell in self.cells)

    def list_made(self, lane: Lane) -> Iterator[Cell]:
        """Those of a lane that were made to an end there, in plan order."""
        for cell in self._by_lane.get((lane.arch, lane.toolchain, lane.base), ()):
            if cell.evidence in _MADE_HERE and cell.state not in UNTRIED_STATES:
                yield cell

    @cached_property
    def _by_lane(self) -> Mapping[tuple[str, ...], Sequence[Cell]]:
        by_lane: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            by_lane[tuple(cell.axes[axis] for axis in LANE_AXES)].append(cell)
        return by_lane

    def load_result(self, cell: Cell) -> CellResult:
        """The result of one of them, as it was when the cell was made."""
        assert self.stored is not None
        return CellResult(
            cell,
            {ref.key: self.stored.run.diagnostics[ref.key] for ref in cell.diagnostics},
            self.stored.load_objects(cell),
            self.stored.load_sources(cell) or frozenset(),
            tuple(ref for ref in cell.diagnostics if ref.stage != "configure"),
        )


NO_FINISHED_CELLS = FinishedCells()
"""Those of a new run."""
