"""A run that stops early: Ctrl-C, --fail-fast, --deadline, a bug in a lane."""

import os
import signal
import threading
import time

import pytest

from matrix.builder.lane_dir import LaneDirectory
from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import ERROR, PROFILE, TWO_LANES, VFIO, Desk, always, code, in_cell, states


def test_an_interruption_leaves_a_complete_record(desk: Desk) -> None:
    def interrupt(_job: Job) -> None:
        os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does
        threading.Event().wait(30)

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", interrupt)
    done = desk.run()
    assert states(done) == ["empty", "unreachable", "cancelled", *["not-run"] * 3]
    assert done.interrupted
    assert code(done) == 130
    assert load_run(desk.directory) == done
    assert desk.engine.list_containers() == {}


def test_a_lane_that_is_deaf_keeps_nobody_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the host does by itself, such as a copy of gigabytes, sees no cancellation.
    monkeypatch.setattr("matrix.builder.lane_worker._STOP_GRACE", 0.5)
    at_work, over = threading.Event(), threading.Event()

    def work(*_: object) -> bool:
        at_work.set()
        return over.wait(30)

    def interrupt() -> None:
        at_work.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LaneDirectory, "prepare_configure", work)
    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    done = desk.run()
    seconds = time.monotonic() - started
    over.set()
    assert done.interrupted
    assert seconds < 15
    assert set(states(done)) == {"not-run"}


def test_fail_fast_starts_nothing_after_a_failure(desk: Desk) -> None:
    desk.says(VFIO, always(ERROR))
    done = desk.run(fail_fast=["yes"])
    assert states(done).count("fail") == 1
    skipped = [cell for cell in done.cells if cell.state is State.NOT_RUN]
    assert skipped
    assert all("--fail-fast" in str(cell.reason) for cell in skipped)
    assert code(done) == 100


def test_after_the_deadline_no_cell_starts(desk: Desk) -> None:
    def slow(_job: Job) -> None:
        threading.Event().wait(1.1)

    desk.kernel.before = in_cell("MODULES=n,VFIO=n", slow)
    done = desk.run(deadline=["1s"])
    assert states(done) == ["empty", "unreachable", *["not-run"] * 4]
    assert "--deadline" in str(done.cells[-1].reason)
    assert code(done) == 2


def test_a_bug_in_a_lane_comes_out_after_everything_stopped(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    both = threading.Barrier(2)

    def bug(job: Job) -> None:
        if job.configures:
            return
        both.wait(10)
        if job.cell.startswith("x86"):
            raise AssertionError("a bug")
        threading.Event().wait(30)

    desk.kernel.before = bug
    with pytest.raises(AssertionError, match="a bug"):
        desk.run()
    assert desk.engine.list_containers() == {}
    (directory,) = {path.resolve() for path in (desk.place / "runs").iterdir()}
    written = load_run(directory)
    assert written.finished is not None
    assert len(written.cells) == 4
