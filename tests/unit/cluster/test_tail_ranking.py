"""The lane that an idle worker takes from is the one where that saves most, whatever happened before."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.cluster.queued_lane import Pace, QueuedLane, Unit
from matrix.cluster.tail_ranking import TailRanking

LANES, WORKERS = 4, 3
STEPS = st.tuples(st.sampled_from("evlwf"), st.integers(0, LANES - 1), st.integers(0, WORKERS - 1))


def make_lane(number: int, size: int) -> QueuedLane:
    units = deque(Unit(str(number), (f"{number}/{place}",)) for place in range(size))
    return QueuedLane(str(number), 1.0 + number / 7, units)


class RankedLanes:
    """Lanes with their ranking, and beside it which worker has been where."""

    def __init__(self, sizes: list[int]) -> None:
        self.pace = Pace()
        self.ranking = TailRanking(self.pace)
        self.lanes = [make_lane(number, size) for number, size in enumerate(sizes)]
        self.warm: set[tuple[str, QueuedLane]] = set()
        for lane in self.lanes:
            self.ranking.note_change(lane)

    def take(self, lane: QueuedLane, _: str) -> None:
        """e: its end is taken."""
        if lane.units:
            lane.units.pop()
        self.ranking.note_change(lane)

    def visit(self, lane: QueuedLane, worker: str) -> None:
        """v: a worker comes in."""
        lane.visitors.add(worker)
        self.ranking.note_change(lane)

    def leave(self, lane: QueuedLane, worker: str) -> None:
        """l: it goes, and has built something."""
        lane.visitors.discard(worker)
        for pace in (lane.pace, self.pace):
            pace.add(1.0 + len(lane.units))
        self.note_warm(lane, worker)
        self.ranking.note_change(lane)

    def note_warm(self, lane: QueuedLane, worker: str) -> None:
        """w: it is warm there."""
        if not lane.is_done:
            self.warm.add((worker, lane))
            self.ranking.note_warm(worker, lane)

    def forget(self, _: QueuedLane, worker: str) -> None:
        """f: a worker is gone."""
        self.warm = {(each, lane) for each, lane in self.warm if each != worker}
        self.ranking.forget_worker(worker)

    def measure_saving(self, lane: QueuedLane, worker: str) -> float:
        if worker in lane.visitors:
            return 0.0
        return lane.estimate_saving(self.pace, is_warm=(worker, lane) in self.warm)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=LANES, max_size=LANES), st.lists(STEPS, max_size=60))
def test_the_best_end_is_found_at_every_step(sizes: list[int], steps: list[tuple[str, int, int]]) -> None:
    made = RankedLanes(sizes)
    act = {"e": made.take, "v": made.visit, "l": made.leave, "w": made.note_warm, "f": made.forget}
    for step, number, worker in steps:
        act[step](made.lanes[number], str(worker))
        for name in map(str, range(WORKERS)):
            savings = {lane: made.measure_saving(lane, name) for lane in made.lanes}
            best = made.ranking.find_best(name)
            most = max(0.0, *savings.values())
            assert (best is None) == (most == 0.0)
            assert best is None or savings[best] == most


def test_what_all_lanes_took_ranks_those_of_which_nothing_is_known() -> None:
    made = RankedLanes([9, 9, 0, 0])
    made.lanes[1].weight = 0.5
    for lane, seconds in ((made.lanes[0], 1.0), (made.lanes[1], 0.0)):
        made.visit(lane, "owner")
        if seconds:
            lane.pace.add(seconds)
    assert made.ranking.find_best("idle") is made.lanes[0]
    made.pace.add(100.0)
    assert made.ranking.find_best("idle") is made.lanes[1]
