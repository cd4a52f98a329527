"""A run that was stopped goes on: finished cells stay, and the rest is built."""

import fcntl
import json
import os
import re
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from matrix.commands.compare import BaselineOptions
from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.run import run_matrix
from matrix.commands.settings import GivenSettings, resolve_profile
from matrix.engine.images import ImageRecipe
from matrix.engine.protocol import LABEL, ContainerResult
from matrix.errors import RequestError
from matrix.memory.results import ResultMemory
from matrix.record.events import CellFinished, ProgressNote, RunStarted
from matrix.record.journal import Journal
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import Run
from matrix.record.states import Evidence, State
from reports.summary import measure_wall_time
from tests.fakes.kernel import Job
from tests.fakes.sequences import Edit, Kmatrix, die_after
from tests.unit.commands.test_run import (
    CELL,
    ERROR,
    PROFILE,
    TWO_LANES,
    VFIO,
    WARNING,
    Desk,
    always,
    applying,
    cell_of,
    dying,
    in_cell,
    states,
)
from tests.unit.commands.test_run_same_objects import SUBJECT

TWINS = """\
TWIN = ["n", "y"]
VFIO = ["y", "n"]
[knobs.TWIN.x86]
n = { set = {}, proof = {} }
y = { set = {}, proof = {} }
"""


class ResumedDesk(Desk):
    """A desk whose run is stopped on its way, and goes on. ``variables`` are those of its environment."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.variables: dict[str, str] = {}

    def resume(self, spec: str = "latest", /, **options: list[str]) -> Run:
        self.kernel.jobs.clear()
        given = {name.replace("_", "-"): words for name, words in options.items()}
        resumption = find_resumption(spec, GivenSettings(given, self.variables), self.world.runs)
        assert resumption is not None
        self.stored = resume_run(resumption, self._tell, self.world)
        self.directory = self.stored.directory
        return self.stored.run

    def interrupt_after(self, cells: int, **options: list[str]) -> Run:
        """A run with Ctrl-C once so many cells are finished."""
        self.on_event = self._stop_after(cells, _raise_interrupt)
        done = self.run(**options)
        self.on_event = self.events.append
        return done

    def interrupt_resumed_after(self, cells: int) -> Run:
        """The same for a run that goes on."""
        self.on_event = self._stop_after(cells, _raise_interrupt)
        done = self.resume()
        self.on_event = self.events.append
        return done

    def kill_after(self, cells: int, **options: list[str]) -> Path:
        """The directory of a run that was killed once so many cells were finished."""
        self.on_event = self._stop_after(cells, lambda: signal.raise_signal(signal.SIGKILL))
        assert self.fork(lambda: self.run(**options)) == signal.SIGKILL
        self.on_event = self.events.append
        return (self.world.runs / "latest").resolve()

    def _stop_after(self, cells: int, stop: Callable[[], object]) -> Callable[[object], None]:
        left = cells

        def watch(event: object) -> None:
            nonlocal left
            if isinstance(event, CellFinished):
                left -= 1
                if left == 0:
                    stop()

        return watch

    def fork(self, work: Callable[[], object]) -> int:
        """Do this in a process of its own; the signal that ended it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        return os.WTERMSIG(os.waitpid(child, 0)[1])

    def run_apart(self, work: Callable[[], object], accesses: int) -> bool:
        """Do this in a process of its own, which is killed at its so many-th access to files. Was it?"""

        def work_and_die() -> None:
            die_after(accesses)
            work()

        return self.fork(work_and_die) == signal.SIGKILL

    def built(self) -> set[str]:
        """The cells that make built last, without what they have in common."""
        return {job.cell.removeprefix(CELL) for job in self.kernel.ran(configures=False)}

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ProgressNote)]


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def desk(tmp_path: Path) -> ResumedDesk:
    return ResumedDesk(tmp_path)


def refuse(desk: ResumedDesk, spec: str = "latest", /, **options: list[str]) -> str:
    """What is said of a run that cannot go on. Nothing in its directory is touched."""
    directory = desk.world.runs / spec
    before = {path: path.read_bytes() for path in directory.glob("*") if path.is_file()}
    with pytest.raises(RequestError) as caught:
        desk.resume(spec, **options)
    assert {path: path.read_bytes() for path in directory.glob("*") if path.is_file()} == before
    assert caught.value.hint
    return str(caught.value)


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


# What is refused


def test_another_kmatrix_is_refused(desk: ResumedDesk) -> None:
    record = desk.kill_after(2) / "run.json"
    run = json.loads(record.read_text())
    run["tool"]["version"] = "0.0.9"
    record.write_text(json.dumps(run, indent=1))
    assert re.search(r"cannot be resumed: kmatrix is .*, and was 0\.0\.9", refuse(desk))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": ["vmlinux"]}, "stage is vmlinux, and was focus"),
        ({"toolchain": ["clang-19"]}, "toolchain is clang-19, and was gcc-14"),
        ({"make": ["W=1"]}, "make is W=1, and was nothing"),
        ({"timeout": ["1m"]}, "timeout is 1m, and was 60m"),
        ({"select": ["VFIO=y"]}, "select is VFIO=y, and was nothing"),
        ({"out": ["elsewhere"]}, "out is elsewhere, and was not set"),
        ({"fail_fast": ["yes"]}, "fail-fast is True, and was False"),
        ({"fresh": ["yes"], "stage": ["modules"]}, "stage is modules, and was focus; fresh is True"),
    ],
)
def test_another_request_is_refused_with_what_differs(
    desk: ResumedDesk, options: dict[str, list[str]], words: str
) -> None:
    desk.kill_after(2)
    assert f"cannot be resumed: {words}" in refuse(desk, **options)


def test_of_the_shells_variables_only_what_may_differ_counts(desk: ResumedDesk) -> None:
    """The run was asked for in a shell that has them, and with options that say something else."""
    desk.kill_after(2)
    desk.variables = {"KMATRIX_PROFILE": "quick", "KMATRIX_STAGE": "modules", "KMATRIX_JOBS": "1"}
    done = desk.resume()
    assert {stage.name for cell in done.cells for stage in cell.stages} <= {"configure", "focus"}
    assert {job.parallel for job in desk.kernel.jobs} == {1}


def test_what_no_result_depends_on_may_differ(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3, jobs=["2"])
    free = {"jobs": ["1"], "lanes": ["1"], "memory": ["1G"], "retries": ["0"], "deadline": ["1h"]}
    done = desk.resume(cache_size=["1G"], **free)
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert {job.container.limits.memory for job in desk.kernel.jobs} == {2**30}
    assert done.profile == stopped.profile


def test_the_command_of_the_run_resumes_it_with_resume_behind_it(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3, arch=["x86"])
    typed = {"profile": [str(desk.profile)], "source": [str(desk.tree)], "arch": ["x86"]}
    assert desk.resume(**typed).id == stopped.id


@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        ({"jobs": ["0"]}, {}, "--jobs: jobs: input should be greater than or equal to 1, got 0"),
        ({"stage": ["vmlinuz"]}, {}, "--stage: stage: input should be 'focus', 'vmlinux' or 'modules'"),
        ({}, {"KMATRIX_LANES": "x"}, "KMATRIX_LANES: expected a whole number, got 'x'"),
        ({"arch": ["x68"]}, {}, "--arch: arch: unknown arch 'x68'"),
    ],
)
def test_what_is_no_value_is_refused_by_the_name_it_was_given_under(
    desk: ResumedDesk, options: dict[str, list[str]], variables: dict[str, str], words: str
) -> None:
    desk.kill_after(2)
    desk.variables = variables
    with pytest.raises(RequestError) as caught:
        desk.resume(**options)
    assert words in str(caught.value)


def test_another_profile_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    desk.asks(TWO_LANES)
    typed = {"profile": [str(desk.profile)], "source": [str(desk.tree)]}
    assert "symbols is VFIO=['n', 'y'], and was MODULES=['n', 'y'], VFIO=" in refuse(desk, **typed)


def test_editing_the_source_changes_nothing_unless_it_is_named_again(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3)
    (desk.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    assert re.search("the source is sha256 .*, and was ", refuse(desk, source=[str(desk.tree)]))
    assert desk.resume().source == stopped.source


def test_a_source_that_is_gone_and_was_edited_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    (desk.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    shutil.rmtree(desk.place / "cache/sources")
    assert "is another tree now" in refuse(desk)


def test_another_patch_under_the_same_name_is_refused(desk: ResumedDesk) -> None:
    desk.kernel.applies = applying
    patch = desk.place / "fix.patch"
    text = "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
    patch.write_text(text)
    desk.kill_after(2, patch=[str(patch)])
    patch.write_text(text + "\n")
    assert "the patch fix.patch has changed" in refuse(desk, patch=[str(patch)])
    desk.resume()


def test_another_image_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    tag = ImageRecipe("gcc-14", "gcc", 14).tag
    desk.engine.remove_image(tag)
    assert "the image of gcc-14 has changed" in refuse(desk)


def test_another_engine_is_refused_and_another_version_of_it_is_not(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.kill_after(2)
    info = desk.engine.query_info()
    monkeypatch.setattr(desk.engine, "query_info", lambda: replace(info, name="podman"))
    assert "the engine is podman 1.0, and was fake 1.0" in refuse(desk)
    monkeypatch.setattr(desk.engine, "query_info", lambda: replace(info, version="2.0"))
    desk.resume()


def test_a_base_that_was_edited_is_refused(desk: ResumedDesk) -> None:
    own = desk.place / "own.config"
    own.write_text("CONFIG_MODULES=y\n")
    head = PROFILE.replace("[symbols]", f'base = ["own"]\n[bases.own]\nfile = "{own}"\n[symbols]')
    desk.asks(TWO_LANES, head)
    desk.kill_after(1)
    own.write_text("CONFIG_MODULES=n\n")
    assert "the base own has changed" in refuse(desk)


def test_a_run_with_a_link_in_it_is_refused(desk: ResumedDesk) -> None:
    """It may be somebody else's, and lead what is written elsewhere."""
    directory = desk.kill_after(2)
    victim = desk.place / "victim"
    victim.mkdir()
    shutil.rmtree(directory / "cells/x86/gcc-14")
    (directory / "cells/x86/gcc-14").symlink_to(victim)
    assert "is a link" in refuse(desk)
    assert list(victim.iterdir()) == []


def test_builds_of_others_are_refused(desk: ResumedDesk) -> None:
    record = desk.kill_after(3) / "run.json"
    run = json.loads(record.read_text())
    run["cells"][0] |= {"state": "unknown", "evidence": "imported"}
    run["finished"] = run["started"]
    record.write_text(json.dumps(run, indent=1))
    assert "so there is nothing to go on with" in refuse(desk)


def test_a_run_that_is_not_there_is_refused(desk: ResumedDesk) -> None:
    with pytest.raises(RequestError, match="there is no run 'nosuch'"):
        desk.resume("nosuch")


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


def test_it_does_not_tell_of_a_run_at_work(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert mentions(desk) == []
