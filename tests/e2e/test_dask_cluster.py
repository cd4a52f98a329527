"""Workers as processes, reached through a Dask scheduler on loopback; their engines are in memory."""

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dask
import pytest

from matrix.cluster.addresses import parse_cluster_address
from matrix.cluster.dask_client import DaskCluster
from matrix.errors import MachineError
from matrix.record.run_directory import load_run
from tests.e2e.cluster_processes import MemoryMachines
from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import let_speak
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[MemoryMachines]:
    with ExitStack() as stack:
        yield MemoryMachines(tmp_path, stack)


@pytest.fixture
def desk(tmp_path: Path) -> ClusterDesk:
    made = ClusterDesk(tmp_path / "desk")
    made.asks(NINE, TWO_TOOLCHAINS)
    let_speak(made)
    return made


@pytest.mark.timeout(900)  # other tests may be at work beside its processes
def test_processes_make_the_run_of_one_machine(machines: MemoryMachines, desk: ClusterDesk) -> None:
    machines.start_scheduler()
    for name in ("first", "second"):
        machines.start_machine(name)
    stages: list[tuple[str, str, str]] = []
    with DaskCluster(machines.address, lambda *stage: stages.append(stage)) as cluster:
        there = desk.describe(desk.run_there(cluster))
        states = cluster.list_states()
    desk.run()
    assert there == desk.describe(desk.stored)
    assert stages
    assert [state.slots for state in states] == [1, 1]


@pytest.mark.timeout(900)  # other tests may be at work beside its processes
def test_a_worker_that_is_killed_loses_nothing(machines: MemoryMachines, desk: ClusterDesk) -> None:
    machines.start_scheduler()
    workers = [machines.start_machine(name, slow=0.5) for name in ("first", "second")]

    def kill_one(*started: str) -> None:
        if started[-1] == "focus":
            workers[0].kill()

    with DaskCluster(machines.address, kill_one) as cluster:
        there = desk.describe(desk.run_there(cluster))
    assert workers[0].wait() == -signal.SIGKILL
    desk.run()
    assert there == desk.describe(desk.stored)
    assert set(desk.count_results().values()) == {1}


@pytest.mark.timeout(900)  # other tests may be at work beside its processes
def test_a_run_ends_with_its_scheduler_and_goes_on_with_the_next(
    machines: MemoryMachines, desk: ClusterDesk
) -> None:
    scheduler = machines.start_scheduler()
    worker = machines.start_machine("first", slow=0.5)

    def kill_scheduler(*started: str) -> None:
        if started[-1] == "focus":
            scheduler.kill()

    with DaskCluster(machines.address, kill_scheduler) as cluster, pytest.raises(MachineError):
        desk.run_there(cluster)
    assert worker.wait(timeout=60) == 1
    desk.directory = (desk.place / "runs/latest").resolve()
    assert any(cell.is_finished for cell in load_run(desk.directory).cells)
    machines.start_scheduler()
    machines.start_machine("second")
    with DaskCluster(machines.address, lambda *_: None) as cluster:
        there = desk.describe(desk.resume_there(cluster))
    desk.run()
    assert there == desk.describe(desk.stored)


@pytest.fixture
def certificates(machines: MemoryMachines) -> tuple[str, ...]:
    """A throw-away authority, and a certificate of it."""
    place = machines.place
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"]
    own = ["-keyout", "own.key", "-out", "own.pem", "-subj", "/CN=own", "-CA", "ca.pem", "-CAkey", "ca.key"]
    own += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for words in (ca, own):
        subprocess.run([*new, *words, "-days", "2"], cwd=place, check=True, capture_output=True)
    return tuple(str(place / name) for name in ("ca.pem", "own.pem", "own.key"))


@pytest.mark.timeout(900)  # other tests may be at work beside its processes
def test_a_cluster_with_certificates_works_and_others_are_kept_out(
    machines: MemoryMachines, desk: ClusterDesk, certificates: tuple[str, ...]
) -> None:
    machines.files = certificates
    machines.start_scheduler()
    machines.start_machine("first")
    with DaskCluster(machines.address, lambda *_: None) as cluster:
        there = desk.describe(desk.run_there(cluster))
    desk.run()
    assert there == desk.describe(desk.stored)
    plain = parse_cluster_address(f"tcp://127.0.0.1:{machines.port}", {}, {})
    with pytest.raises(MachineError, match="cannot be reached"):
        DaskCluster(plain, lambda *_: None, patience=5)
    assert not is_let_in(machines.port, certificates[0])


def is_let_in(port: int, ca: str) -> bool:
    """Whether a scheduler says anything to a client that has no certificate."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as bare,
            context.wrap_socket(bare) as client,
        ):
            # With TLS 1.3 a client learns of its refusal with what it reads first.
            return bool(client.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False


@pytest.mark.timeout(900)  # other tests may be at work beside its processes
def test_no_worker_is_missed_while_dask_looks_at_its_scheduler(machines: MemoryMachines) -> None:
    machines.start_scheduler()
    machines.start_machine("first")
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        DaskCluster(machines.address, lambda *_: None) as cluster,
    ):
        assert {len(cluster.list_workers()) for _ in range(300)} == {1}
