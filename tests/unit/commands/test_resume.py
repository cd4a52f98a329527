"""A run that was stopped goes on: finished cells stay, and the rest is built."""

import fcntl
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.settings import GivenSettings
from matrix.engine.image_registry import push_registry_image
from matrix.engine.protocol import LABEL, ContainerResult
from matrix.errors import RequestError
from matrix.memory.results import ResultMemory
from matrix.record.events import CellFinished, RunStarted
from matrix.record.journal import Journal
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.states import Evidence, State
from tests.fakes.kernel import Job
from tests.fakes.sequences import Edit, Kmatrix
from tests.unit.commands.resume_desk import TWINS, ResumedDesk, refuse
from tests.unit.commands.run_desk import ERROR, VFIO, WARNING, always, cell_of, dying, in_cell, states
from tests.unit.commands.test_run_same_objects import SUBJECT

# What goes on, and with what


def test_finished_cells_stay_and_the_rest_is_built(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3)
    assert states(stopped) == ["empty", "unreachable", "pass", "not-run", "not-run", "not-run"]
    done = desk.resume()
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert done.cells[:3] == stopped.cells[:3]
    assert {job.cell for job in desk.kernel.jobs} == {cell.id for cell in done.cells[3:]}
    assert (done.id, done.started, done.interrupted) == (stopped.id, stopped.started, False)
    assert load_run(desk.directory) == done


@pytest.mark.parametrize("by", ["option", "variable"])
def test_images_that_are_gone_come_from_a_registry_that_is_named_only_now(desk: ResumedDesk, by: str) -> None:
    """Where images come from is asked for by nobody's results: what they are is on record."""
    registry = "localhost:5000/team"
    for tag in [*desk.engine.list_images()]:
        push_registry_image(desk.engine, registry, tag, desk.events.append)
    stopped = desk.interrupt_after(3)
    for record in stopped.toolchains.values():
        for name in [name for name, found in desk.engine._ids.items() if found == record.image_id]:
            desk.engine.remove_image(name)
    if by == "variable":
        desk.variables["KMATRIX_IMAGES"] = registry
    done = desk.resume(**({"images": [registry]} if by == "option" else {}))
    assert done.toolchains == stopped.toolchains
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert desk.engine.shared.asked[-1].startswith(f"pull {registry}/")


@pytest.mark.parametrize("spec", ["latest", "NAME", "PATH"])
def test_a_killed_run_goes_on_however_it_is_named(desk: ResumedDesk, spec: str) -> None:
    directory = desk.kill_after(2)
    assert load_run(directory).finished is None
    done = desk.resume({"NAME": directory.name, "PATH": str(directory)}.get(spec, spec))
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert desk.directory == directory


def test_a_run_goes_on_where_it_was_put(desk: ResumedDesk) -> None:
    out = desk.place / "mine"
    stopped = desk.interrupt_after(3, out=[str(out)])
    assert (stopped.interrupted, desk.resume(str(out)).interrupted) == (True, False)
    assert desk.directory == out
    assert not (desk.world.runs / "latest").exists()


def test_a_run_that_has_all_its_results_is_told_so_and_left_alone(desk: ResumedDesk) -> None:
    done = desk.run()
    record = (desk.directory / "run.json").read_bytes()
    desk.engine.broken = "no engine is needed"
    assert desk.resume() == done
    assert (desk.directory / "run.json").read_bytes() == record
    assert desk.notes()[-1] == f"Every cell of {done.id} has its result: nothing is left to build."


def test_a_run_that_was_killed_behind_its_last_cell_is_brought_to_its_end(desk: ResumedDesk) -> None:
    directory = desk.kill_after(6)
    done = desk.resume()
    assert desk.kernel.jobs == []
    assert (done.finished is not None, "not-run" in states(done)) == (True, False)
    assert load_run(directory) == done


def test_what_the_machine_failed_is_tried_again_and_a_timeout_stays(desk: ResumedDesk) -> None:
    desk.kernel.before = in_cell("MODULES=y,VFIO=m", dying("the engine has gone"))
    late = in_cell("MODULES=n,VFIO=y", lambda _: ContainerResult(137, 1.0, timed_out=True))
    fault = desk.kernel.before
    desk.kernel.before = lambda job: late(job) or fault(job)
    broken = desk.run(retries=["0"])
    assert states(broken) == ["empty", "unreachable", "timeout", "empty", "infra", "pass"]
    desk.kernel.before = lambda _: None
    done = desk.resume()
    assert states(done) == ["empty", "unreachable", "timeout", "empty", "pass", "pass"]
    assert desk.built() == {"MODULES=y,VFIO=m"}
    assert cell_of(done, "MODULES=y,VFIO=m").reason is None


def test_what_a_fault_made_tools_say_is_forgotten(desk: ResumedDesk) -> None:
    def say_and_stop(job: Job) -> int:
        job.say(WARNING)
        return 137

    desk.kernel.before = in_cell("MODULES=y,VFIO=m", say_and_stop)
    broken = desk.run(retries=["0"])
    assert cell_of(broken, "MODULES=y,VFIO=m").state is State.INFRA
    assert broken.diagnostics
    desk.kernel.before = lambda _: None
    assert desk.resume().diagnostics == {}


def test_what_a_deadline_left_is_built_with_a_new_one(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("matrix.commands.run.monotonic", lambda: time.monotonic() - 1000)
        stopped = desk.run(deadline=["10m"])
    assert {cell.reason for cell in stopped.cells} == {"not started: the --deadline had passed"}
    assert states(desk.resume()) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]


def test_twins_take_the_result_of_a_cell_that_was_built_before(desk: ResumedDesk) -> None:
    desk.asks(TWINS)
    # No place in the tree: only the record keeps it.
    desk.says(VFIO, always("/src/drivers/vfio/gone.h:7:5: error: 'x' undeclared"))
    directory = desk.kill_after(1)
    (first,) = [cell for cell in load_run(directory).cells if cell.state is State.FAIL]
    done = desk.resume()
    twin = next(cell for cell in done.cells if cell.request == {"TWIN": "y", "VFIO": "y"})
    assert (twin.evidence, twin.evidence_from, twin.log) == (Evidence.SAME_CONFIG, first.id, first.log)
    assert (twin.diagnostics, twin.stages[1:], twin.objects_sha256) == (
        first.diagnostics,
        first.stages[1:],
        first.objects_sha256,
    )
    assert desk.built() == {"TWIN=n,VFIO=n"}


def test_a_result_that_was_remembered_and_not_recorded_is_the_runs_own(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.asks(TWINS)
    undisturbed = [(cell.evidence, cell.evidence_from) for cell in ResumedDesk.run(desk).cells]
    shutil.rmtree(desk.place / "cache/memory")
    shutil.rmtree(desk.place / "runs")

    def die(*_: object) -> None:
        signal.raise_signal(signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "record_finished_cell", die)
        assert desk.fork(desk.run) == signal.SIGKILL
    done = desk.resume()
    assert [(cell.evidence, cell.evidence_from) for cell in done.cells] == undisturbed
    assert "TWIN=n,VFIO=y" not in desk.built()


def test_a_cell_whose_objects_were_compiled_before_the_kill_is_built_and_no_twin_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = []
    for name in ("undisturbed", "killed"):
        kmatrix = Kmatrix(tmp_path / name, SUBJECT)
        kmatrix.run(())
        kmatrix.edit(Edit("drivers/vfio/main.c", 1))
        if name == "killed":
            with monkeypatch.context() as patched:
                patched.setattr(ResultMemory, "keep", lambda *_: signal.raise_signal(signal.SIGKILL))
                os.waitpid(kmatrix._fork(kmatrix.run_apart), 0)
            resumption = find_resumption("latest", GivenSettings({}, {}), kmatrix.environment.runs)
            assert resumption is not None
            done = resume_run(resumption, lambda _: None, kmatrix.environment)
        else:
            done = kmatrix.run(())
        evidence.append([(cell.state, cell.evidence, cell.evidence_from) for cell in done.run.cells])
    assert evidence[0] == evidence[1] == [(State.PASS, Evidence.BUILT, None)]


def test_with_fail_fast_a_failure_from_before_ends_it(desk: ResumedDesk) -> None:
    desk.says(VFIO, lambda config: [ERROR] if config["MODULES"] == "n" else [], sees=("MODULES",))
    desk.kill_after(3, fail_fast=["yes"])
    done = desk.resume()
    assert states(done) == ["empty", "unreachable", "fail", "not-run", "not-run", "not-run"]
    assert {cell.reason for cell in done.cells[3:]} == {"not started: --fail-fast, and a cell had failed"}
    assert desk.kernel.jobs == []


def test_the_log_of_a_cell_begins_anew_behind_its_configure_step(desk: ResumedDesk) -> None:
    undisturbed = desk.run()
    logs = {cell.id: (desk.directory / str(cell.log)).read_text() for cell in undisturbed.cells if cell.log}
    shutil.rmtree(desk.place / "cache")
    desk.kernel.before = in_cell("MODULES=y,VFIO=y", _say_and_die)
    assert desk.fork(desk.run) == signal.SIGKILL
    desk.kernel.before = lambda _: None
    done = desk.resume()
    text = (desk.directory / str(done.cells[5].log)).read_text()
    assert "half a build" not in text
    assert text == logs[done.cells[5].id]


def _say_and_die(job: Job) -> int:
    job.say("half a build")
    signal.raise_signal(signal.SIGKILL)
    return 1


def test_a_log_is_whole_where_the_configure_step_is_made_again(desk: ResumedDesk) -> None:
    directory = desk.kill_after(3)
    shutil.rmtree(desk.place / "cache/resolutions")
    done = desk.resume()
    log = (directory / str(done.cells[5].log)).read_text()
    assert len(re.findall("olddefconfig", log)) == 1


# What a power cut and a kill leave behind


def test_a_torn_last_line_swallows_no_other(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    with (directory / "cells.jsonl").open("a") as journal:
        journal.write('{"cell":{"id":"x86/gcc')
    assert desk.interrupt_resumed_after(1).interrupted
    (directory / "run.json").write_text(
        (directory / "run.json").read_text().replace('"finished": "', '"finished": null, "was": "')
    )
    kept = [cell.state for cell in load_run(directory).cells if cell.state is not State.NOT_RUN]
    assert len(kept) == 3


def _append(path: Path) -> None:
    path.write_text(path.read_text() + "x")


@pytest.mark.parametrize("folder", ["configs", "objects"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: os.truncate(file, 0), _append])
def test_a_finished_cell_whose_files_are_damaged_is_built_again(
    desk: ResumedDesk, folder: str, damage: Callable[[Path], object]
) -> None:
    desk.kill_after(5)
    run = load_run(desk.world.runs / "latest")
    cell = cell_of(run, "MODULES=n,VFIO=y")
    name = {"configs": cell.config_sha256, "objects": cell.objects_sha256}[folder]
    damage(desk.world.runs / "latest" / folder / str(name))
    done = desk.resume()
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    stored = RunDirectory.load(desk.directory)
    again = cell_of(done, "MODULES=n,VFIO=y")
    assert again.evidence is Evidence.BUILT
    assert stored.load_config(again)
    assert stored.load_objects(again) == {VFIO}


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: os.truncate(file, 0)])
def test_a_finished_cell_whose_log_is_lost_is_built_again(
    desk: ResumedDesk, damage: Callable[[Path], object]
) -> None:
    """After a power cut a file may be there and empty, though the journal's line came after it."""
    directory = desk.kill_after(5)
    log = directory / str(cell_of(load_run(directory), "MODULES=n,VFIO=y").log)
    damage(log)
    desk.resume()
    assert log.stat().st_size


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_cell_whose_files_are_lost_has_no_result_until_it_is_built_again(
    desk: ResumedDesk, times: int, is_whole: bool
) -> None:
    """Also where that is stopped before it comes to the cell."""
    directory = _finish_run(desk) if is_whole else desk.kill_after(5)
    (directory / str(cell_of(load_run(directory), "MODULES=n,VFIO=y").log)).unlink()
    for _ in range(times):
        desk.on_event = _die_at_begin
        assert desk.fork(desk.resume) == signal.SIGKILL
        desk.on_event = desk.events.append
        assert cell_of(load_run(directory), "MODULES=n,VFIO=y").state is State.NOT_RUN
    again = cell_of(desk.resume(), "MODULES=n,VFIO=y")
    assert again.state is State.PASS
    assert (directory / str(again.log)).stat().st_size


def _finish_run(desk: ResumedDesk) -> Path:
    desk.run()
    return desk.directory


def _die_at_begin(event: object) -> None:
    if isinstance(event, RunStarted):
        signal.raise_signal(signal.SIGKILL)


def test_what_was_half_written_is_gone(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    left = [directory / ".run.json.abcdefgh", directory / "configs" / f".{'0' * 64}.abcdefgh"]
    reports = [directory / f".{name}.abcdefgh" for name in ("findings.json", "report.html", "report.txt")]
    for path in (*left, *reports):
        path.write_text("half")
    (directory / ".note").write_text("mine")
    desk.resume()
    assert [path.exists() for path in (*left, directory / ".note")] == [False, False, True]
    assert not any(path.exists() for path in reports)
    reports[0].write_text("half")
    desk.resume()
    assert not reports[0].exists(), "also of one that is whole"


def test_what_an_attempt_left_that_no_cell_names_is_gone(desk: ResumedDesk) -> None:
    """A cell that a fault ended has a list of what its attempt made; the cell that is built has another."""
    desk.interrupt_after(3)
    directory = desk.directory
    left = [directory / folder / ("0" * 64) for folder in ("configs", "objects")]
    for path in left:
        path.write_text("of an attempt")
    (directory / "configs/mine").write_text("mine")
    assert desk.interrupt_resumed_after(1).interrupted
    assert all(path.exists() for path in left), "what is not at its end may need them"
    done = desk.resume()
    assert not any(path.exists() for path in left)
    stored = RunDirectory.load(directory)
    assert all(stored.load_config(cell) for cell in done.cells if cell.config_sha256)
    assert (directory / "configs/mine").exists()


def test_a_container_of_the_killed_process_is_removed_and_no_other(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    removed: list[str] = []
    own = RunDirectory.load(directory).unique_name
    desk.engine.list_containers = lambda label=LABEL: {"one": own, "two": "other"} if label == LABEL else {}  # type: ignore[method-assign]
    desk.engine.remove_container = removed.append  # type: ignore[method-assign,assignment]
    desk.resume()
    assert removed == ["one"]


# One process at a time


def test_a_run_at_work_cannot_be_resumed(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert refuse(desk) == f"another kmatrix is writing the run in {directory}"
    desk.resume()


def test_a_run_is_locked_while_it_is_made_and_while_it_goes_on(desk: ResumedDesk) -> None:
    said: list[str] = []

    def look(event: object) -> None:
        if isinstance(event, CellFinished):
            resumption = find_resumption("latest", GivenSettings({}, {}), desk.world.runs)
            assert resumption is not None
            with pytest.raises(RequestError) as caught:
                resume_run(resumption, lambda _: None, desk.world)
            said.append(str(caught.value))

    desk.on_event = look
    desk.run(select=["MODULES=n,VFIO=y"])
    assert len(said) == 1
    desk.on_event = desk.events.append
    desk.kill_after(1)
    desk.on_event = look
    desk.resume()
    assert len(said) > 2
    assert all("another kmatrix is writing the run in" in words for words in said)
