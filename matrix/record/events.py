"""Events of a command at work, as values. Commands emit them; only reports turn them into text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.record.run_model import Cell
from matrix.record.states import State


@dataclass(frozen=True)
class ProgressNote:
    """A sentence for the user on a step of the preparation."""

    text: str


@dataclass(frozen=True)
class OutputLine:
    """A line of a long step's own output (an image build, an installation)."""

    text: str


@dataclass(frozen=True)
class RunStarted:
    """The plan is made: how many cells it has and how many lanes are to be worked on, and where the run is
    kept; None where it is not. ``finished``: of a resumed run, the state of each cell that has its result
    already."""

    run: str
    directory: Path | None
    cells: int
    lanes: int
    finished: tuple[State, ...] = ()


@dataclass(frozen=True)
class StageStarted:
    """A lane began a stage of a cell, or to ``configure`` it. ``cell`` is its id."""

    lane: str
    cell: str
    stage: str


@dataclass(frozen=True)
class LaneFinished:
    """A lane has finished its cells."""

    lane: str


@dataclass(frozen=True)
class CellFinished:
    """A cell has its outcome. ``title`` is the first error that its tools printed."""

    cell: Cell
    title: str = ""


ProgressEvent = ProgressNote | OutputLine | RunStarted | StageStarted | LaneFinished | CellFinished
EventSink = Callable[[ProgressEvent], None]
