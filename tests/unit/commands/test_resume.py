"""A run that was stopped goes on: finished cells stay, and the rest is built."""

from pathlib import Path

import pytest

from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.settings import GivenSettings
from matrix.record.events import CellFinished
from matrix.record.run_model import Run
from tests.unit.commands.test_run import Desk, states


class ResumedDesk(Desk):
    """A desk whose run is stopped on its way, and goes on. ``variables`` are those of its environment."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.variables: dict[str, str] = {}

    def resume(self, spec: str = "latest", **options: list[str]) -> Run:
        self.kernel.jobs.clear()
        given = {name.replace("_", "-"): words for name, words in options.items()}
        resumption = find_resumption(spec, GivenSettings(given, self.variables), self.world.runs)
        assert resumption is not None
        self.stored = resume_run(resumption, self._tell, self.world)
        self.directory = self.stored.directory
        return self.stored.run

    def interrupt_after(self, cells: int, **options: list[str]) -> Run:
        """A run with Ctrl-C once so many cells are finished."""
        left = cells

        def stop(event: object) -> None:
            nonlocal left
            if isinstance(event, CellFinished):
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt

        self.on_event = stop
        done = self.run(**options)
        self.on_event = self.events.append
        return done


@pytest.fixture
def desk(tmp_path: Path) -> ResumedDesk:
    return ResumedDesk(tmp_path)


def test_finished_cells_stay_and_the_rest_is_built(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3)
    assert states(stopped) == ["empty", "unreachable", "pass", "not-run", "not-run", "not-run"]
    done = desk.resume()
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert done.cells[:3] == stopped.cells[:3]
    assert {job.cell for job in desk.kernel.jobs} == {cell.id for cell in done.cells[3:]}
    assert (done.id, done.started, done.interrupted) == (stopped.id, stopped.started, False)
