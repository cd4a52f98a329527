"""From the task to the container's start: how many of kmatrix's own calls lie between."""

import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

import tasks
from matrix.commands.run import run_matrix
from matrix.engine.protocol import LABEL, ContainerResult, ContainerSpec, LineCallback
from matrix.tasks import main_job
from tests.fakes.engine import FakeEngine
from tests.unit.commands.run_desk import Desk

ROOT = Path(__file__).parents[2]
MOST_CALLS = 10


def own_calls(frame: FrameType | None) -> list[str]:
    """The functions of kmatrix's own that are running on this stack, the innermost first."""
    names = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path == ROOT / "tasks.py" or path.is_relative_to(ROOT / "matrix"):
            names.append(f"{path.stem}.{frame.f_code.co_name}")
            if names[-1] == "main_job.run":
                return names
        frame = frame.f_back
    return names


class MeasuringEngine(FakeEngine):
    """``calls`` has, for each container, what was called from the task's body to ``run_container``."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine.handler, images=engine._ids)
        self.calls: list[tuple[ContainerSpec, list[str]]] = []

    def run_container(
        self, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        main = threading.main_thread()
        calls = ["engine.run_container", *own_calls(sys._getframe())]
        if threading.current_thread() is not main:
            # A lane's thread begins where the main thread waits for it.
            calls += own_calls(sys._current_frames()[main.ident or 0])
        self.calls.append((container, calls))
        return super().run_container(container, on_line, cancel)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MeasuringEngine]:
    """The engine of a whole ``run``, after it."""
    desk = Desk(tmp_path)
    measuring = MeasuringEngine(desk.engine)
    environment = type(desk.world)(measuring, desk.world.cache, desk.world.runs)
    monkeypatch.setattr(main_job, "run_matrix", partial(run_matrix, environment=environment))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    tasks.program.run(["kmatrix", "run", "--profile", str(desk.profile), "--source", str(desk.tree)])
    yield measuring
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_few_calls_lie_between_the_task_and_a_containers_start(engine: MeasuringEngine) -> None:
    assert {calls[-1] for _, calls in engine.calls} == {"main_job.run"}
    for _, calls in engine.calls:
        assert len(calls) <= MOST_CALLS, calls


def test_every_kind_of_step_was_measured(engine: MeasuringEngine) -> None:
    in_cells = [
        (container.command[-1], calls)
        for container, calls in engine.calls
        if f"{LABEL}.cell" in container.labels
    ]
    assert {target for target, _ in in_cells} >= {"defconfig", "olddefconfig", "drivers/vfio/"}
    for _, calls in in_cells:
        assert {"lane_worker.run", "lane_worker.run_lanes", "run.run_matrix"} <= set(calls)
