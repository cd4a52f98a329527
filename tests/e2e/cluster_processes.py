"""A Dask scheduler, and what works with it, as processes that are ended with the test."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matrix.cluster.addresses import ClusterAddress, parse_cluster_address
from tests.e2e.places import ROOT, Kmatrix

_PATIENCE = 120.0


class ClusterProcesses:
    """``files``: the authority's certificate, an own one and its key, where the cluster has TLS."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.place = place
        self._stack = stack
        self._errors = stack.enter_context((place / "errors").open("a"))
        self.files: tuple[str, ...] = ()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """The scheduler's address as it is typed."""
        return f"{'tls' if self.files else 'tcp'}://127.0.0.1:{self.port}"

    @property
    def address(self) -> ClusterAddress:
        """The same with what it is reached with."""
        options = dict(zip(("tls-ca", "tls-cert", "tls-key"), self.files, strict=False))
        return parse_cluster_address(self.url, options, {})

    def start_scheduler(self, **variables: str) -> Kmatrix:
        """Start the scheduler, with these variables of Dask's, and wait until it listens."""
        named = zip(("--tls-ca-file", "--tls-cert", "--tls-key"), self.files, strict=False)
        tls = [word for pair in named for word in pair]
        words = ("--host", f"{self.url.rpartition(':')[0]}", "--port", str(self.port), "--no-dashboard", *tls)
        process = self.start("distributed.cli.dask_scheduler", *words, environment=variables)
        wait_for(self._listens, "the scheduler")
        return process

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def start_worker(self, module: str, *words: str, environment: Mapping[str, str] | None = None) -> Kmatrix:
        """Start a worker, and wait until it works for the scheduler."""
        process = self.start(module, *words, environment=environment or {})
        assert "This machine works for" in read_line(process)
        return process

    def start(self, module: str, *words: str, environment: Mapping[str, str]) -> Kmatrix:
        """Start a Python program in the checkout."""
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process


class MemoryMachines(ClusterProcesses):
    """Workers whose engines are in memory."""

    def start_machine(self, name: str, slow: float = 0.0) -> Kmatrix:
        """Start a worker with a directory of its own. ``slow``: seconds that each build takes there."""
        place = self.place / name
        place.mkdir()
        if slow:
            (place / "slow").write_text(str(slow))
        return self.start_worker("tests.fakes.cluster_worker", self.url, str(place), *self.files)


@contextmanager
def open_cluster(place: Path) -> Iterator[ClusterProcesses]:
    """Processes that are killed after the ``with`` block."""
    with ExitStack() as stack:
        yield ClusterProcesses(place, stack)


def read_line(process: Kmatrix) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def wait_for(holds: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
