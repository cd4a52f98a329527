"""kmatrix as processes on one machine: killed, started again, interrupted, and several at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import patched

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
CELL = ("--toolchain", "gcc-14", "--select", "KVM=y,MODULES=n,VFIO=y")


class Processes:
    """kmatrix's own processes, in one user's cache, and the containers that mount something of it."""

    def __init__(self, kmatrix: Kmatrix) -> None:
        self.kmatrix = kmatrix
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "KMATRIX_CACHE": str(kmatrix.place / "cache"),
        }

    def start(self, source: str, out: str, *words: str) -> "subprocess.Popen[str]":
        profile = ("--profile", str(self.kmatrix.profile), "--source", source)
        return subprocess.Popen(
            [sys.executable, "-m", "matrix", "run", *profile, "--out", str(self.kmatrix.place / out), *words],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hanging_tree(self, line: str) -> str:
        """A tree whose kvm directory is never built: make runs this line before it compiles."""
        tree = patched(self.kmatrix.place / "hanging")
        rules = tree / "drivers/vfio/Makefile"
        rules.write_text(f"{line}\n{rules.read_text()}")
        return str(tree)

    def containers(self) -> list[str]:
        """Their names; each mounts something below this place."""
        shown = ("--format", "{{.Names}} {{.Mounts}}", "--no-trunc")
        lines = subprocess.check_output(["docker", "ps", "--all", *shown], text=True).splitlines()
        return [line.split()[0] for line in lines if f"{self.kmatrix.place}/cache/lanes" in line]

    def wait_for_hang(self, mark: str = "hangs") -> str:
        """The container in which make has come to its hanging line: it has left a file in the lane."""
        deadline = time.monotonic() + 120
        while not list((self.kmatrix.place / "cache/lanes").glob(f"*/build/{mark}")):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        [name] = self.containers()
        return name

    @contextmanager
    def watched(self) -> Iterator[list[set[str]]]:
        """All sets of containers that are seen meanwhile."""
        seen: list[set[str]] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                seen.append(set(self.containers()))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


@pytest.fixture
def processes(kmatrix: Kmatrix) -> Iterator[Processes]:
    made = Processes(kmatrix)
    yield made
    left = made.containers()
    for name in left:
        subprocess.run(["docker", "rm", "--force", name], check=False, capture_output=True)
    assert left == []


HANG = "HANGS := $(shell touch /build/hangs; while :; do date > /build/drivers/vfio/written; sleep 0.1; done)"


def test_what_a_killed_run_left_at_work_is_ended_before_its_lane_is_used_again(processes: Processes) -> None:
    with processes.start(processes.hanging_tree(HANG), "killed", *CELL) as killed:
        orphan = processes.wait_for_hang()
        killed.kill()
    assert processes.containers() == [orphan], "it was to outlive its kmatrix"
    with processes.watched() as seen, processes.start(processes.kmatrix.tree, "again", *CELL) as again:
        _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert all(len(names) <= 1 for names in seen), seen
    others = [names for names in seen if names and orphan not in names]
    assert others, "nothing was built"
    assert seen.index(others[0]) > max((n for n, names in enumerate(seen) if orphan in names), default=-1)
    [cell] = load_run(processes.kmatrix.place / "again").cells
    assert cell.state is State.PASS
    [lane] = (processes.kmatrix.place / "cache/lanes").iterdir()
    assert not (lane / "build/hangs").exists(), "the lane is still the killed run's"


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    ],
    ids=["int", "term", "hup", "int twice", "all"],
)
@pytest.mark.usefixtures("hangups_arrive")
def test_signals_end_a_build_within_seconds_and_leave_a_record(
    processes: Processes, numbers: tuple[signal.Signals, ...]
) -> None:
    with processes.start(processes.hanging_tree(HANG), "stopped", *CELL) as process:
        processes.wait_for_hang()
        started = time.monotonic()
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.05)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert time.monotonic() - started < 15
    done = load_run(processes.kmatrix.place / "stopped")
    assert done.interrupted
    # After three, it does not even wait for the cell's row.
    assert {cell.state for cell in done.cells} <= {State.CANCELLED, *([State.NOT_RUN] * (len(numbers) > 2))}


def test_three_runs_at_once_have_lanes_and_directories_of_their_own(processes: Processes) -> None:
    runs = [processes.start(processes.kmatrix.tree, f"out/{number}", *CELL) for number in range(3)]
    errors = [run.communicate(timeout=280)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors
    records = [load_run(processes.kmatrix.place / f"out/{number}") for number in range(3)]
    assert [cell.state for done in records for cell in done.cells] == [State.PASS] * 3
