"""Who builds what next, where lanes are worked on by several machines. Pure: it starts nothing.

Each lane has a queue of units, and at most one owner, which takes them from the head, in order. Whoever owns
nothing that waits takes a lane that nobody owns, the longest first; where there is none, it takes the last
unit of another's lane, and only where the owner would be at work on what waits for longer than that unit
takes in a directory that begins empty.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace

from matrix.cluster.queued_lane import Pace, QueuedLane, Unit
from matrix.cluster.tail_ranking import TailRanking

MAX_FAILURES = 3
"""A worker that failed so many times in a row is given nothing more."""
MAX_LOSSES = 3
"""A unit with which so many workers were lost is given to none again: it may be what ends them."""


class LaneQueue:
    """The units of all lanes, and which worker has which. One thread uses it."""

    def __init__(self) -> None:
        self._lanes: dict[str, QueuedLane] = {}
        self._open: dict[str, QueuedLane] = {}
        self._unowned: list[tuple[float, int, QueuedLane]] = []
        self._owned: dict[str, list[QueuedLane]] = {}
        self._at_work: dict[Unit, str] = {}
        self._retries: list[Unit] = []
        self._failures: dict[str, int] = {}
        self._pace = Pace()
        self._tails = TailRanking(self._pace)
        self._count = 0

    def add_lane(self, name: str, units: Iterable[Unit], weight: float = 1.0) -> None:
        """Put a lane into the queue. ``weight``: what its cells take against those of others."""
        lane = QueuedLane(name, weight, deque(units))
        self._lanes[name] = self._open[name] = lane
        self._tails.note_change(lane)
        self._disown(lane)

    def add_units(self, name: str, units: Iterable[Unit]) -> None:
        """Add units to the end of a lane: those that came of its resolving."""
        lane = self._lanes[name]
        lane.units.extend(units)
        self._open[name] = lane
        self._tails.note_change(lane)
        if lane.owner is None:
            self._disown(lane)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is at work."""
        return not self._at_work and not self._retries and not any(lane.units for lane in self._open.values())

    def is_lane_done(self, name: str) -> bool:
        """Whether nothing of a lane waits or is at work."""
        return self._lanes[name].is_done and all(unit.lane != name for unit in self._retries)

    def list_at_work(self, worker: str) -> list[Unit]:
        """The units that a worker has."""
        return [unit for unit, holder in self._at_work.items() if holder == worker]

    def take(self, worker: str) -> Unit | None:
        """The unit that a worker is to build next; None where there is none for it now."""
        if self.is_left_alone(worker):
            return None
        unit = self._take_retry(worker) or self._take_head(worker) or self._take_tail(worker)
        if unit is not None:
            lane = self._lanes[unit.lane]
            lane.visitors.add(worker)
            self._tails.note_change(lane)
            self._at_work[unit] = worker
        return unit

    def _take_retry(self, worker: str) -> Unit | None:
        for unit in self._retries:
            if worker not in unit.tried and worker not in self._lanes[unit.lane].visitors:
                self._retries.remove(unit)
                return unit
        return None

    def _take_head(self, worker: str) -> Unit | None:
        owned = self._owned.setdefault(worker, [])
        lane = next((lane for lane in owned if lane.units and worker not in lane.visitors), None)
        if lane is None:
            lane = self._find_unowned(worker)
            if lane is None:
                return None
            lane.owner = worker
            owned.append(lane)
        return lane.units.popleft()

    def _find_unowned(self, worker: str) -> QueuedLane | None:
        """The longest lane that nobody owns, and that this worker is not in already."""
        skipped = []
        found = None
        while self._unowned and found is None:
            entry = heapq.heappop(self._unowned)
            lane = entry[2]
            if lane.owner is not None or not lane.units:
                continue
            if worker in lane.visitors:
                skipped.append(entry)
            else:
                found = lane
        for entry in skipped:
            heapq.heappush(self._unowned, entry)
        return found

    def _take_tail(self, worker: str) -> Unit | None:
        """The last unit of the lane whose owner would be busiest with what waits there, if it is worth it."""
        best = self._tails.find_best(worker)
        return best.units.pop() if best else None

    def finish(self, unit: Unit, seconds: float) -> None:
        """Note that a unit was done, in so many seconds."""
        worker = self._leave(unit)
        lane = self._lanes[unit.lane]
        self._tails.note_warm(worker, lane)
        self._failures.pop(worker, None)
        if not unit.resolves:
            lane.pace.add(seconds)
            self._pace.add(seconds)
        self._close_done(lane)

    def _leave(self, unit: Unit) -> str:
        worker = self._at_work.pop(unit)
        lane = self._lanes[unit.lane]
        lane.visitors.discard(worker)
        self._tails.note_change(lane)
        return worker

    def _close_done(self, lane: QueuedLane) -> None:
        if lane.is_done:
            self._open.pop(lane.name, None)
            if lane.owner is not None:
                self._owned[lane.owner].remove(lane)
                lane.owner = None

    def fail(self, unit: Unit, workers: Set[str], ids: Sequence[str] = ()) -> bool:
        """Note that a worker could not try a unit, or of its cells those with these ``ids``; whether another
        of the ``workers`` will. A lost worker is none of them any more."""
        worker = self._leave(unit)
        self._failures[worker] = self._failures.get(worker, 0) + 1
        if self.is_left_alone(worker):
            self._disown_all(worker)
        rest = replace(unit, ids=tuple(ids) or unit.ids, tried=unit.tried | {worker})
        can_try = self._has_able(rest, workers)
        if can_try:
            self._retries.append(rest)
        else:
            self._close_done(self._lanes[unit.lane])
        return can_try

    def _has_able(self, unit: Unit, workers: Set[str]) -> bool:
        return any(not self.is_left_alone(worker) for worker in workers - unit.tried)

    def is_left_alone(self, worker: str) -> bool:
        """Whether a worker failed so often in a row that it is given nothing more."""
        return self._failures.get(worker, 0) >= MAX_FAILURES

    def give_back(self, unit: Unit) -> None:
        """Put a unit that was not tried to the head of its lane."""
        self._leave(unit)
        lane = self._lanes[unit.lane]
        lane.units.appendleft(unit)
        if lane.owner is None:
            self._disown(lane)

    def lose_worker(self, worker: str, *, counts: bool = True) -> list[Unit]:
        """Put what a worker had back to the head of its lanes, which have no owner then; these units, also
        those that have too many losses, and are not put back. ``counts``: whether it is one more loss."""
        lost = [replace(unit, losses=unit.losses + counts) for unit in self.list_at_work(worker)]
        for unit in self.list_at_work(worker):
            self._leave(unit)
        self._disown_all(worker)
        self._tails.forget_worker(worker)
        for unit in lost:
            lane = self._lanes[unit.lane]
            if unit.losses < MAX_LOSSES:
                lane.units.appendleft(unit)
            if lane.owner is None:
                self._disown(lane)
            self._close_done(lane)
        return lost

    def _disown_all(self, worker: str) -> None:
        for lane in self._owned.pop(worker, []):
            self._disown(lane)

    def _disown(self, lane: QueuedLane) -> None:
        lane.owner = None
        if lane.units:
            self._count += 1
            heapq.heappush(self._unowned, (-lane.size, self._count, lane))

    def take_stranded(self, workers: Set[str]) -> list[Unit]:
        """Take out those of the units to be tried again that none of the ``workers`` is left for."""
        stranded = [unit for unit in self._retries if not self._has_able(unit, workers)]
        for unit in stranded:
            self._retries.remove(unit)
            self._close_done(self._lanes[unit.lane])
        return stranded

    def drain(self) -> Iterator[Unit]:
        """Take out all that waits."""
        yield from self._retries
        self._retries.clear()
        for lane in [*self._open.values()]:
            while lane.units:
                yield lane.units.popleft()
            self._tails.note_change(lane)
            self._close_done(lane)
