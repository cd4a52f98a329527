"""The miniature tree, built by workers that are processes of their own, is the run of one machine."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.engine.connect import connect_engine
from matrix.engine.step import list_containers_of
from tests.e2e.cluster_processes import ClusterProcesses, open_cluster, wait_for
from tests.e2e.conftest import MINIATURE
from tests.e2e.places import Kmatrix
from tests.e2e.test_shards import Machines

pytestmark = pytest.mark.engine
FEW = ("--select", "KVM=y", "--select", "!MODULES=y")
"""A lane for each compiler, with the cell of the regression, a neighbour, and one that is unreachable."""


class ClusterMachines(Machines):
    """A scheduler and workers, each with a cache of its own."""

    def __init__(self, root: Path, processes: ClusterProcesses) -> None:
        super().__init__(root, MINIATURE)
        self.words = (*self.words, *FEW)
        self.processes = processes
        self.address = processes.url
        processes.start_scheduler()

    def start_worker(self, name: str) -> Kmatrix:
        words = ("worker", self.address, "--lanes", "1")
        return self.processes.start_worker("matrix", *words, environment=self.environment(name))

    def start_run(self, out: Path) -> Kmatrix:
        words = ("run", *self.words, "--cluster", self.address, "--out", str(out))
        return self.processes.start("matrix", *words, environment=self.environment("client"))

    def list_containers(self) -> list[str]:
        """Those that work for a worker's cache."""
        engine = connect_engine()
        return [name for cache in self.root.iterdir() for name in list_containers_of(engine, cache)]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[ClusterMachines]:
    with open_cluster(tmp_path) as processes:
        yield ClusterMachines(tmp_path, processes)


@pytest.mark.timeout(900)  # six cells three times, on caches with nothing in them
def test_workers_build_the_run_of_one_machine_and_one_that_is_killed_loses_nothing(
    machines: ClusterMachines, tmp_path: Path
) -> None:
    whole, there, killed = tmp_path / "whole", tmp_path / "there", tmp_path / "killed"
    machines.call("one", "run", *machines.words, "--out", str(whole), codes=(100,))
    expected = machines.describe(whole, [])
    assert expected["findings"]["findings"]
    pair = [machines.start_worker(name) for name in ("first", "second")]
    assert machines.start_run(there).wait(timeout=600) == 100
    assert machines.describe(there, []) == expected
    assert "2 workers" in machines.call("client", "cluster", machines.address)
    for worker in pair:
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    third = machines.start_worker("third")
    machines.start_worker("fourth")
    run = machines.start_run(killed)
    _kill_at_work(machines, third)
    assert run.wait(timeout=600) == 100
    assert machines.describe(killed, []) == expected
    lines = [json.loads(line)["cell"] for line in (killed / "cells.jsonl").read_text().splitlines()]
    finished = Counter(cell["id"] for cell in lines if cell["state"] != "not-run")
    assert set(finished.values()) == {1}
    assert machines.list_containers() == []


def _kill_at_work(machines: ClusterMachines, worker: Kmatrix) -> None:
    """Kill a worker while a container of its is at work."""
    engine, own = connect_engine(), machines.root / "third"
    wait_for(lambda: list_containers_of(engine, own), "a container of the worker", 300)
    worker.kill()
    wait_for(lambda: not list_containers_of(engine, own), "the end of the worker's containers", 300)
