"""What happens while a job goes on: a live display in a terminal, plain lines everywhere else."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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
from matrix.record.outcome import State
from reports.look import STYLES, forgive, say, tally
from reports.text import clean, duration, plural

Clock = Callable[[], float]
_QUIET = frozenset({State.PASS, State.UNREACHABLE})
_ROOM_FOR_THE_REST = 6


@contextmanager
def live_display(console: Console, clock: Clock = time.monotonic) -> Iterator[EventSink]:
    """Takes a job's events, from any thread, and shows them until it is left.

    ``clock`` gives seconds. In a terminal the display vanishes at the end, and what scrolled stays.
    """
    forgive(console)
    # CI systems force colour on pipes: only a real terminal can move its cursor.
    if not (console.is_interactive and console.file.isatty()):
        yield _Plain(console, Progress(clock)).emit
        return
    display = _Display(console, Progress(clock))
    with Live(console=console, get_renderable=display.render, refresh_per_second=4, transient=True):
        yield display.emit


@dataclass
class Progress:
    """Where a run stands, kept up to date by its events. Its user holds a lock around it."""

    clock: Clock
    total: int = 0
    started: float | None = None
    counts: Counter[State] = field(default_factory=Counter)
    seconds: float = 0.0
    lanes: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    output: str = ""

    def take(self, event: ProgressEvent) -> None:
        """Follow one event."""
        match event:
            case RunStarted(cells=cells):
                self.total, self.started, self.output = cells, self.clock(), ""
                # A verdict takes several runs, and each counts from one.
                self.counts, self.seconds = Counter(), 0.0
            case StageStarted(lane, cell, stage):
                self.lanes[lane] = (cell, stage, self.clock())
            case LaneFinished(lane):
                self.lanes.pop(lane, None)
            case CellFinished(cell):
                self.counts[cell.state] += 1
                self.seconds += cell.seconds
            case OutputLine(text):
                self.output = text
            case ProgressNote():
                self.output = ""

    def tally(self) -> dict[State, int]:
        """How many finished cells are in each state that occurs."""
        return {state: self.counts[state] for state in State if self.counts[state]}

    @property
    def finished(self) -> int:
        """How many cells have their outcome."""
        return self.counts.total()

    def remaining(self) -> float | None:
        """Seconds that the other cells may take, judged by the finished ones; None while unknown."""
        left = self.total - self.finished
        if not self.seconds or left <= 0:
            return None
        return self.seconds / self.finished * left / max(1, len(self.lanes))

    def elapsed(self) -> float:
        """Seconds since the plan was known."""
        return 0.0 if self.started is None else self.clock() - self.started


class _Plain:
    """Lines that stay: one per note, per line of output, per finished cell."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._lock = threading.Lock()

    def emit(self, event: ProgressEvent) -> None:
        with self._lock:
            self._progress.take(event)
            line = self._line(event)
            if line is not None:
                say(self._console, line)

    def _line(self, event: ProgressEvent) -> Text | None:
        if isinstance(event, OutputLine):
            return Text(f"  {clean(event.text)}", "dim")
        if isinstance(event, CellFinished):
            done, total = self._progress.finished, self._progress.total or "?"
            return Text(f"[{done:>{len(str(total))}}/{total}] ", "dim").append_text(_cell_line(event))
        return _note_line(event)


class _Display:
    """What matters scrolls by; below it stands the progress, drawn anew four times a second."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._lock = threading.Lock()

    def emit(self, event: ProgressEvent) -> None:
        with self._lock:
            self._progress.take(event)
        # Printed without the lock: the refresher holds rich's own locks while it waits for ours.
        if isinstance(event, CellFinished) and event.cell.state not in _QUIET:
            say(self._console, _cell_line(event))
        elif (line := _note_line(event)) is not None:
            say(self._console, line)

    def render(self) -> RenderableType:
        with self._lock:
            return Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        if self._progress.total:
            yield Text()
            yield self._progress_line()
            yield tally(self._progress.tally(), self._console.width)
            yield from self._lane_lines()
        if self._progress.output:
            yield Text(clean(self._progress.output), "dim", no_wrap=True, overflow="ellipsis")

    def _progress_line(self) -> RenderableType:
        progress = self._progress
        remaining = progress.remaining()
        told = f"{progress.finished}/{progress.total} cells   {_rough(progress.elapsed())}"
        if remaining is not None:
            told += f", about {_rough(remaining)} left"
        line = Table.grid(padding=(0, 2), expand=False)
        line.add_row(ProgressBar(total=progress.total, completed=progress.finished, width=24), Text(told))
        return line

    def _lane_lines(self) -> Iterator[RenderableType]:
        room = max(1, self._console.height - _ROOM_FOR_THE_REST)
        lanes = list(self._progress.lanes.values())
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, justify="right", style="dim")
        for cell, stage, since in lanes[:room]:
            seconds = _rough(self._progress.clock() - since)
            table.add_row(Text(clean(cell)), Text(clean(stage)), Text(seconds))
        yield table
        if len(lanes) > room:
            yield Text(f"and {len(lanes) - room} more lanes", "dim")


def _rough(seconds: float) -> str:
    """Whole seconds: tenths only flicker."""
    return duration(round(seconds)).replace(".0 s", " s")


def _note_line(event: ProgressEvent) -> Text | None:
    if isinstance(event, ProgressNote):
        return Text(clean(event.text))
    if isinstance(event, RunStarted):
        told = f"run {event.run}: {plural(event.cells, 'cell')} in {plural(event.lanes, 'lane')}"
        return Text(clean(f"{told}, kept in {event.directory}"))
    return None


def _cell_line(event: CellFinished) -> Text:
    """``pass  powerpc/gcc-14/defconfig/KVM=y  9.4 s``, and the reason or title where there is one."""
    cell = event.cell
    line = Text().append(f"{cell.state:<4}  ", STYLES[cell.state]).append(clean(cell.id))
    line.append(f"  {duration(cell.seconds)}" if cell.stages else "", "dim")
    if event.title:
        return line.append(f"\n      {clean(event.title)}")
    return line.append(f"  {clean(cell.reason)}" if cell.reason else "", "dim")
