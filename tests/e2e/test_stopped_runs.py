"""A run of the miniature tree that something from outside stops: its record is true, and it goes on.

A container is killed, the engine stops and starts again, a disk is full and has room again, Ctrl-C is pressed
once and again and again. Each time the run is resumed, and equals one that nobody disturbed.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from matrix.catalog.load import load_catalog
from matrix.commands.session import resolve_image_ref
from matrix.engine.connect import connect_engine
from matrix.engine.images import compute_base_tag
from matrix.record.states import State
from tests.e2e.places import Kmatrix, Place, wait_until
from tests.minitree import REGRESSION, patched

pytestmark = [pytest.mark.engine, pytest.mark.timeout(280)]
CELLS = ("--select=KVM=y,MODULES=n", "--select=KVM=m,MODULES=y", "--retries=0")
Record = Callable[[str, object], None]
"""Keeps a figure for the table of docs/reliability.md: in a file of --junitxml."""
CELL_CONTAINERS = "label=kmatrix.cell"


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    return lambda name, value: request.node.user_properties.append((name, value))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patched(tmp_path_factory.mktemp("source") / "tree", REGRESSION)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> dict[str, Any]:
    place = open_place(tmp_path_factory.mktemp("undisturbed") / "place", tree)
    place.finish()
    states = {cell.state for cell in place.load().cells}
    assert states == {State.PASS, State.FAIL, State.UNREACHABLE}
    return place.describe()


def open_place(root: Path, tree: Path, host: str = "") -> Place:
    return Place(root, ("--source", str(tree), *CELLS), host=host)


@pytest.fixture
def place(tmp_path: Path, tree: Path) -> Iterator[Place]:
    opened = open_place(tmp_path / "place", tree)
    yield opened
    left = opened.containers()
    if left:
        opened.docker("rm", "--force", *left)
    assert left == []


def end(process: Kmatrix) -> int:
    """The exit code of a kmatrix that comes to its end."""
    process.communicate(timeout=200)
    return process.returncode


def resume_and_compare(place: Place, undisturbed: dict[str, Any], record: Record) -> None:
    kept, began = place.count_finished(), time.monotonic()
    place.finish()
    record("cells finished before", kept)
    record("seconds from resume to end", round(time.monotonic() - began, 1))
    assert place.describe() == undisturbed
    assert place.containers() == []


# A container


def test_containers_that_are_killed_from_outside_cost_their_cells_only(
    place: Place, undisturbed: dict[str, Any], record: Record
) -> None:
    process = place.begin()
    killed = set[str]()
    while process.poll() is None:
        for name in place.containers(CELL_CONTAINERS):
            if name not in killed and place.docker("kill", name).returncode == 0:
                killed.add(name)
    assert end(process) == 2
    states = [cell.state for cell in place.load().cells]
    assert killed
    assert State.INFRA in states
    assert State.FAIL not in states
    record("containers killed", len(killed))
    resume_and_compare(place, undisturbed, record)


# The engine


class OwnEngine:
    """A dockerd of the test's own, with the images that the runs need; the machine's is left alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = f"unix://{root}/docker.sock"
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
        options = [f"--{option}={self.root / name}" for option, name in places.items()]
        quiet = ["--bridge=none", "--iptables=false", "--ip-masq=false", "--log-level=error"]
        with (self.root / "log").open("ab") as log:
            # Without a bridge of its own it would remove that of the machine's engine.
            command = ["unshare", "--net", "dockerd", f"--host={self.host}", *options, *quiet]
            self._daemon = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self._docker("info").returncode:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise OSError(f"no second engine can run here: {(self.root / 'log').read_text()[-500:]}")
            time.sleep(0.2)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(60)
            self._daemon = None
            self._await_containerd_end()

    def _await_containerd_end(self) -> None:
        """A daemon that is killed takes it along in a moment, and another one cannot start before."""
        file, deadline = self.root / "exec/containerd/containerd.pid", time.monotonic() + 20
        process = Path("/proc") / (file.read_text() if file.exists() else "none")
        while process.exists() and time.monotonic() < deadline:
            time.sleep(0.1)

    def load_images(self, refs: list[str]) -> None:
        load = ["docker", "--host", self.host, "load", "--quiet"]
        with subprocess.Popen(["docker", "save", *refs], stdout=subprocess.PIPE) as saved:
            subprocess.run(load, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)
        assert saved.returncode == 0

    def _docker(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["docker", "--host", self.host, *words], capture_output=True, check=False)


@pytest.fixture(scope="module")
def own_engine() -> Iterator[OwnEngine]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("only root starts an engine of its own")
    if connect_engine().query_info().name != "docker":
        pytest.skip("its images come from Docker")
    # Of a name that nobody else has, and short: a socket's path has some hundred characters at most.
    root = Path("/tmp") / f"kmatrix-engine-{os.getpid()}"
    root.mkdir(mode=0o711)
    engine = OwnEngine(root)
    try:
        try:
            engine.start()
        except OSError as error:
            pytest.skip(str(error))
        catalog = load_catalog()
        engine.load_images([compute_base_tag(), resolve_image_ref("gcc-14", catalog)])
        yield engine
    finally:
        engine.stop()
        _unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


def _unmount_below(root: Path) -> None:
    """An engine that was killed leaves its containers' mounts."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in sorted((one for one in mounted if one.startswith(f"{root}/")), reverse=True):
        subprocess.run(["umount", "--lazy", path], check=False)


@pytest.mark.timeout(600)  # its images are copied to an engine of its own
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_engine_that_stops_and_starts_again(
    tmp_path: Path,
    tree: Path,
    own_engine: OwnEngine,
    number: signal.Signals,
    undisturbed: dict[str, Any],
    record: Record,
) -> None:
    place = open_place(tmp_path / "place", tree, own_engine.host)
    process = place.begin()
    wait_until(lambda: place.count_finished() >= 2 and place.containers(CELL_CONTAINERS), process)
    own_engine.stop(number)
    assert end(process) == 2
    states = [cell.state for cell in place.load().cells]
    assert State.INFRA in states
    own_engine.start()
    resume_and_compare(place, undisturbed, record)


# A disk


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize(("disk", "size"), [("run", "16m"), ("cache", "96m"), ("cache/lanes", "64m")])
def test_a_disk_that_is_full_and_has_room_again(
    place: Place,
    disk: str,
    size: str,
    undisturbed: dict[str, Any],
    record: Record,
) -> None:
    with ExitStack() as stack:
        stack.enter_context(small_disk(place.root / disk, size))
        process = place.begin()
        wait_until(lambda: place.count_finished() >= 2, process)
        ballast = place.root / disk / "ballast"
        while process.poll() is None:
            _fill(ballast)
        assert end(process) == 2
        run = place.load()
        assert not all(cell.is_finished for cell in run.cells)
        assert State.FAIL not in {cell.state for cell in run.cells} - _list_states(undisturbed)
        ballast.unlink()
        resume_and_compare(place, undisturbed, record)


def _list_states(described: dict[str, Any]) -> set[State]:
    return {State(cell["state"]) for cell in described["cells"]}


def _fill(ballast: Path) -> None:
    """Take all space that is left, also what comes free meanwhile."""
    try:
        with ballast.open("ab", buffering=0) as file:
            while file.write(bytes(65536)):
                pass
    except OSError:
        time.sleep(0.05)


# Ctrl-C


def test_ctrl_c_once_begins_no_cell_and_ends_those_at_work_within_seconds(
    place: Place, undisturbed: dict[str, Any], record: Record
) -> None:
    process = place.begin()
    wait_until(lambda: place.count_finished() >= 2 and place.containers(CELL_CONTAINERS), process)
    before, began = place.count_finished(), time.monotonic()
    process.send_signal(signal.SIGINT)
    assert end(process) == 130
    took = time.monotonic() - began
    record("seconds to the end", round(took, 1))
    run = place.load()
    assert took < 15
    assert run.interrupted
    assert place.count_finished() <= before + 1, "that which was just ending"
    assert {"report.html", "report.txt", "findings.json"} <= {path.name for path in place.out.iterdir()}
    assert place.containers() == []
    resume_and_compare(place, undisturbed, record)


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.5])
def test_ctrl_c_again_and_again_leaves_no_container(
    place: Place,
    pause: float,
    undisturbed: dict[str, Any],
    record: Record,
) -> None:
    process = place.begin()
    wait_until(lambda: place.count_finished() >= 1 and place.containers(CELL_CONTAINERS), process)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    assert end(process) == 130
    assert place.containers() == []
    assert not all(cell.is_finished for cell in place.load().cells)
    resume_and_compare(place, undisturbed, record)
