"""What the cells of a run testify about a condition: neighbours, gaps and scope.

Sets of cells are bit masks (bit i is the run's cell i), so that a thousand findings over a hundred thousand
cells cost operations on whole machine words and not on cells.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from matrix.findings.finding import Assumption, Proof, Scope, Where
from matrix.findings.truth_table import Cube, TruthTable
from matrix.record.run_model import Cell, Run
from matrix.record.states import COMPLETE_STATES, State

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


K = TypeVar("K")
AxisPoint = tuple[str, ...]
_NOT_PLANNED = "not planned"
_NONZERO_BYTE = re.compile(rb"[^\0]")


class _TermTest(NamedTuple):
    """A term put to the test: conjunction ``of``, its cells, and the axis to be flipped ``to`` a value."""

    cube_index: int
    cube: Cube
    axis: str
    to: str
    seen_mask: int


@dataclass(frozen=True)
class CellIndex:
    """A run's cells, indexed for questions about findings. ``context``: the axes that have one value."""

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
    def from_run(cls, run: Run, made: MadeObjects) -> "CellIndex":
        """The index of a run's cells. Time and memory grow with their number times that of the axes."""
        named = dict.fromkeys((name for cell in run.cells for name in cell.request), "")
        values = [named | cell.axes for cell in run.cells]
        occurring = _collect_axis_values(run, values)
        axes = {name: among for name, among in occurring.items() if len(among) > 1}
        rows = [tuple(row.get(name, "") for name in axes) for row in values]
        size = len(rows)
        return cls(
            cells=run.cells,
            axes=axes,
            context={name: among[0] for name, among in occurring.items() if len(among) == 1},
            table=TruthTable(axes, (dict(zip(axes, row, strict=True)) for row in rows)),
            _numbers_by_id={cell.id: number for number, cell in enumerate(run.cells)},
            _axis_positions={name: place for place, name in enumerate(axes)},
            _point_of_cell=rows,
            _cell_at_point={row: number for number, row in enumerate(rows)},
            _state_masks=_group_into_masks(((cell.state.value, n) for n, cell in enumerate(run.cells)), size),
            _object_masks=_mask_made_objects(run, made),
            _stage_masks=_group_into_masks(_list_ended_stages(run.cells), size),
            _lane_masks=_group_into_masks(
                (((cell.arch, cell.toolchain), n) for n, cell in enumerate(run.cells)), size
            ),
        )

    def mask_cells(self, cells: Iterable[str]) -> int:
        """The mask of these cells, given by their ids."""
        return _mask_from_numbers((self._numbers_by_id[name] for name in cells), len(self.cells))

    def find_absent_cells(self, objects: Iterable[str], stages: Iterable[str]) -> int:
        """The cells that a problem of these objects and stages, if they do not show it, is absent from.

        The same as asking `lacks` of every cell.
        """
        found = 0
        for state in COMPLETE_STATES:
            found |= self._state_masks.get(state.value, 0)
        by_object = [self._object_masks.get(item, 0) for item in objects]
        by_stage = [self._stage_masks.get(stage, 0) for stage in stages]
        for mask in by_object or by_stage:
            found |= mask
        return found

    def prove_terms(self, cubes: Sequence[Cube], seen: int, absent: int) -> Iterator[Proof]:
        """For each term of each conjunction, and each value outside it, the neighbour that tells most."""
        for number, cube in enumerate(cubes):
            mine = self.table.find_matching_rows(cube) & seen
            for axis, named in cube.items():
                outside = (value for value in self.axes[axis] if value not in named)
                for value in outside:
                    yield self._prove_term(_TermTest(number, cube, axis, value, mine), absent, seen)

    def _prove_term(self, pair: "_TermTest", absent: int, seen: int) -> Proof:
        """A neighbour without the finding proves the term; one that is dumb, or has it, is second best."""
        across = self.table.find_matching_rows({**pair.cube, pair.axis: (pair.to,)})
        for wanted in (across & absent, across & ~(seen | absent), across & seen):
            for here, there in self._find_neighbour_pairs(pair, wanted):
                return self._build_proof(pair, here, there, seen, absent)
        first = next(_list_set_bits(pair.seen_mask))
        return Proof(
            of=pair.cube_index,
            flip=pair.axis,
            from_=self._read_axis_value(first, pair.axis),
            to=pair.to,
            reason=_NOT_PLANNED,
        )

    def _find_neighbour_pairs(self, pair: "_TermTest", wanted: int) -> Iterator[tuple[int, int]]:
        """(cell with the finding, wanted cell) that differ in the pair's axis alone."""
        near = pair.seen_mask.bit_count() <= wanted.bit_count()
        for number in _list_set_bits(pair.seen_mask if near else wanted):
            for value in [pair.to] if near else pair.cube[pair.axis]:
                other = self._cell_at_point.get(self._move_point(number, pair.axis, value))
                if other is not None and (wanted if near else pair.seen_mask) >> other & 1:
                    yield (number, other) if near else (other, number)

    def _move_point(self, number: int, axis: str, value: str) -> AxisPoint:
        at = self._axis_positions[axis]
        point = self._point_of_cell[number]
        return (*point[:at], value, *point[at + 1 :])

    def _read_axis_value(self, number: int, axis: str) -> str:
        return self._point_of_cell[number][self._axis_positions[axis]]

    def _build_proof(self, pair: "_TermTest", here: int, there: int, seen: int, absent: int) -> Proof:
        cell = self.cells[there]
        known = True if seen >> there & 1 else False if absent >> there & 1 else None
        return Proof(
            of=pair.cube_index,
            flip=pair.axis,
            from_=self._read_axis_value(here, pair.axis),
            to=pair.to,
            beside=self.cells[here].id,
            cell=cell.id,
            state=cell.state,
            has_finding=known,
            reason=_explain_unknown(cell) if known is None else None,
        )

    def find_assumptions(self, cubes: Sequence[Cube], seen: int) -> Iterator[Assumption]:
        """The axes that a conjunction leaves out only because no cell says whether they matter.

        No cell without the finding meets a conjunction; so where it was seen at some values of an axis
        only, every cell at the others proves nothing.
        """
        for number, cube in enumerate(cubes):
            inside = self.table.find_matching_rows(cube)
            for axis in (name for name in self.axes if name not in cube):
                here = {
                    v for v in self.axes[axis] if self.table.find_matching_rows({axis: (v,)}) & inside & seen
                }
                others = tuple(value for value in self.axes[axis] if value not in here)
                if others:
                    among = inside & self.table.find_matching_rows({axis: others})
                    yield Assumption(
                        of=number,
                        axis=axis,
                        seen=tuple(value for value in self.axes[axis] if value in here),
                        unknown=others,
                        because=self._count_states(among) or {_NOT_PLANNED: 1},
                    )

    def _count_states(self, cells: int) -> dict[str, int]:
        counted = {state: (mask & cells).bit_count() for state, mask in self._state_masks.items()}
        return {state: count for state, count in counted.items() if count}

    def compute_scope(self, seen: int, absent: int) -> Scope:
        """Where it was seen, where it is absent, where nobody could look; by arch and toolchain."""
        everywhere = (1 << len(self.cells)) - 1
        unknown = everywhere & ~(seen | absent)
        return Scope(
            seen=self._count_by_lane(seen),
            absent=self._count_by_lane(absent),
            unknown=tuple(
                where.model_copy(update={"because": self._count_states(unknown & mask)})
                for where, mask in self._split_by_lane(unknown)
            ),
        )

    def _count_by_lane(self, cells: int) -> tuple[Where, ...]:
        return tuple(where for where, _ in self._split_by_lane(cells))

    def _split_by_lane(self, cells: int) -> Iterator[tuple[Where, int]]:
        for (arch, toolchain), mask in self._lane_masks.items():
            count = (mask & cells).bit_count()
            if count:
                yield Where(arch=arch, toolchain=toolchain, cells=count), mask


def _collect_axis_values(run: Run, rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Axis → the values that cells of the run have, in the order of the plan."""
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in row.items():
            seen.setdefault(name, {})[value] = None
    ordered = {name: run.axes.get(name, ()) for name in (*run.axes, *seen) if name in seen}
    return {
        name: tuple(dict.fromkeys([*(v for v in among if v in seen[name]), *seen[name]]))
        for name, among in ordered.items()
    }


def _list_ended_stages(cells: Sequence[Cell]) -> Iterator[tuple[str, int]]:
    """(stage, cell) for the stages that came to their end in cells that failed."""
    for number, cell in enumerate(cells):
        if cell.state is State.FAIL:
            yield from ((stage.name, number) for stage in cell.stages if stage.state in COMPLETE_STATES)


def _mask_made_objects(run: Run, made: MadeObjects) -> dict[str, int]:
    """Object → the cells that made it, of those objects that a diagnostic names.

    A cell that made most of them is told by those that it lacks: cells differ in few objects.
    """
    named = {ref.object for cell in run.cells for ref in cell.diagnostics if ref.object}
    known = named & frozenset().union(*made.values())
    most, has, lacks = [], [], []
    for number, cell in enumerate(run.cells):
        its = known & made.get(cell.id, frozenset())
        if 2 * len(its) > len(known):
            most.append(number)
            lacks += [(item, number) for item in known - its]
        else:
            has += [(item, number) for item in its]
    size = len(run.cells)
    rich, having, lacking = (
        _mask_from_numbers(most, size),
        _group_into_masks(has, size),
        _group_into_masks(lacks, size),
    )
    return {item: having.get(item, 0) | rich & ~lacking.get(item, 0) for item in known}


def _explain_unknown(cell: Cell) -> str:
    if cell.state is State.FAIL:
        return "it fails for another reason, and what it made tells nothing"
    return cell.reason or cell.state.value


def _group_into_masks(pairs: Iterable[tuple[K, int]], size: int) -> dict[K, int]:
    numbers: dict[K, list[int]] = {}
    for key, number in pairs:
        numbers.setdefault(key, []).append(number)
    return {key: _mask_from_numbers(among, size) for key, among in numbers.items()}


def _mask_from_numbers(numbers: Iterable[int], size: int) -> int:
    """The mask of these numbers. Bytes are set first: shifting a long integer for each would be quadratic."""
    field = bytearray(size // 8 + 1)
    for number in numbers:
        field[number // 8] |= 1 << number % 8
    return int.from_bytes(field, "little")


def _list_set_bits(mask: int) -> Iterator[int]:
    """The numbers in a mask, ascending."""
    data = mask.to_bytes(mask.bit_length() // 8 + 1, "little")
    for found in _NONZERO_BYTE.finditer(data):
        byte = found[0][0]
        yield from (8 * found.start() + bit for bit in range(8) if byte >> bit & 1)
