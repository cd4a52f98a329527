"""Workers and clients that die, stand still or are slow: no cell is lost, and none has two results.

`KMATRIX_WORKER_KILLS=30` kills a worker at so many moments, spread evenly over the events of a run, and
`KMATRIX_CLIENT_KILLS=10` the machine that has the run. Engines are in memory, the processes are real.
"""

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from matrix.cluster.dask_client import DaskCluster
from matrix.record.events import ProgressEvent
from matrix.record.run_directory import load_run
from tests.e2e.cluster_processes import MemoryMachines, read_line
from tests.e2e.places import Kmatrix
from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import let_speak
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS

WORKER_KILLS = int(os.environ.get("KMATRIX_WORKER_KILLS", "3"))
CLIENT_KILLS = int(os.environ.get("KMATRIX_CLIENT_KILLS", "2"))
PATIENCE = 900
"""Seconds for one run and its processes: other tests may be at work beside them."""
SLOW = 0.2


class Desk(ClusterDesk):
    """A desk that does something at an event of its run, by their number."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks(NINE, TWO_TOOLCHAINS)
        let_speak(self)
        self.on_event = self._count
        self.strike: threading.Timer | None = None
        self.moment = 0

    def strike_at(self, moment: int, worker: Kmatrix, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a worker soon after so many events."""
        self.events.clear()
        delay = random.Random(moment).uniform(0, SLOW)
        self.moment, self.strike = moment, threading.Timer(delay, worker.send_signal, [number])

    def _count(self, event: ProgressEvent) -> None:
        self.events.append(event)
        if self.strike and len(self.events) == self.moment:
            self.strike.start()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[MemoryMachines]:
    with ExitStack() as stack:
        yield MemoryMachines(tmp_path, stack)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def run_alone(desk: ClusterDesk) -> dict[str, Any]:
    """The same run on one machine."""
    desk.run()
    return desk.describe(desk.stored)


def run_there(desk: ClusterDesk, machines: MemoryMachines) -> dict[str, Any]:
    """The run on a cluster, of which each cell has one result."""
    with DaskCluster(machines.address, lambda *_: None) as cluster:
        there = desk.describe(desk.run_there(cluster))
    assert set(desk.count_results().values()) == {1}
    return there


@pytest.mark.timeout(PATIENCE * (WORKER_KILLS + 1))
def test_a_worker_that_is_killed_at_any_moment_loses_nothing(machines: MemoryMachines, desk: Desk) -> None:
    machines.start_scheduler()
    expected = run_alone(desk)
    desk.events.clear()
    survivor = machines.start_machine("survivor-0", SLOW)
    assert run_there(desk, machines) == expected
    events = len(desk.events)
    for number in range(1, WORKER_KILLS + 1):
        survivor.kill()
        victim = machines.start_machine(f"victim-{number}", SLOW)
        survivor = machines.start_machine(f"survivor-{number}", SLOW)
        desk.strike_at(number * events // (WORKER_KILLS + 1), victim)
        assert run_there(desk, machines) == expected, f"kill {number} of {WORKER_KILLS}"
        assert victim.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.timeout(PATIENCE * (CLIENT_KILLS + 1))
def test_a_run_whose_own_machine_is_killed_goes_on_where_it_was(machines: MemoryMachines, desk: Desk) -> None:
    machines.start_scheduler()
    expected = run_alone(desk)
    results = sum(cell.is_finished for cell in desk.stored.run.cells)
    for number in range(1, CLIENT_KILLS + 1):
        workers = [machines.start_machine(f"{name}-{number}", SLOW) for name in ("first", "second")]
        place = machines.place / f"client-{number}"
        client = machines.start("tests.fakes.cluster_client", machines.url, str(place), environment={})
        for _ in range(number * results // (CLIENT_KILLS + 1)):
            assert read_line(client)
        client.kill()
        resumed = adopt_run(place)
        kept = {cell.id: cell for cell in load_run(resumed.directory).cells if cell.is_finished}
        assert kept
        with DaskCluster(machines.address, lambda *_: None) as cluster:
            there = resumed.resume_there(cluster)
        assert {cell.id: cell for cell in there.run.cells if cell.id in kept} == kept
        assert resumed.describe(there) == expected, f"kill {number} of {CLIENT_KILLS}"
        assert set(resumed.count_results().values()) == {1}
        for worker in workers:
            worker.kill()


def adopt_run(place: Path) -> ClusterDesk:
    """The desk of a client that was killed, with its cache and its run."""
    shutil.rmtree(place / "tree")
    desk = Desk(place)
    desk.directory = (place / "runs/latest").resolve()
    return desk


@pytest.mark.timeout(PATIENCE)
def test_what_a_worker_had_that_answers_no_more_is_built_by_another(
    machines: MemoryMachines, desk: Desk
) -> None:
    machines.start_scheduler(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="15s")
    stopped, _ = (machines.start_machine(name, SLOW) for name in ("stopped", "other"))
    desk.strike_at(6, stopped, signal.SIGSTOP)
    there = run_there(desk, machines)
    assert any("is gone" in note for note in desk.notes())
    assert there == run_alone(desk)
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(timeout=120) == 1  # its scheduler has given it up


@pytest.mark.timeout(PATIENCE)
def test_a_slow_worker_builds_less_and_holds_nobody_up(machines: MemoryMachines, desk: Desk) -> None:
    machines.start_scheduler()
    machines.start_machine("slow", 3.0)
    machines.start_machine("fast", 0.01)
    with DaskCluster(machines.address, lambda *_: None) as cluster:
        there = desk.describe(desk.run_there(cluster))
        fewer, more = sorted(state.cells for state in cluster.list_states())
    assert 0 < fewer < more
    assert set(desk.count_results().values()) == {1}
    assert there == run_alone(desk)
