"""Lanes side by side: so many at once, sharing the job budget, stopped together when one breaks."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from matrix.builder.lane_worker import LaneWorker
from matrix.builder.lanes import Lane, RunContext
from matrix.record.events import LaneFinished


class JobBudget:
    """The job budget over the lanes that are at work now: a lane that is done leaves its share."""

    def __init__(self, jobs: int, lanes: int) -> None:
        self._jobs = jobs
        self._lanes = lanes
        self._lock = threading.Lock()

    def compute_share(self) -> int:
        """Compile jobs for one step, at least one."""
        with self._lock:
            return max(1, self._jobs // max(1, self._lanes))

    def limit_lanes(self, count: int) -> None:
        """So many lanes are still to be worked on."""
        with self._lock:
            self._lanes = min(self._lanes, count)


def run_lanes(lanes: Sequence[Lane], plan: RunContext, budget: JobBudget, at_once: int) -> None:
    """Work on all lanes, ``at_once`` at a time. Returns when all threads ended.

    Ctrl-C and a lane's own exception cancel the rest; the exception is raised after everything stopped.
    """
    left = _LaneCountdown(len(lanes), budget.limit_lanes)
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="lane") as pool:
        futures = [pool.submit(_run_lane, lane, plan, left) for lane in lanes]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # After a normal end nothing is left to cancel; after Ctrl-C or an exception all must stop.
            if not all(future.done() and future.exception() is None for future in futures):
                plan.make_context.cancel.set()
                pool.shutdown(wait=True, cancel_futures=True)
    for future in futures:
        if not future.cancelled():
            future.result()


class _LaneCountdown:
    def __init__(self, count: int, tell: Callable[[int], None]) -> None:
        self._count = count
        self._on_change = tell
        self._lock = threading.Lock()

    def count_down(self) -> None:
        with self._lock:
            self._count -= 1
            self._on_change(self._count)


def _run_lane(lane: Lane, plan: RunContext, left: _LaneCountdown) -> None:
    try:
        LaneWorker(lane, plan).run()
    finally:
        left.count_down()
        plan.emit(LaneFinished(lane.name))
