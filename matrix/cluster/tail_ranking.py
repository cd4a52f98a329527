"""Which lane's last unit is best taken by a worker that has nothing else to do (pure).

Each idle worker asks after each unit that ends, and lanes are many: what a lane saves where a worker has not
been in it is the same for all of them, and the best is on top of a heap. The few lanes that a worker has been
in, where it saves more, are looked at one by one. A lane that changed is ranked when somebody asks again; its
old places in the heap are dropped where they are met.
"""

import heapq

from matrix.cluster.queued_lane import Pace, QueuedLane


class TailRanking:
    """Lanes by what is saved where a worker takes their last unit. ``of_all``: the pace of all lanes."""

    def __init__(self, of_all: Pace) -> None:
        self._of_all = of_all
        # Dicts serve as sets that keep their order, so that the same steps make the same choices.
        self._changed: dict[QueuedLane, None] = {}
        self._unpaced: dict[QueuedLane, None] = {}
        self._ranked_units = 0
        self._savings: dict[QueuedLane, float] = {}
        self._heap: list[tuple[float, int, QueuedLane]] = []
        self._count = 0
        self._warm: dict[str, dict[QueuedLane, None]] = {}

    def note_change(self, lane: QueuedLane) -> None:
        """Note that a lane's units, visitors or pace are not what they were."""
        self._changed[lane] = None

    def note_warm(self, worker: str, lane: QueuedLane) -> None:
        """Note that a worker has built something of a lane."""
        self._warm.setdefault(worker, {})[lane] = None

    def forget_worker(self, worker: str) -> None:
        """Drop what is known of a worker that is gone."""
        self._warm.pop(worker, None)

    def find_best(self, worker: str) -> QueuedLane | None:
        """The lane whose last unit the worker is to take; None where it is not worth it in any."""
        self._rank_changed()
        best = self._find_cold(worker)
        saving = self._savings[best] if best else 0.0
        for lane in self._list_warm(worker):
            own = 0.0 if worker in lane.visitors else lane.estimate_saving(self._of_all, is_warm=True)
            if own > saving:
                best, saving = lane, own
        return best

    def _rank_changed(self) -> None:
        if self._ranked_units != self._of_all.units:
            self._ranked_units = self._of_all.units
            self._changed |= self._unpaced
            self._unpaced.clear()
        for lane in self._changed:
            self._rank(lane)
        self._changed.clear()

    def _rank(self, lane: QueuedLane) -> None:
        saving = lane.estimate_saving(self._of_all, is_warm=False)
        self._savings.pop(lane, None)
        if lane.units and not lane.pace.units:
            self._unpaced[lane] = None
        if saving > 0:
            self._savings[lane] = saving
            self._count += 1
            heapq.heappush(self._heap, (-saving, self._count, lane))

    def _find_cold(self, worker: str) -> QueuedLane | None:
        """The best of the lanes that this worker is not in, as if it had been in none of them."""
        skipped = []
        found = None
        while self._heap and found is None:
            entry = self._heap[0]
            lane = entry[2]
            if self._savings.get(lane) != -entry[0]:
                heapq.heappop(self._heap)
            elif worker in lane.visitors:
                skipped.append(heapq.heappop(self._heap))
            else:
                found = lane
        for entry in skipped:
            heapq.heappush(self._heap, entry)
        return found

    def _list_warm(self, worker: str) -> list[QueuedLane]:
        """The lanes that a worker has been in; those that are done are dropped."""
        warm = self._warm.get(worker, {})
        for lane in [lane for lane in warm if lane.is_done]:
            del warm[lane]
        return [*warm]
