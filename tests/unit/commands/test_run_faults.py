"""Faults of the machine in a run: what they are called, what is tried again, what stays the tree's."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.builder import run_context
from matrix.engine.protocol import ContainerResult
from matrix.errors import EngineError
from matrix.file_times import find_future_file
from matrix.record.run_model import Cell, Run
from matrix.resolve import step_output
from matrix.resolve.step_output import OutputLimits
from reports import FORMATS, PROSE_FORMATS, ReportOptions
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import ERROR, VFIO, WARNING, Desk, always, states

ONE = 'VFIO = ["y"]\n'
KILLED = "x86_64-linux-gnu-gcc-14: fatal error: Killed signal terminated program cc1"
CRASHED = "x86_64-linux-gnu-gcc-14: internal compiler error: Segmentation fault signal terminated program cc1"
Ending = int | ContainerResult | None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.asks(ONE)
    return desk


class Play:
    """What the builds of a run do, one after the other; afterwards they do nothing unusual."""

    def __init__(self, *endings: Callable[[Job], Ending], configures: bool = False) -> None:
        self.endings = list(endings)
        self.configures = configures

    def __call__(self, job: Job) -> Ending:
        if job.configures is not self.configures or not self.endings:
            return None
        return self.endings.pop(0)(job)


def fails(*lines: str, exit: int = 2, report: tuple[str, ...] = ()) -> Callable[[Job], Ending]:  # noqa: A002
    def end(job: Job) -> Ending:
        for line in ("  CC      drivers/vfio/vfio.o", *lines):
            job.say(line)
        return ContainerResult(exit, 1.0, report=report)

    return end


def only(done: Run) -> Cell:
    [cell] = done.cells
    return cell


def run_once(desk: Desk, *endings: Callable[[Job], Ending]) -> Cell:
    """The cell after one attempt."""
    desk.kernel.before = Play(*endings)
    return only(desk.run(retries=["0"]))


# What ended a step

V1_OOM = (
    "memory.oom_control oom_kill 1",
    "memory.max_usage_in_bytes 104857600 ",
    "memory.limit_in_bytes 104857600 ",
)
EVIDENCE = {
    "killed": (fails(KILLED, "compilation terminated."), "infra", "killed from outside"),
    "clock": (fails("make: warning:  Clock skew detected.  Your", exit=0), "infra", "newer"),
    "processes": (fails(report=("pids.events max 7",)), "infra", "limit of 4,096 processes"),
    "processes, passed": (fails(exit=0, report=("pids.events max 7",)), "infra", "limit of 4,096 processes"),
    "fork": (fails("sh: 1: Cannot fork"), "infra", "no room"),
    "file size": (fails("dd: error writing 'x': File too large"), "infra", "limit of 16 GiB for a file"),
    "open files": (fails("ld: a.o: Too many open files"), "infra", "limit of 4,096 open files"),
    "/tmp": (fails(report=("/tmp 524288 3 4096 99 98",)), "infra", "limit of 2048 MiB for /tmp"),
    "/tmp, passed": (fails(exit=0, report=("/tmp 524288 0 4096 99 98",)), "infra", "/tmp in a container"),
    "no more files": (fails(report=("/tmp 524288 500000 4096 99 0",)), "infra", "no more files"),
    "disk": (fails("ar: built-in.a: No space left on device"), "infra", "a disk was full"),
    "short write": (fails("sh: 1: printf: printf: I/O error"), "infra", "could not be written"),
    "memory refused": (fails("LLVM ERROR: out of memory"), "infra", "refused memory"),
    "oom": (fails("Killed", report=V1_OOM), "oom", "limit"),
    "oom, v2": (fails("Killed", report=("memory.events oom_kill 1", "memory.events oom 1")), "oom", "limit"),
    "another's": (fails(report=("memory.events oom_kill 1", "memory.events oom 0")), "infra", "ran out"),
    "another's, v1": (fails(report=(V1_OOM[0], V1_OOM[2], "memory.max_usage_in_bytes 9")), "infra", "ran"),
    "no make": (fails(exit=127), "infra", "could not be started"),
    "signal": (fails(exit=137), "infra", "signal 9"),
    "odd": (fails(exit=7), "infra", "never does"),
}  # fmt: skip


@pytest.mark.parametrize("case", EVIDENCE)
def test_what_ended_a_step_is_told_by_evidence(desk: Desk, case: str) -> None:
    ending, state, reason = EVIDENCE[case]
    cell = run_once(desk, ending)
    assert (cell.state.value, reason in str(cell.reason)) == (state, True), cell.reason


@pytest.mark.parametrize(
    "report",
    [
        ("pids.events max 0", "memory.events oom_kill 0", "/tmp 524288 500000 4096 99 98"),
        ("nonsense", "", "/tmp x", "pids.events max -3", f"pids.events max {'9' * 5000}", "/tmp 1 2 3 4 5 6"),
    ],
)
def test_a_report_of_nothing_leaves_the_failure_to_the_tree(desk: Desk, report: tuple[str, ...]) -> None:
    assert run_once(desk, fails(ERROR, report=report)).state.value == "fail"


def test_a_full_disk_of_the_build_directory_is_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def full(_: Path) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 1_000_000, 100, 10, 99, 98, 98, 0, 255))

    def fill(_: Job) -> Ending:
        monkeypatch.setattr(os, "statvfs", full)
        return 2

    cell = run_once(desk, fill)
    monkeypatch.setattr(os, "statvfs", real)
    assert cell.state.value == "infra"
    assert "the disk of the build directory is full" in str(cell.reason)


def test_an_error_in_the_source_stands_though_a_compiler_was_killed(desk: Desk) -> None:
    assert run_once(desk, fails(ERROR, KILLED)).state.value == "fail"


@pytest.mark.parametrize("line", ["ld: a.o: No space left on device", "sh: 1: Cannot fork"])
def test_an_error_that_may_come_of_the_fault_does_not_stand(desk: Desk, line: str) -> None:
    assert run_once(desk, fails(ERROR, line)).state.value == "infra"


def test_a_configure_step_has_its_reason_as_well(desk: Desk) -> None:
    desk.kernel.before = Play(fails("sh: 1: Cannot fork"), configures=True)
    cell = only(desk.run(retries=["0"]))
    assert (cell.state.value, "no room" in str(cell.reason)) == ("infra", True)


# Files from the future


def test_the_next_cell_does_not_rest_on_objects_from_the_future(desk: Desk) -> None:
    desk.asks('MODULES = ["n", "y"]\nVFIO = ["y"]\n')
    desk.says(VFIO, always())

    stood = []

    def from_the_future(job: Job) -> Ending:
        if job.configures or job.targets == ("prepare",):
            return None
        late = time.time() + 86400
        stood.append((job.host("/build") / "late.o").exists())
        (job.host("/build") / "late.o").touch()
        os.utime(job.host("/build") / "late.o", (late, late))
        assert len(list(job.host("/build").glob("late.o"))) == 1
        return None

    desk.kernel.before = from_the_future
    assert states(desk.run()) == ["pass", "pass"]
    # A run in which these cells were remembered would ask make nothing.
    shutil.rmtree(desk.place / "cache/memory")
    assert states(desk.run()) == ["pass", "pass"]
    assert stood == [False] * 4


def test_headers_that_are_prepared_in_the_future_are_of_now_before_objects_are_compiled(desk: Desk) -> None:
    desk.asks('MODULES = ["n", "y"]\nVFIO = ["y"]\n')
    desk.says(VFIO, always())
    dated, newest = [], []

    def prepare_in_the_future(job: Job) -> Ending:
        build = job.host("/build")
        if job.targets == ("prepare",):
            (build / "late.h").touch()
            os.utime(build / "late.h", (time.time() + 86400,) * 2)
            dated.append(find_future_file(build))
        elif dated:
            newest.append(find_future_file(build))
        return None

    desk.kernel.before = prepare_in_the_future
    assert states(desk.run()) == ["pass", "pass"]
    assert [Path(path).name for path in dated] == ["late.h"]
    assert set(newest) == {""}


def test_a_tree_from_the_future_is_built_as_of_now(desk: Desk) -> None:
    late = time.time() + 86400
    os.utime(desk.tree / "drivers/vfio/vfio.c", (late, late))
    assert states(desk.run()) == ["pass"]
    [source] = (desk.place / "cache/sources").glob("*/tree/drivers/vfio/vfio.c")
    assert source.stat().st_mtime <= time.time()


# Tools that broke


def test_a_crash_that_repeats_is_the_trees_and_its_error_is_marked(desk: Desk) -> None:
    cell = run_once(desk, fails(CRASHED), fails(CRASHED))
    assert cell.state.value == "fail"
    assert [desk.stored.run.diagnostics[ref.key].internal for ref in cell.diagnostics] == [True]
    assert len(desk.kernel.ran(configures=False)) == 2
    assert cell.stages[-1].seconds >= 0


def test_a_crash_that_does_not_repeat_is_infra(desk: Desk) -> None:
    cell = run_once(desk, fails(CRASHED))
    assert cell.state.value == "infra"
    assert "a program broke while drivers/vfio/vfio.o was made" in str(cell.reason)


def test_a_crash_that_becomes_another_error_is_infra(desk: Desk) -> None:
    assert run_once(desk, fails(CRASHED), fails(ERROR)).state.value == "infra"


def test_a_crash_without_words_of_its_tool_is_tried_once_more_too(desk: Desk) -> None:
    line = "make[3]: *** [/src/scripts/Makefile.build:229: drivers/vfio/vfio.o] Error 139"
    assert run_once(desk, fails(line)).state.value == "infra"
    desk.tree.joinpath("Kconfig").touch()
    cell = run_once(desk, fails(line), fails(line))
    assert cell.state.value == "fail"
    assert not any(desk.stored.run.diagnostics[ref.key].internal for ref in cell.diagnostics)


def test_a_second_try_that_meets_a_limit_is_called_after_it(desk: Desk) -> None:
    def time_is_over(_: Job) -> Ending:
        return ContainerResult(137, 1.0, timed_out=True)

    assert run_once(desk, fails(CRASHED), time_is_over).state.value == "timeout"


# Attempts


def test_a_cell_in_infra_is_tried_again_and_says_so(desk: Desk) -> None:
    desk.kernel.before = Play(fails(KILLED))
    cell = only(desk.run())
    assert cell.state.value == "pass"
    assert cell.reason is None
    assert [attempt.state.value for attempt in cell.attempts] == ["infra", "pass"]
    assert "killed from outside" in str(cell.attempts[0].reason)
    log = (desk.directory / str(cell.log)).read_text()
    first, second = log.split("[kmatrix: attempt 2 begins here]")
    assert KILLED in first
    assert "[kmatrix: attempt 1 ends here: a program was killed from outside" in first
    assert KILLED not in second
    assert "$ make" in second


def test_what_only_the_first_attempt_printed_is_no_diagnostic_of_the_cell(desk: Desk) -> None:
    desk.kernel.before = Play(fails(WARNING, KILLED))
    cell = only(desk.run())
    assert (cell.state.value, cell.diagnostics) == ("pass", ())


def test_a_fault_that_stays_is_tried_so_many_times_and_no_more(desk: Desk) -> None:
    desk.kernel.before = Play(*[fails(KILLED)] * 9)
    cell = only(desk.run(retries=["3"]))
    assert (cell.state.value, len(cell.attempts)) == ("infra", 4)
    assert len(desk.kernel.ran(configures=False)) == 4


def test_a_cell_that_needed_one_attempt_has_none_in_its_record(desk: Desk) -> None:
    assert "attempts" not in only(desk.run()).model_dump(mode="json")


@pytest.mark.parametrize(
    "ended",
    [
        ContainerResult(137, 1.0, timed_out=True),
        ContainerResult(137, 1.0, oom=True),
        ContainerResult(137, 1.0, cancelled=True),
    ],
    ids=["time", "memory", "interrupt"],
)
def test_a_limit_is_no_fault(desk: Desk, ended: ContainerResult) -> None:
    desk.kernel.before = Play(lambda _: ended)
    cell = only(desk.run())
    assert cell.attempts == ()


def test_an_attempt_starts_with_an_empty_directory(desk: Desk) -> None:
    seen: list[bool] = []

    def leave(job: Job) -> Ending:
        seen.append((job.host("/build") / "half.o").exists())
        (job.host("/build") / "half.o").touch()
        return fails(KILLED)(job)

    desk.kernel.before = Play(leave, leave)
    assert only(desk.run()).state.value == "pass"
    assert seen == [False, False]


def test_a_configure_step_is_tried_again_as_well(desk: Desk) -> None:
    desk.kernel.before = Play(fails(KILLED), fails(KILLED), configures=True)
    cell = only(desk.run())
    assert cell.state.value == "pass"
    assert [attempt.state.value for attempt in cell.attempts] == ["infra", "infra", "pass"]


def test_an_engine_that_fails_once_is_asked_again(desk: Desk) -> None:
    def break_engine(_: Job) -> Ending:
        raise EngineError("the engine stopped", "./inv doctor")

    desk.kernel.before = Play(break_engine)
    cell = only(desk.run())
    assert (cell.state.value, cell.attempts[0].reason) == ("pass", "the engine stopped")


def test_reports_name_a_cell_that_needed_more_attempts(desk: Desk) -> None:
    desk.kernel.before = Play(fails(KILLED))
    desk.run()
    for name in PROSE_FORMATS:
        text = " ".join(FORMATS[name].render_run(desk.stored, ReportOptions()).replace("\\", "").split())
        assert "needed more than one attempt" in text, name


def test_the_wait_before_a_retry_grows_and_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(run_context, "RETRY_DELAY", 2.0)
    monkeypatch.setattr(threading.Event, "wait", _record_waits(waits, threading.Event.wait))
    desk.kernel.before = Play(*[fails(KILLED)] * 9)
    desk.run(retries=["7"])
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def _record_waits(
    waits: list[float], real: Callable[[threading.Event, float | None], bool]
) -> Callable[[threading.Event, float | None], bool]:
    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is not None and timeout >= 2.0:
            waits.append(timeout)
            return event.is_set()
        return real(event, timeout)

    return wait


def test_a_wait_that_the_deadline_would_end_is_not_begun(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "RETRY_DELAY", 1000.0)
    desk.kernel.before = Play(fails(KILLED))
    cell = only(desk.run(deadline=["59s"]))
    assert (cell.state.value, cell.attempts) == ("infra", ())


def test_an_interrupt_ends_the_wait(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "RETRY_DELAY", 250.0)
    desk.kernel.before = Play(fails(KILLED))

    def interrupt(event: object) -> None:
        if "tried again" in str(event):
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    desk.on_event = interrupt
    started = time.monotonic()
    done = desk.run()
    assert time.monotonic() - started < 100
    assert done.interrupted
    assert only(done).state.value == "infra"


# Too much output


def test_a_cell_whose_warnings_were_left_out_is_no_pass_and_the_next_prints_them_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = OutputLimits(first_lines=5, first_bytes=2**20, last_lines=5, last_bytes=2**20, diagnostics=3)
    monkeypatch.setattr(step_output, "OUTPUT_LIMITS", limits)
    lines = [
        f"/src/drivers/vfio/vfio.c:{n}:5: warning: unused variable 'x{n}' [-Wunused-variable]"
        for n in range(100)
    ]
    desk.says(VFIO, always(*lines))
    for _ in range(2):
        cell = only(desk.run())
        assert cell.state.value == "warn"
        tools = [desk.stored.run.diagnostics[ref.key].tool for ref in cell.diagnostics]
        assert tools == ["gcc", "gcc", "gcc", "kmatrix"]
        assert cell.stages[-1].compiled == 1
        log = (desk.directory / str(cell.log)).read_text()
        assert "lines of the output were left out here]" in log
        assert log.count("\n") < 40
