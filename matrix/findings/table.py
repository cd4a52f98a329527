"""The cells of a run as a truth table over its axes, in which sets of cells are bit masks."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import accumulate
from operator import and_, or_

Cube = Mapping[str, tuple[str, ...]]
"""A conjunction: axis → the values that it names. An axis that is not constrained is not in it."""


class TruthTable:
    """The cells of a run as a multi-valued truth table. Bit i of a mask is row i.

    ``axes`` are those with two values or more, in plan order; a row has a value for each. ``unique``: no two
    rows have the same.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], rows: Iterable[Mapping[str, str]]) -> None:
        self.axes = {name: tuple(values) for name, values in axes.items()}
        self.masks = [[0] * len(values) for values in self.axes.values()]
        index = [(name, {v: i for i, v in enumerate(values)}) for name, values in self.axes.items()]
        fields = [[bytearray() for _ in values] for values in self.axes.values()]
        self.row_count = 0
        points = set()
        for row in rows:
            points.add(tuple(row[name] for name in self.axes))
            for (name, places), among in zip(index, fields, strict=True):
                field = among[places[row[name]]]
                field.extend(bytes(self.row_count // 8 + 1 - len(field)))
                field[self.row_count // 8] |= 1 << self.row_count % 8
            self.row_count += 1
        self.masks = [[int.from_bytes(field, "little") for field in among] for among in fields]
        self.all_rows = (1 << self.row_count) - 1
        self.has_unique_rows = len(points) == self.row_count
        self._rows_by_values: dict[tuple[int, int], int] = {}

    def find_matching_rows(self, cube: Cube) -> int:
        """The rows that meet a conjunction."""
        found = self.all_rows
        for place, (name, values) in enumerate(self.axes.items()):
            if name in cube:
                wanted = 0
                for value in cube[name]:
                    wanted |= self.masks[place][values.index(value)]
                found &= wanted
        return found

    def find_rows_with_values(self, place: int, bits: int) -> int:
        """The rows that have one of these values of an axis."""
        if (place, bits) not in self._rows_by_values:
            chosen = (mask for index, mask in enumerate(self.masks[place]) if bits >> index & 1)
            self._rows_by_values[place, bits] = reduce(or_, chosen, 0)
        return self._rows_by_values[place, bits]

    def project_values(self, place: int, rows: int) -> int:
        """The values of an axis that these rows have, as bits."""
        return sum(1 << index for index, mask in enumerate(self.masks[place]) if mask & rows)

    def find_first_point(self, rows: int, near: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values (as indices) of the first of these rows, in the order of the axes' values.

        With ``near`` its value comes before the others of each axis.
        """
        point = []
        for place, among in enumerate(self.masks):
            index = near[place] if near and among[near[place]] & rows else 0
            while not among[index] & rows:
                index += 1
            rows &= among[index]
            point.append(index)
        return tuple(point)

    def find_neighbours(self, point: tuple[int, ...]) -> list[int]:
        """For each axis the rows that have all values of a point but in that axis."""
        mine = [among[index] for among, index in zip(self.masks, point, strict=True)]
        before = accumulate(mine, and_, initial=self.all_rows)
        after = [*accumulate(reversed(mine), and_, initial=self.all_rows)][-2::-1]
        return [one & two & ~mask for one, two, mask in zip(before, after, mine, strict=False)]
