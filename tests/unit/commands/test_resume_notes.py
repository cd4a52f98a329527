"""What is told of a run that was stopped, by itself and by another run."""

import fcntl
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from matrix.commands.compare import BaselineOptions
from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.run import run_matrix
from matrix.commands.settings import GivenSettings, resolve_profile
from matrix.errors import RequestError
from matrix.record.events import CellFinished, RunStarted
from matrix.record.run_directory import load_run
from reports.summary import measure_wall_time
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.run_desk import ERROR, VFIO, always, dying, in_cell, states

# What is told of it


def test_the_time_of_a_run_is_without_its_pauses(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    hour_ago = time.time() - 3600
    os.utime(directory / "cells.jsonl", (hour_ago, hour_ago))
    run = json.loads((directory / "run.json").read_text())
    run["started"] = datetime.fromtimestamp(hour_ago - 60, UTC).isoformat()
    (directory / "run.json").write_text(json.dumps(run, indent=1))
    done = desk.resume()
    (pause,) = done.pauses
    assert done.finished is not None
    assert pause.stopped < pause.resumed < done.finished
    assert 60 < (measure_wall_time(done) or 0) < 180


def test_a_display_is_told_what_was_finished_before(desk: ResumedDesk) -> None:
    desk.kill_after(3)
    desk.resume()
    (begun,) = [event for event in desk.events if isinstance(event, RunStarted)]
    assert (begun.cells, len(begun.finished)) == (6, 3)
    assert len([event for event in desk.events if isinstance(event, CellFinished)]) == 3


def test_a_run_records_what_it_is_to_be_held_against(desk: ResumedDesk) -> None:
    desk.run(select=["MODULES=n,VFIO=y"])
    against = BaselineOptions(desk.stored, {}, desk.place / "known.toml")
    profile = resolve_profile(desk._settled({}), {})
    done = run_matrix(profile, desk.events.append, ["test"], desk.world, baseline=against).run
    assert (done.baseline, done.known) == (str(desk.stored.directory), str(desk.place / "known.toml"))


def test_a_run_records_what_it_was_said_to_be_held_against_when_it_went_on(desk: ResumedDesk) -> None:
    desk.run(select=["MODULES=n,VFIO=y"])
    against = BaselineOptions(desk.stored, {}, desk.place / "known.toml")
    directory = desk.kill_after(2, fresh=["yes"])
    resumption = find_resumption(directory.name, GivenSettings({}, {}), desk.world.runs)
    assert resumption is not None
    desk.on_event = desk._stop_after(1, _die)
    again = desk.fork(lambda: resume_run(resumption, desk._tell, desk.world, baseline=against))
    desk.on_event = desk.events.append
    names = (str(desk.stored.directory), str(desk.place / "known.toml"))
    for run in (load_run(directory), desk.resume(directory.name)):
        assert (again, run.baseline, run.known) == (signal.SIGKILL, *names)


def _die() -> None:
    signal.raise_signal(signal.SIGKILL)


# What another run tells of it


def mentions(desk: ResumedDesk, **options: list[str]) -> list[str]:
    """What a new run says of stopped ones."""
    desk.events.clear()
    desk.run(**options)
    return [note for note in desk.notes() if "--resume" in note]


def test_a_run_tells_of_a_stopped_one_of_the_same_request_and_goes_on(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    (said,) = mentions(desk, jobs=["1"])
    assert said == (
        f"The same request: {directory.name} was stopped, with 2 of 6 cells finished; "
        f"to go on: ./inv run --resume {directory.name}"
    )
    assert states(desk.stored.run) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert mentions(desk) == [], "it is whole now, and the newest"


def test_a_run_that_was_to_end_with_its_first_failure_was_not_stopped(desk: ResumedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.run(fail_fast=["yes"])
    assert "not-run" in states(desk.stored.run)
    assert mentions(desk, fail_fast=["yes"]) == []


@pytest.mark.parametrize("stop", ["interrupt", "fault"])
def test_it_tells_of_an_interrupted_run_and_of_one_with_faults(desk: ResumedDesk, stop: str) -> None:
    if stop == "interrupt":
        desk.interrupt_after(3)
    else:
        desk.kernel.before = in_cell("MODULES=y,VFIO=m", dying("the engine has gone"))
        desk.run(retries=["0"])
        desk.kernel.before = lambda _: None
    assert len(mentions(desk)) == 1


def test_it_does_not_tell_of_another_request(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    assert mentions(desk, stage=["modules"]) == []
    desk.kill_after(2, fresh=["yes"])
    (desk.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    assert mentions(desk, fresh=["yes"]) == []


def refuse_output(desk: ResumedDesk, directory: Path) -> tuple[str, str]:
    """What is said of a run whose ``--out`` is not empty, and what to type next."""
    with pytest.raises(RequestError) as caught:
        desk.run(out=[str(directory)])
    return str(caught.value), caught.value.hint


def test_the_same_output_is_refused_with_what_goes_on_there(desk: ResumedDesk) -> None:
    directory = desk.place / "mine"
    desk.kill_after(2)
    (desk.world.runs / "latest").resolve().rename(directory)
    other = "name a directory that does not exist yet"
    said = f"--out {directory} is in use: it is not empty"
    goes_on = f"./inv run --resume {directory} goes on with what was stopped there; or {other}"
    assert refuse_output(desk, directory) == (said, goes_on)
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert refuse_output(desk, directory) == (said, other), "it is at work"
    desk.resume(str(directory))
    assert refuse_output(desk, directory) == (said, other), "it is whole"
    (directory / "run.json").write_text("{}")
    assert refuse_output(desk, directory) == (said, other), "it is damaged"


def test_it_does_not_tell_of_a_run_at_work(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert mentions(desk) == []
