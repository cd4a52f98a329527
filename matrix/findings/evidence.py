"""Which cells of a run show that a problem is absent: one by one, and for all cells at once.

Sets of cells are bit masks (bit i is the run's cell i), so that a thousand findings over a hundred thousand
cells cost operations on whole machine words and not on cells.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TypeVar

from matrix.findings.truth_table import TruthTable
from matrix.record.run_model import IMPORT_AXIS, Cell, Run
from matrix.record.states import COMPLETE_STATES, State

MadeObjects = Mapping[str, frozenset[str]]
"""Failing cell's id → the objects that are known to have been made in it without an error."""


def find_made_objects(run: Run, objects_of: Callable[[Cell], frozenset[str]]) -> MadeObjects:
    """Failing cell → the objects that it made, without those that one of its errors is in."""
    return {
        cell.id: objects_of(cell) - _find_failed_objects(run, cell)
        for cell in run.cells
        if cell.state is State.FAIL
    }


def _find_failed_objects(run: Run, cell: Cell) -> frozenset[str]:
    known = run.diagnostics
    # Also one of a stage that was stopped: it proves nothing of the tree, but its object was not made.
    refs = (ref for ref in cell.diagnostics if ref.object and ref.key in known)
    return frozenset(str(ref.object) for ref in refs if known[ref.key].severity == "error")


def is_problem_absent(
    cell: Cell, objects: Iterable[str], stages: Iterable[str], made_objects: MadeObjects
) -> bool:
    """Whether this cell, which does not show a problem, was built without it.

    ``objects`` and ``stages`` are where the problem was seen elsewhere. A whole build lacks it. One that
    failed for another reason lacks it only if one of these objects was made in it, or, for a problem
    without an object, if the stages that show it came to their end. ``objects``: those that show it as soon
    as they are compiled.
    """
    if cell.state in COMPLETE_STATES:
        return True
    if cell.state is not State.FAIL:
        return False
    wanted = frozenset(objects)
    if wanted:
        return bool(wanted & made_objects.get(cell.id, frozenset()))
    ended = {stage.name for stage in cell.stages if stage.state in COMPLETE_STATES}
    wanted_stages = set(stages)
    return bool(wanted_stages) and wanted_stages <= ended


@dataclass(frozen=True)
class CellSet(Collection[str]):
    """Cells of a run by their ids, as a mask: how many they are, and which, costs little where each cell of a
    large run would cost much."""

    index: "CellIndex"
    mask: int

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __iter__(self) -> Iterator[str]:
        return self.index.list_cell_ids(self.mask)

    def __contains__(self, name: object) -> bool:
        number = self.index.find_number(name)
        return number is not None and bool(self.mask >> number & 1)


K = TypeVar("K")
AxisPoint = tuple[str, ...]


@dataclass(frozen=True)
class CellIndex:
    """A run's cells, indexed by values, states, objects and stages. ``context``: the axes with one value."""

    cells: tuple[Cell, ...]
    axes: dict[str, tuple[str, ...]]
    context: dict[str, str]
    table: TruthTable
    _numbers_by_id: dict[str, int]
    _axis_positions: dict[str, int]
    _point_of_cell: list[AxisPoint]
    _cell_at_point: dict[AxisPoint, int]
    _state_masks: dict[str, int]
    _object_masks: dict[str, int]
    _stage_masks: dict[str, int]
    _lane_masks: dict[tuple[str, str], int]

    @classmethod
    def from_run(cls, run: Run, made_objects: MadeObjects, *, by_directory: bool = False) -> "CellIndex":
        """The index of a run's cells. Time and memory grow with their number times that of the axes.

        What imported builds are called is no axis of theirs, but for ``by_directory``: it would tell anything
        from anything.
        """
        named = dict.fromkeys((name for cell in run.cells for name in cell.request), "")
        rows = [named | cell.axes for cell in run.cells]
        occurring = _collect_axis_values(run, rows)
        if not by_directory:
            occurring.pop(IMPORT_AXIS, None)
        axes = {name: values for name, values in occurring.items() if len(values) > 1}
        points = [tuple(row.get(name, "") for name in axes) for row in rows]
        size = len(points)
        return cls(
            cells=run.cells,
            axes=axes,
            context={name: values[0] for name, values in occurring.items() if len(values) == 1},
            table=TruthTable(axes, (dict(zip(axes, point, strict=True)) for point in points)),
            _numbers_by_id={cell.id: number for number, cell in enumerate(run.cells)},
            _axis_positions={name: position for position, name in enumerate(axes)},
            _point_of_cell=points,
            _cell_at_point={point: number for number, point in enumerate(points)},
            _state_masks=_group_into_masks(((cell.state.value, n) for n, cell in enumerate(run.cells)), size),
            _object_masks=_mask_made_objects(run, made_objects),
            _stage_masks=_group_into_masks(_list_ended_stages(run.cells), size),
            _lane_masks=_group_into_masks(
                (((cell.arch, cell.toolchain), n) for n, cell in enumerate(run.cells)), size
            ),
        )

    def find_number(self, name: object) -> int | None:
        """The number of the cell with this id; None where there is none."""
        return self._numbers_by_id.get(name) if isinstance(name, str) else None

    def mask_cells(self, cells: Iterable[str]) -> int:
        """The mask of these cells, given by their ids."""
        return _mask_from_numbers((self._numbers_by_id[name] for name in cells), len(self.cells))

    def find_absent_cells(self, objects: Iterable[str], stages: Iterable[str]) -> int:
        """The cells from which a problem of these objects and stages is absent, unless they show it.

        The same as asking `is_problem_absent` of every cell.
        """
        absent = 0
        for state in COMPLETE_STATES:
            absent |= self._state_masks.get(state.value, 0)
        by_object = [self._object_masks.get(name, 0) for name in objects]
        for mask in by_object:
            absent |= mask
        # A stage's end counts only for a problem that has no object.
        by_stage = [self._stage_masks.get(stage, 0) for stage in stages]
        return absent if by_object or not by_stage else absent | reduce(and_, by_stage)

    def read_axis_value(self, number: int, axis: str) -> str:
        """The value of an axis in the cell of this number."""
        return self._point_of_cell[number][self._axis_positions[axis]]

    def find_neighbour(self, number: int, axis: str, value: str) -> int | None:
        """The cell that differs from this one in an axis alone, with this value there; None without one."""
        position, point = self._axis_positions[axis], self._point_of_cell[number]
        return self._cell_at_point.get((*point[:position], value, *point[position + 1 :]))

    def list_cell_ids(self, cells: int) -> Iterator[str]:
        """The ids of these cells, given as a mask, in plan order."""
        # Bit by bit of a string: shifting a long integer for each cell would be quadratic.
        bits = reversed(f"{cells:b}")
        return (cell.id for cell, bit in zip(self.cells, bits, strict=False) if bit == "1")

    def count_states(self, cells: int) -> dict[str, int]:
        """State → how many of these cells, given as a mask, are in it."""
        counts = {state: (mask & cells).bit_count() for state, mask in self._state_masks.items()}
        return {state: count for state, count in counts.items() if count}

    def split_by_lane(self, cells: int) -> Iterator[tuple[str, str, int]]:
        """(arch, toolchain, those of these cells that it has), where it has any."""
        for (arch, toolchain), mask in self._lane_masks.items():
            if mask & cells:
                yield arch, toolchain, mask & cells


def _collect_axis_values(run: Run, rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Axis → the values that cells of the run have, in the order of the plan."""
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in row.items():
            seen.setdefault(name, {})[value] = None
    planned = {name: run.axes.get(name, ()) for name in (*run.axes, *seen) if name in seen}
    return {
        name: tuple(dict.fromkeys([*(value for value in values if value in seen[name]), *seen[name]]))
        for name, values in planned.items()
    }


def _list_ended_stages(cells: Sequence[Cell]) -> Iterator[tuple[str, int]]:
    """(stage, cell) for the stages that came to their end in cells that failed."""
    for number, cell in enumerate(cells):
        if cell.state is State.FAIL:
            yield from ((stage.name, number) for stage in cell.stages if stage.state in COMPLETE_STATES)


def _mask_made_objects(run: Run, made_objects: MadeObjects) -> dict[str, int]:
    """Object → the cells that made it, of those objects that a diagnostic names.

    A cell that made most of them is recorded by those that it lacks: cells differ in few objects.
    """
    named = {ref.object for cell in run.cells for ref in cell.proven_diagnostics if ref.object}
    known = named & frozenset().union(*made_objects.values())
    most, has, lacks = [], [], []
    for number, cell in enumerate(run.cells):
        objects = known & made_objects.get(cell.id, frozenset())
        if 2 * len(objects) > len(known):
            most.append(number)
            lacks += [(name, number) for name in known - objects]
        else:
            has += [(name, number) for name in objects]
    size = len(run.cells)
    made_most, having, lacking = (
        _mask_from_numbers(most, size),
        _group_into_masks(has, size),
        _group_into_masks(lacks, size),
    )
    return {name: having.get(name, 0) | made_most & ~lacking.get(name, 0) for name in known}


def _group_into_masks(pairs: Iterable[tuple[K, int]], size: int) -> dict[K, int]:
    numbers_by_key: dict[K, list[int]] = {}
    for key, number in pairs:
        numbers_by_key.setdefault(key, []).append(number)
    return {key: _mask_from_numbers(numbers, size) for key, numbers in numbers_by_key.items()}


def _mask_from_numbers(numbers: Iterable[int], size: int) -> int:
    """The mask of these numbers. Bytes are set first: shifting a long integer for each would be quadratic."""
    mask = bytearray(size // 8 + 1)
    for number in numbers:
        mask[number // 8] |= 1 << number % 8
    return int.from_bytes(mask, "little")
