"""How a queue of lanes behaves with many workers and cells, in simulated time: nothing is built.

    python -m tests.cluster_simulation [WORKERS LANES CELLS]

Prints a row for each number of workers: the makespan against the ideal, which is all work divided by all
slots; the share of cells that were visited in a lane that was cold; messages; and this process's memory.
Times are drawn, with a fixed seed, from a log-normal distribution around that of a lane, which is drawn
likewise: some lanes and some cells take ten times what others do. A cold lane takes three usual cells more.
"""

import heapq
import math
import random
import resource
import sys
import time
from dataclasses import dataclass

from matrix.cluster.lane_queue import LaneQueue
from matrix.cluster.queued_lane import COLD_START, Unit

_USUAL_SECONDS = 10.0
_LANE_SPREAD, _CELL_SPREAD = 0.6, 0.5
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Simulated:
    """What one simulation came to, in simulated seconds but for ``cpu``, which the client's queue took."""

    workers: int
    cells: int
    makespan: float
    ideal: float
    cold: int
    messages: int
    cpu: float

    def format_row(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return (
            f"{self.workers:7} {self.cells:9} {self.makespan:12.0f} {self.makespan / self.ideal:7.3f} "
            f"{self.cold / self.cells:7.2%} {self.messages:9} {self.cpu:7.1f} {peak:8.0f}"
        )


def draw_times(lanes: int, cells: int, seed: int = 1) -> list[list[float]]:
    """Seconds of each cell, by lane."""
    drawn = random.Random(seed)
    usual = [_USUAL_SECONDS * drawn.lognormvariate(0, _LANE_SPREAD) for _ in range(lanes)]
    size = math.ceil(cells / lanes)
    return [[usual[n] * drawn.lognormvariate(0, _CELL_SPREAD) for _ in range(size)] for n in range(lanes)]


def simulate(workers: int, times: list[list[float]]) -> Simulated:
    """All lanes, worked on by so many workers, of which each has one slot."""
    queue = LaneQueue()
    seconds: dict[str, float] = {}
    for number, lane in enumerate(times):
        names = [f"{number}/{place}" for place in range(len(lane))]
        seconds.update(zip(names, lane, strict=True))
        queue.add_lane(str(number), [Unit(str(number), (name,)) for name in names])
    usual = {str(number): sum(lane) / len(lane) for number, lane in enumerate(times)}
    return _run(queue, workers, seconds, usual)


def _run(queue: LaneQueue, workers: int, seconds: dict[str, float], usual: dict[str, float]) -> Simulated:
    began, now, messages, cold = time.process_time(), 0.0, 0, 0
    warm: set[tuple[str, str]] = set()
    idle = [f"w{number}" for number in range(workers)]
    busy: list[tuple[float, str, str, Unit, float]] = []
    while busy or idle:
        waiting = []
        for worker in idle:
            unit = queue.take(worker)
            if unit is None:
                waiting.append(worker)
                continue
            takes = sum(seconds[name] for name in unit.ids)
            if (worker, unit.lane) not in warm:
                warm.add((worker, unit.lane))
                takes += COLD_START * usual[unit.lane]
                cold += 1
            messages += 2
            heapq.heappush(busy, (now + takes, worker, unit.ids[0], unit, takes))
        if not busy:
            break
        now, worker, _, unit, took = heapq.heappop(busy)
        queue.finish(unit, took)
        idle = [worker, *waiting]
    ideal = (sum(seconds.values()) + COLD_START * sum(usual.values())) / workers
    return Simulated(workers, len(seconds), now, ideal, cold, messages, time.process_time() - began)


def main(words: list[str]) -> None:
    counts = (int(words[0]),) if words else _COUNTS
    lanes, cells = (int(words[1]), int(words[2])) if words else (1000, 20_000)
    times = draw_times(lanes, cells)
    print("workers     cells  makespan (s)  /ideal    cold  messages  cpu (s)  MiB")  # noqa: T201
    for count in counts:
        print(simulate(count, times).format_row(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
