"""The lanes of a plan, packed into shares that take about as long each. Pure: equal lanes, equal shares.

A lane stays whole where it can, as each directory that begins empty costs the compiling of what the others
have compiled already. One that is larger than a share is cut where its visiting order goes on, so that
neighbours stay together. Cells with one configuration are never parted: only one of them is built.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, groupby
from statistics import median
from typing import NamedTuple

from pydantic import Field

from matrix.record.run_model import Record

_START = 3.0
"""What an empty directory takes beside a usual cell: measured on Linux 6.12 at stage `focus`."""
_UNBUILT = 0.02
"""What a cell takes that only conf is run for, beside a usual one."""
_WORTHWHILE = 0.95
"""Lanes are cut where the longest share gets shorter than this part of it."""
_STEP = 1.02
"""What the limit of a share is raised by, from a fair share on, until all fits."""


class KnownTime(NamedTuple):
    """What a cell took when it was made, and the run and cell that made it, as in ``RUN/CELL``."""

    seconds: float
    origin: str


class PlannedCell(Record):
    """A cell of a plan, and how long it may take. Without a configuration nothing is built.

    ``seconds`` are there where they are known, and ``times_from`` is the run and cell that took them, as in
    ``RUN/CELL``.
    """

    id: str
    config_sha256: str | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    times_from: str | None = None


class PlannedLane(Record):
    """A lane of a plan with its cells as a lane that remembers nothing visits them; those of which nothing is
    built come last. ``weight``: what a cell takes with its toolchain against gcc's 1, where no time is
    known."""

    arch: str
    toolchain: str
    base: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    cells: tuple[PlannedCell, ...]

    @property
    def name(self) -> str:
        return f"{self.arch}/{self.toolchain}/{self.base}"

    @property
    def known_seconds(self) -> tuple[float, ...]:
        """The times of those of its cells that are built, as far as they are known."""
        return tuple(cell.seconds for cell in self.cells if cell.config_sha256 and cell.seconds is not None)


@dataclass(frozen=True)
class LanePiece:
    """Cells of one lane that one machine visits one after another. ``cost`` is in seconds, or in usual cells
    where no time is known."""

    lane: PlannedLane
    cells: tuple[PlannedCell, ...]
    cost: float


@dataclass(frozen=True)
class PlanShare:
    """What one machine builds."""

    pieces: tuple[LanePiece, ...] = ()

    @property
    def cost(self) -> float:
        return sum(piece.cost for piece in self.pieces)

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(cell.id for piece in self.pieces for cell in piece.cells)


_Group = tuple[tuple[PlannedCell, ...], float]
"""Cells that stay together, and what they take."""


@dataclass(frozen=True)
class _Part:
    """The groups of a lane from ``begin`` on, up to ``end``. ``sums``: what all groups before each one of the
    lane take, and all of them together. ``start``: what an empty directory takes in addition, unless the time
    of the first cell has it in it."""

    lane: PlannedLane
    groups: tuple[_Group, ...]
    sums: tuple[float, ...]
    start: float
    begin: int
    end: int

    @cached_property
    def cost(self) -> float:
        return self._measure_up_to(self.sums[self.end])

    def _measure_up_to(self, total: float) -> float:
        """What it takes up to the group before which those of the lane take so much."""
        return self.own_start + (total - self.sums[self.begin])

    @cached_property
    def own_start(self) -> float:
        first = self.groups[self.begin][0][0]
        has_start = not first.config_sha256 or (self.begin == 0 and first.seconds is not None)
        return 0.0 if has_start else self.start

    def cut(self, room: float) -> "tuple[_Part, _Part] | None":
        """As much of it as takes no longer than the room, and the rest; None where nothing does."""
        low, high = self.begin + 1, self.end + 1
        place = bisect_right(self.sums, room, low, high, key=self._measure_up_to) - 1
        if not self.begin < place < self.end:
            return None
        return replace(self, end=place), replace(self, begin=place)

    def create_piece(self) -> LanePiece:
        cells = chain.from_iterable(members for members, _ in self.groups[self.begin : self.end])
        return LanePiece(self.lane, tuple(cells), self.cost)


def split_lanes(lanes: Sequence[PlannedLane], count: int) -> tuple[PlanShare, ...]:
    """The lanes as ``count`` shares, of which each cell is in one. A share may be empty."""
    usual = _find_usual_seconds(lanes)
    parts = [_weigh_lane(lane, usual) for lane in lanes if lane.cells]
    parts.sort(key=lambda part: -part.cost)
    whole = _pack_whole(parts, count)
    longest = max(share.cost for share in whole)
    limit = sum(part.cost for part in parts) / count
    while limit < _WORTHWHILE * longest:
        filled = _fill_shares(parts, count, limit)
        if filled is not None:
            return filled
        limit *= _STEP
    return whole


def _pack_whole(parts: Iterable[_Part], count: int) -> tuple[PlanShare, ...]:
    """Each into the share that has least by then."""
    packed: list[list[_Part]] = [[] for _ in range(count)]
    costs = [0.0] * count
    for part in parts:
        least = costs.index(min(costs))
        packed[least].append(part)
        costs[least] += part.cost
    return _create_shares(packed)


def _fill_shares(parts: Iterable[_Part], count: int, limit: float) -> tuple[PlanShare, ...] | None:
    """Shares that take no longer than the limit; None where they do not come to that.

    What fits nowhere as a whole is cut where the emptiest share is full, so there are fewer cuts than shares.
    """
    packed: list[list[_Part]] = [[] for _ in range(count)]
    rooms, queue = [limit] * count, deque(parts)
    while queue:
        part = queue.popleft()
        fitting = [room for room in rooms if room >= part.cost]
        place = rooms.index(min(fitting) if fitting else max(rooms))
        if not fitting:
            cut = part.cut(rooms[place])
            if cut is None:
                return None
            part, rest = cut
            queue.appendleft(rest)
        packed[place].append(part)
        rooms[place] -= part.cost
    return _create_shares(packed)


def _create_shares(packed: Iterable[Iterable[_Part]]) -> tuple[PlanShare, ...]:
    return tuple(PlanShare(tuple(part.create_piece() for part in parts)) for parts in packed)


def _find_usual_seconds(lanes: Iterable[PlannedLane]) -> float:
    """What a cell takes with gcc; 1 where no time is known."""
    known = [seconds / lane.weight for lane in lanes for seconds in lane.known_seconds]
    return (median(known) if known else 1.0) or 1.0


def _weigh_lane(lane: PlannedLane, usual: float) -> _Part:
    typical = (median(lane.known_seconds) if lane.known_seconds else 0.0) or usual * lane.weight
    groups = []
    for _, cells in groupby(enumerate(lane.cells), key=lambda item: item[1].config_sha256 or item[0]):
        members = tuple(cell for _, cell in cells)
        groups.append((members, _weigh_group(members, typical)))
    first = lane.cells[0].seconds if lane.cells[0].config_sha256 else None
    sums = tuple(accumulate((cost for _, cost in groups), initial=0.0))
    return _Part(lane, tuple(groups), sums, first or _START * typical, 0, len(groups))


def _weigh_group(members: Sequence[PlannedCell], typical: float) -> float:
    """What cells of one configuration take: the first is built, the others take its result."""
    usual = [typical if members[0].config_sha256 else _UNBUILT * typical]
    usual += [_UNBUILT * typical] * (len(members) - 1)
    return sum(usual[number] if cell.seconds is None else cell.seconds for number, cell in enumerate(members))
