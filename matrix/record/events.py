"""What happens while a job goes on, as values. Jobs emit them; only reports turn them into text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.record.run_model import Cell


@dataclass(frozen=True)
class ProgressNote:
    """A sentence for the user: a step of the preparation that began or ended."""

    text: str


@dataclass(frozen=True)
class OutputLine:
    """A line of some long step's own output (an image build, an installation)."""

    text: str


@dataclass(frozen=True)
class RunStarted:
    """The plan is known: how many cells, and where the run is written."""

    run: str
    directory: Path
    cells: int
    lanes: int


@dataclass(frozen=True)
class StageStarted:
    """A lane turned to something: the id of a cell, and ``configure`` or the stage."""

    lane: str
    cell: str
    stage: str


@dataclass(frozen=True)
class LaneFinished:
    """A lane has no more to do."""

    lane: str


@dataclass(frozen=True)
class CellFinished:
    """A cell has its outcome. ``title`` is the first error of a failing one."""

    cell: Cell
    title: str = ""


ProgressEvent = ProgressNote | OutputLine | RunStarted | StageStarted | LaneFinished | CellFinished
EventSink = Callable[[ProgressEvent], None]
