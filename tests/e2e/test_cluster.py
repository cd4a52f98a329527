"""The miniature tree, built by workers that are processes of their own, is the run of one machine."""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from matrix.engine.connect import connect_engine
from matrix.engine.step import list_containers_of
from tests.e2e.conftest import MINIATURE
from tests.e2e.test_shards import Machines

pytestmark = pytest.mark.engine


class ClusterMachines(Machines):
    """A scheduler and workers, each a process with a cache of its own; they are ended with the test."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        super().__init__(root, MINIATURE)
        self._stack = stack
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        words = ["--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        self._start("none", "distributed.cli.dask_scheduler", *words)

    def start_worker(self, name: str) -> "subprocess.Popen[str]":
        worker = self._start(name, "matrix", "worker", self.address, "--lanes", "1")
        assert worker.stdout is not None
        assert "This machine works for" in worker.stdout.readline()
        return worker

    def start(self, cache: str, *words: str) -> "subprocess.Popen[str]":
        return self._start(cache, "matrix", *words)

    def _start(self, cache: str, module: str, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=self.environment(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def list_containers(self) -> list[str]:
        """Those that work for a worker's cache."""
        engine = connect_engine()
        return [name for cache in self.root.iterdir() for name in list_containers_of(engine, cache)]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[ClusterMachines]:
    with ExitStack() as stack:
        yield ClusterMachines(tmp_path, stack)


@pytest.mark.timeout(1200)  # the miniature three times, on caches with nothing in them
def test_workers_build_the_run_of_one_machine_and_one_that_is_killed_loses_nothing(
    machines: ClusterMachines, tmp_path: Path
) -> None:
    whole, there, killed = tmp_path / "whole", tmp_path / "there", tmp_path / "killed"
    machines.call("one", "run", *machines.words, "--out", str(whole), codes=(100,))
    expected = machines.describe(whole, [])
    assert expected["findings"]["findings"]
    pair = [machines.start_worker(name) for name in ("first", "second")]
    words = ("run", *machines.words, "--cluster", machines.address)
    machines.call("client", *words, "--out", str(there), codes=(100,))
    assert machines.describe(there, []) == expected
    assert "2 workers" in machines.call("client", "cluster", machines.address)
    for worker in pair:
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    machines.start_worker("fourth")
    third = machines.start_worker("third")
    run = machines.start("again", *words, "--out", str(killed))
    _kill_at_work(machines, third)
    assert run.wait(timeout=600) == 100
    assert machines.describe(killed, []) == expected
    lines = [json.loads(line)["cell"] for line in (killed / "cells.jsonl").read_text().splitlines()]
    finished = Counter(cell["id"] for cell in lines if cell["state"] != "not-run")
    assert set(finished.values()) == {1}
    assert machines.list_containers() == []


def _kill_at_work(machines: ClusterMachines, worker: "subprocess.Popen[str]") -> None:
    """Kill a worker while a container of its is at work."""
    engine, own, deadline = connect_engine(), machines.root / "third", time.monotonic() + 300
    while not list_containers_of(engine, own):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    while list_containers_of(engine, own):
        assert time.monotonic() < deadline
        time.sleep(0.1)
