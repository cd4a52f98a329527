"""What is shown while a job runs."""

import threading
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from matrix.record.events import (
    CellFinished,
    EventSink,
    LaneFinished,
    OutputLine,
    ProgressEvent,
    ProgressNote,
    RunStarted,
    StageStarted,
)
from matrix.record.run_model import StageRecord
from matrix.record.states import REUSED_EVIDENCE, Evidence, State
from matrix.side_failures import take_side_failures
from reports.progress import RunProgress, _LiveDisplay, display_progress
from tests.fakes.runs import a_cell, the_story

STARTED = RunStarted("one", Path("runs/one"), 98, 8)
FAILED = CellFinished(a_cell(state=State.FAIL), "vfio.h: weak declaration")


class Tty(StringIO):
    """A terminal as far as anybody asks."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_terminal() -> Console:
    return Console(file=Tty(), force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})


def told_by(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def plain(*events: ProgressEvent, console: Console | None = None) -> str:
    used = console or Console(file=StringIO(), force_terminal=False, width=40)
    with display_progress(used) as emit:
        for event in events:
            emit(event)
    return told_by(used)


def test_without_a_terminal_each_finished_cell_is_a_line() -> None:
    assert plain(STARTED, StageStarted("l", "c", "focus"), CellFinished(a_cell()), LaneFinished("l")) == (
        "run one: 98 cells in 8 lanes, kept in runs/one\n"
        "[ 1/98] pass  powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n  9.4 s\n"
    )


@pytest.mark.parametrize("evidence", sorted(REUSED_EVIDENCE))
def test_a_cell_that_was_not_made_shows_why_in_place_of_seconds(evidence: Evidence) -> None:
    lines = plain(STARTED, CellFinished(a_cell(evidence=evidence))).splitlines()
    assert lines[1].endswith(f"VFIO=n  {evidence}")


def test_an_untried_cell_shows_its_reason_and_its_title_as_what_was_said_before() -> None:
    stopped = CellFinished(a_cell(state=State.OOM, reason="ran out of memory"), "cc1: Killed")
    lines = plain(STARTED, stopped).splitlines()
    assert lines[1].endswith("  ran out of memory")
    assert lines[2:] == ["      said before it was stopped: cc1: Killed"]


def test_a_failing_cell_shows_its_title_and_an_unreachable_one_its_reason() -> None:
    gone = a_cell(state=State.UNREACHABLE, reason="KVM has no m on arm64")
    lines = plain(STARTED, FAILED, CellFinished(gone)).splitlines()
    assert lines[2] == "      vfio.h: weak declaration"
    assert lines[3].startswith("[ 2/98] unreachable  ")
    assert lines[3].endswith("  KVM has no m on arm64")


def test_output_is_told_apart_from_notes() -> None:
    assert plain(ProgressNote("building gcc-14"), OutputLine("Step 1")) == "building gcc-14\n  Step 1\n"


def test_markup_and_control_characters_are_only_text() -> None:
    told = plain(
        ProgressNote("[bold]x[/nope]"), OutputLine("\x1b[2Jgone\x07"), CellFinished(a_cell("[red]"), "[/]")
    )
    assert told.startswith("[bold]x[/nope]\n  gone\ufffd\n[1/?] pass  [red]/gcc-14")


def test_every_line_is_out_as_soon_as_it_is_said() -> None:
    flushed: list[str] = []

    class Pipe(StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    with display_progress(Console(file=Pipe(), force_terminal=False)) as emit:
        emit(ProgressNote("first"))
        assert flushed[-1] == "first\n"


def test_a_dumb_terminal_gets_plain_lines() -> None:
    console = Console(file=Tty(), force_terminal=True, _environ={"TERM": "dumb"})
    assert plain(ProgressNote("words"), console=console) == "words\n"


def test_colour_forced_on_a_pipe_moves_no_cursor() -> None:
    console = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    assert "\x1b[?25l" not in plain(STARTED, ProgressNote("words"), console=console)


def test_in_a_terminal_notes_and_failures_scroll_and_passing_cells_only_count() -> None:
    told = plain(
        ProgressNote("building gcc-14"), STARTED, CellFinished(a_cell("s390")), FAILED, console=a_terminal()
    )
    assert "building gcc-14" in told
    assert "vfio.h: weak declaration" in told
    assert "s390/gcc-14" not in told


def test_in_a_terminal_the_lanes_the_counts_and_the_time_are_seen() -> None:
    clock, console = Clock(), a_terminal()
    with display_progress(console, clock) as emit:
        emit(STARTED)
        emit(StageStarted("powerpc/gcc-14", "powerpc/gcc-14/defconfig/KVM=y", "focus"))
        emit(CellFinished(a_cell()))
        clock.now = 75
        emit(ProgressNote("drawn"))
    told = told_by(console)
    for words in (
        "1/98 cells",
        "1 min 15 s",
        "left",
        "1 pass",
        "powerpc/gcc-14/defconfig/KVM=y",
        "focus",
    ):
        assert words in told


def test_with_more_lanes_than_lines_the_rest_is_counted() -> None:
    console = a_terminal()
    with display_progress(console) as emit:
        emit(STARTED)
        for number in range(40):
            emit(StageStarted(f"lane {number}", "cell", "focus"))
        emit(ProgressNote("drawn"))
    assert "and 22 more lanes" in told_by(console)


def test_the_remaining_time_follows_from_the_finished_cells_and_the_lanes_at_work() -> None:
    progress = RunProgress(Clock())
    progress.apply_event(RunStarted("one", Path(), 10, 8))
    assert progress.estimate_remaining() is None
    for lane in ("a", "b"):
        progress.apply_event(StageStarted(lane, "cell", "focus"))
        progress.apply_event(CellFinished(a_cell()))
    assert progress.estimate_remaining() == pytest.approx(9.4 * 8 / 2)


def test_a_resumed_run_counts_what_was_finished_before_and_estimates_by_what_is_made_now() -> None:
    begun = RunStarted("one", Path("runs/one"), 10, 2, (State.PASS,) * 5 + (State.FAIL,))
    progress = RunProgress(Clock())
    for event in (begun, StageStarted("a", "cell", "focus"), CellFinished(a_cell())):
        progress.apply_event(event)
    assert (progress.finished_count, progress.count_states()[State.FAIL]) == (7, 1)
    assert progress.estimate_remaining() == pytest.approx(9.4 * 3)
    shown = plain(begun, CellFinished(a_cell()))
    assert "run one: 10 cells in 2 lanes, 6 finished before, kept in runs/one" in shown
    assert "[ 7/10]" in shown


def test_what_other_runs_took_is_no_time_of_this_one() -> None:
    progress = RunProgress(Clock())
    progress.apply_event(STARTED)
    progress.apply_event(StageStarted("l", "c", "focus"))
    stages = (
        StageRecord(name="configure", state=State.PASS, command="make", seconds=0.5),
        StageRecord(name="focus", state=State.PASS, command="make", seconds=90.0),
    )
    progress.apply_event(CellFinished(a_cell(stages=stages, evidence=Evidence.REMEMBERED)))
    assert progress.estimate_remaining() == pytest.approx(0.5 * 97)


def test_nothing_remains_when_all_cells_are_done() -> None:
    progress = RunProgress(Clock())
    progress.apply_event(RunStarted("one", Path(), 1, 1))
    progress.apply_event(CellFinished(a_cell()))
    assert progress.estimate_remaining() is None


@pytest.mark.parametrize("terminal", [False, True])
def test_lanes_may_emit_at_once(*, terminal: bool) -> None:
    console = a_terminal() if terminal else Console(file=StringIO(), force_terminal=False)
    cells = the_story().cells

    def lane(emit: EventSink, number: int) -> None:
        for cell in cells[number::8]:
            emit(StageStarted(str(number), cell.id, "focus"))
            emit(CellFinished(cell, "title"))

    with display_progress(console) as emit:
        emit(RunStarted("one", Path("runs/one"), len(cells), 8))
        threads = [threading.Thread(target=lane, args=(emit, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert not any(thread.is_alive() for thread in threads)
    told = told_by(console)
    assert terminal or f"[{len(cells)}/{len(cells)}]" in told


def test_printing_never_holds_what_the_refresher_waits_for() -> None:
    stuck: list[bool] = []

    class Refreshed(Tty):
        def write(self, text: str) -> int:
            refresher = threading.Thread(target=display.render, daemon=True)
            refresher.start()
            refresher.join(timeout=2)
            stuck.append(refresher.is_alive())
            return super().write(text)

    display = _LiveDisplay(Console(file=Refreshed(), force_terminal=True), RunProgress(Clock()))
    display.show_event(FAILED)
    assert stuck
    assert not any(stuck)


def test_the_display_is_gone_when_the_job_raises() -> None:
    console = a_terminal()

    def job() -> None:
        with display_progress(console) as emit:
            emit(STARTED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job()
    assert told_by(console).rstrip().endswith("\x1b[2K")


def test_the_second_run_of_a_verdict_counts_from_one() -> None:
    progress = RunProgress(lambda: 0.0)
    for run in ("before", "after"):
        progress.apply_event(RunStarted(run, Path(run), 2, 1))
        progress.apply_event(CellFinished(a_cell(), ""))
        assert (progress.finished_count, progress.total) == (1, 2)


def test_no_event_reaches_a_terminal_as_a_command() -> None:
    word = "a\x1b[31mb\x9bc\x07d\re"
    events: list[ProgressEvent] = [
        ProgressNote(word),
        OutputLine(word),
        RunStarted(word, Path(f"runs/{word}"), 1, 1),
        CellFinished(a_cell(state=State.FAIL, reason=word), word),
    ]
    shown = plain(*events)
    assert "ab" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\x07", "\r"}


def test_a_plan_is_kept_nowhere() -> None:
    assert plain(RunStarted("one", None, 2, 1)) == "run one: 2 cells in 1 lane\n"


def test_a_display_that_fails_is_a_side_failure_and_the_job_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.progress._format_note", lambda _: 1 / 0)
    assert plain(STARTED, FAILED).endswith("vfio.h: weak declaration\n")
    assert [str(error) for error in take_side_failures()] == [
        "the progress could not be shown: ZeroDivisionError: division by zero"
    ]
