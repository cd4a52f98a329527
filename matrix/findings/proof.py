"""What a condition rests on: the neighbours that prove its terms, what is only assumed, its scope."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matrix.findings.evidence import CellIndex
from matrix.findings.finding import Assumption, Proof, Scope, Where
from matrix.findings.truth_table import Cube
from matrix.record.run_model import Cell
from matrix.record.states import State

_NOT_PLANNED = "not planned"
_NONZERO_BYTE = re.compile(rb"[^\0]")


class _TermTest(NamedTuple):
    """A term put to the test: the conjunction and its index, the cells with the finding that meet it, and the
    axis that is to be flipped ``to`` a value."""

    cube_index: int
    cube: Cube
    axis: str
    to: str
    seen_mask: int


@dataclass(frozen=True)
class ProofSearch:
    """Looks for what proves a finding's condition. ``seen`` and ``absent`` are masks: the cells that show the
    finding, and those that were built without it."""

    index: CellIndex
    seen: int
    absent: int

    def prove_terms(self, cubes: Sequence[Cube]) -> Iterator[Proof]:
        """For each term of each conjunction, and each value outside it, the neighbour that proves most."""
        for number, cube in enumerate(cubes):
            meeting = self.index.table.find_matching_rows(cube) & self.seen
            for axis, named in cube.items():
                outside = (value for value in self.index.axes[axis] if value not in named)
                for value in outside:
                    yield self._prove_term(_TermTest(number, cube, axis, value, meeting))

    def _prove_term(self, test: _TermTest) -> Proof:
        """The best neighbour: one without the finding proves the term; one of which nothing is known comes
        second, as it proves nothing; one that has the finding contradicts the term, and comes last."""
        flipped = self.index.table.find_matching_rows({**test.cube, test.axis: (test.to,)})
        unknown = flipped & ~(self.seen | self.absent)
        for wanted in (flipped & self.absent, unknown, flipped & self.seen):
            for number, neighbour in self._find_neighbour_pairs(test, wanted):
                return self._build_proof(test, number, neighbour)
        first = next(_list_set_bits(test.seen_mask))
        return Proof(
            of=test.cube_index,
            flip=test.axis,
            from_=self.index.read_axis_value(first, test.axis),
            to=test.to,
            reason=_NOT_PLANNED,
        )

    def _find_neighbour_pairs(self, test: _TermTest, wanted: int) -> Iterator[tuple[int, int]]:
        """(cell with the finding, wanted cell) that differ in the term's axis alone."""
        # Whichever side has fewer cells is walked: a finding in two cells of a hundred thousand, or in most.
        from_seen = test.seen_mask.bit_count() <= wanted.bit_count()
        for number in _list_set_bits(test.seen_mask if from_seen else wanted):
            for value in [test.to] if from_seen else test.cube[test.axis]:
                other = self.index.find_neighbour(number, test.axis, value)
                if other is not None and (wanted if from_seen else test.seen_mask) >> other & 1:
                    yield (number, other) if from_seen else (other, number)

    def _build_proof(self, test: _TermTest, number: int, neighbour: int) -> Proof:
        cell = self.index.cells[neighbour]
        has_finding = True if self.seen >> neighbour & 1 else False if self.absent >> neighbour & 1 else None
        return Proof(
            of=test.cube_index,
            flip=test.axis,
            from_=self.index.read_axis_value(number, test.axis),
            to=test.to,
            beside=self.index.cells[number].id,
            cell=cell.id,
            state=cell.state,
            has_finding=has_finding,
            reason=_explain_unknown(cell) if has_finding is None else None,
        )

    def find_assumptions(self, cubes: Sequence[Cube]) -> Iterator[Assumption]:
        """The axes that a conjunction leaves out only because no cell shows whether they matter.

        No cell without the finding meets a conjunction; so where it was seen at some values of an axis
        only, every cell at the others proves nothing.
        """
        table = self.index.table
        for number, cube in enumerate(cubes):
            inside = table.find_matching_rows(cube)
            for axis, values in self.index.axes.items():
                if axis in cube:
                    continue
                known = {v for v in values if table.find_matching_rows({axis: (v,)}) & inside & self.seen}
                unknown = tuple(value for value in values if value not in known)
                if unknown:
                    cells = inside & table.find_matching_rows({axis: unknown})
                    yield Assumption(
                        of=number,
                        axis=axis,
                        seen=tuple(value for value in values if value in known),
                        unknown=unknown,
                        because=self.index.count_states(cells) or {_NOT_PLANNED: 1},
                    )

    def compute_scope(self) -> Scope:
        """Where it was seen, where it is absent, where it could not be looked for; by arch and toolchain."""
        everywhere = (1 << len(self.index.cells)) - 1
        unknown = everywhere & ~(self.seen | self.absent)
        return Scope(
            seen=self._count_by_lane(self.seen),
            absent=self._count_by_lane(self.absent),
            unknown=tuple(
                Where(
                    arch=arch,
                    toolchain=toolchain,
                    cells=cells.bit_count(),
                    because=self.index.count_states(cells),
                )
                for arch, toolchain, cells in self.index.split_by_lane(unknown)
            ),
        )

    def _count_by_lane(self, cells: int) -> tuple[Where, ...]:
        return tuple(
            Where(arch=arch, toolchain=toolchain, cells=mask.bit_count())
            for arch, toolchain, mask in self.index.split_by_lane(cells)
        )


def _explain_unknown(cell: Cell) -> str:
    if cell.state is State.FAIL:
        return "it fails for another reason, and what it made tells nothing"
    return cell.reason or cell.state.value


def _list_set_bits(mask: int) -> Iterator[int]:
    """The numbers in a mask, ascending. The bytes are searched: shifting a long integer bit by bit would be
    quadratic."""
    data = mask.to_bytes(mask.bit_length() // 8 + 1, "little")
    for match in _NONZERO_BYTE.finditer(data):
        byte = match[0][0]
        yield from (8 * match.start() + bit for bit in range(8) if byte >> bit & 1)
