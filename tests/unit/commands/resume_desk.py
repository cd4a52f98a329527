"""Runs that are stopped and go on: what tests of resuming share."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.settings import GivenSettings
from matrix.errors import RequestError
from matrix.record.events import CellFinished, ProgressNote
from matrix.record.run_model import Run
from tests.fakes.sequences import count_accesses, die_after
from tests.unit.commands.run_desk import (
    CELL,
    Desk,
)

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

    def count_accesses(self, work: Callable[[], object]) -> int:
        """Do this in a process of its own; how many accesses to files it takes."""
        counted = self.place / "accesses"

        def work_and_count() -> None:
            count = count_accesses()
            work()
            number = count()
            counted.write_text(str(number))

        self.fork(work_and_count)
        return int(counted.read_text())

    def built(self) -> set[str]:
        """The cells that make built last, without what they have in common."""
        return {job.cell.removeprefix(CELL) for job in self.kernel.ran(configures=False)}

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ProgressNote)]


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


def refuse(desk: ResumedDesk, spec: str = "latest", /, **options: list[str]) -> str:
    """What is said of a run that cannot go on. Nothing in its directory is touched."""
    directory = desk.world.runs / spec
    before = {path: path.read_bytes() for path in directory.glob("*") if path.is_file()}
    with pytest.raises(RequestError) as caught:
        desk.resume(spec, **options)
    assert {path: path.read_bytes() for path in directory.glob("*") if path.is_file()} == before
    assert caught.value.hint
    return str(caught.value)
