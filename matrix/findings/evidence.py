"""What the cells of a run testify about a condition: neighbours, gaps and scope.

Sets of cells are bit masks (bit i is the run's cell i), so that a thousand findings over a hundred thousand
cells cost operations on whole machine words and not on cells.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from matrix.findings.model import Assumption, Proof, Scope, Where
from matrix.findings.presence import Made
from matrix.findings.table import Cube, Table
from matrix.record.model import Cell, Run
from matrix.record.outcome import WHOLE, State

K = TypeVar("K")
Point = tuple[str, ...]
_NOT_PLANNED = "not planned"
_NOT_ZERO = re.compile(rb"[^\0]")


class _Pair(NamedTuple):
    """A term put to the test: conjunction ``of``, its cells, and the axis to be flipped ``to`` a value."""

    of: int
    cube: Cube
    axis: str
    to: str
    mine: int


@dataclass(frozen=True)
class Evidence:
    """A run's cells, indexed for questions about findings. ``context``: the axes that have one value."""

    cells: tuple[Cell, ...]
    axes: dict[str, tuple[str, ...]]
    context: dict[str, str]
    table: Table
    _index: dict[str, int]
    _order: dict[str, int]
    _rows: list[Point]
    _points: dict[Point, int]
    _states: dict[str, int]
    _made: dict[str, int]
    _ended: dict[str, int]
    _lanes: dict[tuple[str, str], int]

    @classmethod
    def of(cls, run: Run, made: Made) -> "Evidence":
        """The index of a run's cells. Time and memory grow with their number times that of the axes."""
        named = dict.fromkeys((name for cell in run.cells for name in cell.request), "")
        values = [named | _values(cell) for cell in run.cells]
        occurring = _occurring(run, values)
        axes = {name: among for name, among in occurring.items() if len(among) > 1}
        rows = [tuple(row.get(name, "") for name in axes) for row in values]
        size = len(rows)
        return cls(
            cells=run.cells,
            axes=axes,
            context={name: among[0] for name, among in occurring.items() if len(among) == 1},
            table=Table(axes, (dict(zip(axes, row, strict=True)) for row in rows)),
            _index={cell.id: number for number, cell in enumerate(run.cells)},
            _order={name: place for place, name in enumerate(axes)},
            _rows=rows,
            _points={row: number for number, row in enumerate(rows)},
            _states=_masks(((cell.state.value, n) for n, cell in enumerate(run.cells)), size),
            _made=_made_masks(run, made),
            _ended=_masks(_ended(run.cells), size),
            _lanes=_masks((((cell.arch, cell.toolchain), n) for n, cell in enumerate(run.cells)), size),
        )

    def mask(self, cells: Iterable[str]) -> int:
        """The mask of these cells, given by their ids."""
        return _bits((self._index[name] for name in cells), len(self.cells))

    def absent(self, objects: Iterable[str], stages: Iterable[str]) -> int:
        """The cells that a problem of these objects and stages, if they do not show it, is absent from.

        The same as asking `lacks` of every cell.
        """
        found = 0
        for state in WHOLE:
            found |= self._states.get(state.value, 0)
        by_object = [self._made.get(item, 0) for item in objects]
        by_stage = [self._ended.get(stage, 0) for stage in stages]
        for mask in by_object or by_stage:
            found |= mask
        return found

    def proof(self, cubes: Sequence[Cube], seen: int, absent: int) -> Iterator[Proof]:
        """For each term of each conjunction, and each value outside it, the neighbour that tells most."""
        for number, cube in enumerate(cubes):
            mine = self.table.matching(cube) & seen
            for axis, named in cube.items():
                outside = (value for value in self.axes[axis] if value not in named)
                for value in outside:
                    yield self._neighbour(_Pair(number, cube, axis, value, mine), absent, seen)

    def _neighbour(self, pair: "_Pair", absent: int, seen: int) -> Proof:
        """A neighbour without the finding proves the term; one that is dumb, or has it, is second best."""
        across = self.table.matching({**pair.cube, pair.axis: (pair.to,)})
        for wanted in (across & absent, across & ~(seen | absent), across & seen):
            for here, there in self._beside(pair, wanted):
                return self._told(pair, here, there, seen, absent)
        first = next(_numbers(pair.mine))
        return Proof(
            of=pair.of, flip=pair.axis, from_=self._at(first, pair.axis), to=pair.to, reason=_NOT_PLANNED
        )

    def _beside(self, pair: "_Pair", wanted: int) -> Iterator[tuple[int, int]]:
        """(cell with the finding, wanted cell) that differ in the pair's axis alone."""
        near = pair.mine.bit_count() <= wanted.bit_count()
        for number in _numbers(pair.mine if near else wanted):
            for value in [pair.to] if near else pair.cube[pair.axis]:
                other = self._points.get(self._moved(number, pair.axis, value))
                if other is not None and (wanted if near else pair.mine) >> other & 1:
                    yield (number, other) if near else (other, number)

    def _moved(self, number: int, axis: str, value: str) -> Point:
        at = self._order[axis]
        point = self._rows[number]
        return (*point[:at], value, *point[at + 1 :])

    def _at(self, number: int, axis: str) -> str:
        return self._rows[number][self._order[axis]]

    def _told(self, pair: "_Pair", here: int, there: int, seen: int, absent: int) -> Proof:
        cell = self.cells[there]
        known = True if seen >> there & 1 else False if absent >> there & 1 else None
        return Proof(
            of=pair.of,
            flip=pair.axis,
            from_=self._at(here, pair.axis),
            to=pair.to,
            beside=self.cells[here].id,
            cell=cell.id,
            state=cell.state,
            has_finding=known,
            reason=_why(cell) if known is None else None,
        )

    def assumptions(self, cubes: Sequence[Cube], seen: int) -> Iterator[Assumption]:
        """The axes that a conjunction leaves out only because no cell says whether they matter.

        No cell without the finding meets a conjunction; so where it was seen at some values of an axis
        only, every cell at the others proves nothing.
        """
        for number, cube in enumerate(cubes):
            inside = self.table.matching(cube)
            for axis in (name for name in self.axes if name not in cube):
                here = {v for v in self.axes[axis] if self.table.matching({axis: (v,)}) & inside & seen}
                others = tuple(value for value in self.axes[axis] if value not in here)
                if others:
                    among = inside & self.table.matching({axis: others})
                    yield Assumption(
                        of=number,
                        axis=axis,
                        seen=tuple(value for value in self.axes[axis] if value in here),
                        unknown=others,
                        because=self._because(among) or {_NOT_PLANNED: 1},
                    )

    def _because(self, cells: int) -> dict[str, int]:
        counted = {state: (mask & cells).bit_count() for state, mask in self._states.items()}
        return {state: count for state, count in counted.items() if count}

    def scope(self, seen: int, absent: int) -> Scope:
        """Where it was seen, where it is absent, where nobody could look; by arch and toolchain."""
        everywhere = (1 << len(self.cells)) - 1
        unknown = everywhere & ~(seen | absent)
        return Scope(
            seen=self._where(seen),
            absent=self._where(absent),
            unknown=tuple(
                where.model_copy(update={"because": self._because(unknown & mask)})
                for where, mask in self._shares(unknown)
            ),
        )

    def _where(self, cells: int) -> tuple[Where, ...]:
        return tuple(where for where, _ in self._shares(cells))

    def _shares(self, cells: int) -> Iterator[tuple[Where, int]]:
        for (arch, toolchain), mask in self._lanes.items():
            count = (mask & cells).bit_count()
            if count:
                yield Where(arch=arch, toolchain=toolchain, cells=count), mask


def _values(cell: Cell) -> dict[str, str]:
    return {"arch": cell.arch, "toolchain": cell.toolchain, "base": cell.base, **cell.request}


def _occurring(run: Run, rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
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


def _ended(cells: Sequence[Cell]) -> Iterator[tuple[str, int]]:
    """(stage, cell) for the stages that came to their end in cells that failed."""
    for number, cell in enumerate(cells):
        if cell.state is State.FAIL:
            yield from ((stage.name, number) for stage in cell.stages if stage.state in WHOLE)


def _made_masks(run: Run, made: Made) -> dict[str, int]:
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
    rich, having, lacking = _bits(most, size), _masks(has, size), _masks(lacks, size)
    return {item: having.get(item, 0) | rich & ~lacking.get(item, 0) for item in known}


def _why(cell: Cell) -> str:
    if cell.state is State.FAIL:
        return "it fails for another reason, and what it made tells nothing"
    return cell.reason or cell.state.value


def _masks(pairs: Iterable[tuple[K, int]], size: int) -> dict[K, int]:
    numbers: dict[K, list[int]] = {}
    for key, number in pairs:
        numbers.setdefault(key, []).append(number)
    return {key: _bits(among, size) for key, among in numbers.items()}


def _bits(numbers: Iterable[int], size: int) -> int:
    """The mask of these numbers. Bytes are set first: shifting a long integer for each would be quadratic."""
    field = bytearray(size // 8 + 1)
    for number in numbers:
        field[number // 8] |= 1 << number % 8
    return int.from_bytes(field, "little")


def _numbers(mask: int) -> Iterator[int]:
    """The numbers in a mask, ascending."""
    data = mask.to_bytes(mask.bit_length() // 8 + 1, "little")
    for found in _NOT_ZERO.finditer(data):
        byte = found[0][0]
        yield from (8 * found.start() + bit for bit in range(8) if byte >> bit & 1)
