"""What happens while a job goes on: a live display in a terminal, plain lines everywhere else."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from matrix.errors import MachineError
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
from matrix.record.states import QUIET_STATES, UNTRIED_STATES, State
from matrix.side_failures import record_side_failure
from reports.formatting import format_count, format_duration
from reports.style import (
    STATE_STYLES,
    StyledLine,
    format_state_counts,
    join_lines,
    print_lines,
    replace_unencodable,
)

SecondsClock = Callable[[], float]
T = TypeVar("T")
R = TypeVar("R")
_RESERVED_LINES = 6


@contextmanager
def display_progress(console: Console, clock: SecondsClock = time.monotonic) -> Iterator[EventSink]:
    """Show a job's events, from any thread, until the ``with`` block ends.

    ``clock`` gives seconds. In a terminal the display vanishes at the end, and what scrolled stays. The job
    goes on without a display that fails, which is a side failure.
    """
    replace_unencodable(console)
    # CI systems force colour on pipes: only a real terminal can move its cursor.
    if not (console.is_interactive and console.file.isatty()):
        yield _survive_display(_PlainDisplay(console, RunProgress(clock)).show_event, None)
        return
    display = _LiveDisplay(console, RunProgress(clock))
    nothing: RenderableType = ""
    render = _survive_display(lambda _: display.render(), nothing)
    with Live(console=console, get_renderable=lambda: render(None), refresh_per_second=4, transient=True):
        yield _survive_display(display.show_event, None)


def _survive_display(show: Callable[[T], R], nothing: R) -> Callable[[T], R]:
    """``show`` that gives ``nothing`` where it fails."""

    def show_or_give_up(item: T) -> R:
        try:
            return show(item)
        except Exception as error:  # noqa: BLE001 - no error of a display may cost the hours of a run
            record_side_failure(
                MachineError(
                    f"the progress could not be shown: {type(error).__name__}: {error}",
                    "the work itself went on",
                )
            )
            return nothing

    return show_or_give_up


@dataclass
class RunProgress:
    """Where a run stands, kept up to date by its events. Its user holds a lock around it."""

    clock: SecondsClock
    total: int = 0
    started: float | None = None
    counts: Counter[State] = field(default_factory=Counter)
    found_count: int = 0
    seconds: float = 0.0
    lanes: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    output: str = ""

    def apply_event(self, event: ProgressEvent) -> None:
        """Update the state by one event."""
        match event:
            case RunStarted(cells=cells, finished=finished):
                self.total, self.started, self.output = cells, self.clock(), ""
                # A verdict takes several runs, and each counts from one.
                self.counts, self.seconds = Counter(finished), 0.0
                self.found_count = len(finished)
            case StageStarted(lane, cell, stage):
                self.lanes[lane] = (cell, stage, self.clock())
            case LaneFinished(lane):
                self.lanes.pop(lane, None)
            case CellFinished(cell):
                self.counts[cell.state] += 1
                self.seconds += cell.own_seconds
            case OutputLine(text):
                self.output = text
            case ProgressNote():
                self.output = ""

    def count_states(self) -> dict[State, int]:
        """How many finished cells are in each state that occurs."""
        return {state: self.counts[state] for state in State if self.counts[state]}

    @property
    def finished_count(self) -> int:
        """How many cells have their outcome."""
        return self.counts.total()

    def estimate_remaining(self) -> float | None:
        """Seconds that the other cells may take, estimated from the finished ones; None while unknown."""
        left = self.total - self.finished_count
        if not self.seconds or left <= 0:
            return None
        made = self.finished_count - self.found_count
        return self.seconds / made * left / max(1, len(self.lanes))

    def measure_elapsed(self) -> float:
        """Seconds since the plan was known."""
        return 0.0 if self.started is None else self.clock() - self.started


class _PlainDisplay:
    """Lines that stay: one per note, per line of output, per finished cell."""

    def __init__(self, console: Console, progress: RunProgress) -> None:
        self._console = console
        self._progress = progress
        self._lock = threading.Lock()

    def show_event(self, event: ProgressEvent) -> None:
        with self._lock:
            self._progress.apply_event(event)
            lines = self._format_event(event)
            if lines:
                print_lines(self._console, lines)

    def _format_event(self, event: ProgressEvent) -> list[StyledLine]:
        if isinstance(event, OutputLine):
            return [StyledLine(f"  {event.text}", "dim")]
        if isinstance(event, CellFinished):
            done, total = self._progress.finished_count, self._progress.total or "?"
            head, *rest = _format_cell(event)
            count = StyledLine(f"[{done:>{len(str(total))}}/{total}] ", "dim")
            return [count.append(head), *(StyledLine("", "dim").append(line) for line in rest)]
        return _format_note(event)


class _LiveDisplay:
    """What matters scrolls by; below it stands the progress, drawn anew four times a second."""

    def __init__(self, console: Console, progress: RunProgress) -> None:
        self._console = console
        self._progress = progress
        self._lock = threading.Lock()

    def show_event(self, event: ProgressEvent) -> None:
        with self._lock:
            self._progress.apply_event(event)
        # Printed without the lock: the refresher holds rich's own locks while it waits for ours.
        if isinstance(event, CellFinished):
            lines = [] if event.cell.state in QUIET_STATES else _format_cell(event)
        else:
            lines = _format_note(event)
        if lines:
            print_lines(self._console, lines)

    def render(self) -> RenderableType:
        with self._lock:
            return Group(*self._build_parts())

    def _build_parts(self) -> Iterator[RenderableType]:
        if self._progress.total:
            yield StyledLine()
            yield self._render_progress()
            yield join_lines(format_state_counts(self._progress.count_states(), self._console.width))
            yield from self._render_lanes()
        if self._progress.output:
            output = StyledLine(self._progress.output, "dim")
            output.no_wrap, output.overflow = True, "ellipsis"
            yield output

    def _render_progress(self) -> RenderableType:
        progress = self._progress
        remaining = progress.estimate_remaining()
        elapsed = _format_seconds(progress.measure_elapsed())
        counts = f"{progress.finished_count}/{progress.total} cells   {elapsed}"
        if remaining is not None:
            counts += f", about {_format_seconds(remaining)} left"
        line = Table.grid(padding=(0, 2), expand=False)
        line.add_row(
            ProgressBar(total=progress.total, completed=progress.finished_count, width=24), StyledLine(counts)
        )
        return line

    def _render_lanes(self) -> Iterator[RenderableType]:
        most = max(1, self._console.height - _RESERVED_LINES)
        lanes = list(self._progress.lanes.values())
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, justify="right", style="dim")
        for cell, stage, since in lanes[:most]:
            seconds = _format_seconds(self._progress.clock() - since)
            table.add_row(StyledLine(cell), StyledLine(stage), StyledLine(seconds))
        yield table
        if len(lanes) > most:
            yield StyledLine(f"and {len(lanes) - most} more lanes", "dim")


def _format_seconds(seconds: float) -> str:
    """Whole seconds: tenths only flicker."""
    return format_duration(round(seconds)).replace(".0 s", " s")


def _format_note(event: ProgressEvent) -> list[StyledLine]:
    if isinstance(event, ProgressNote):
        return [StyledLine(event.text)]
    if isinstance(event, RunStarted):
        counts = f"{format_count(event.cells, 'cell')} in {format_count(event.lanes, 'lane')}"
        kept = f", kept in {event.directory}" if event.directory else ""
        found = f", {len(event.finished)} finished before" if event.finished else ""
        return [StyledLine(f"run {event.run}: {counts}{found}{kept}")]
    return []


def _format_cell(event: CellFinished) -> list[StyledLine]:
    """``pass  powerpc/gcc-14/defconfig/KVM=y  9.4 s`` and the reason, or the title on a line of its own.

    A cell for which no make ran has the word for that in place of its seconds.
    """
    cell = event.cell
    line = StyledLine().append(f"{cell.state:<4}  ", STATE_STYLES[cell.state]).append(cell.id)
    took = cell.evidence if cell.is_reused else format_duration(cell.seconds)
    line.append(f"  {took}" if cell.stages else "", "dim")
    if event.title and cell.state not in UNTRIED_STATES:
        return [line, StyledLine(f"      {event.title}")]
    line.append(f"  {cell.reason}" if cell.reason else "", "dim")
    return [line, *([StyledLine(f"      said before it was stopped: {event.title}")] if event.title else [])]
