"""Makes in containers of their own that share one pool of compile jobs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import pytest

from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.images import ImageRecipe
from matrix.engine.job_pool import JobPool
from matrix.engine.protocol import ContainerLimits, ContainerResult
from matrix.engine.step import Step, StepRunner
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("each_engine")]
IMAGE = ImageRecipe("gcc-14", "gcc", 14).tag
_JOB = "\t@date +'1 %s%N'; sleep 1; date +'-1 %s%N'"
RULES = "\n".join(["all: $(addprefix job,$(N))", "job%:", _JOB, ""])


class Makes:
    """Makes whose jobs only say when they begin and end, by the clock that all containers share: lines of two
    containers come in whatever order."""

    def __init__(self, pool: JobPool) -> None:
        self.pool = pool
        self.engine = connect_engine()
        self.user = choose_container_user(rootless=self.engine.query_info().rootless)
        self._changes: list[tuple[int, int]] = []

    def _hear(self, line: str) -> None:
        change, _, nanoseconds = line.partition(" ")
        if nanoseconds.isdecimal():
            self._changes.append((int(nanoseconds), int(change)))

    def take_most(self) -> int:
        """How many jobs were at work at once, at most, since this was asked before."""
        changes, self._changes = sorted(self._changes), []
        return max(accumulate(change for _, change in changes))

    def run(self, jobs: int, seconds: float = 120.0) -> ContainerResult:
        """Run a make of so many jobs, a second each."""
        names = " ".join(map(str, range(jobs)))
        script = f"printf '%s' \"$0\" >/tmp/Makefile; exec make -f /tmp/Makefile N='{names}' 2>&1"
        steps = StepRunner(self.engine, self.user, "test-pool", ContainerLimits(seconds=seconds))
        with self.pool.join() as share:
            step = Step(IMAGE, ("sh", "-c", script, RULES), (share.mount,), share.env)
            ended = steps.run(step, self._hear)
            if ended.timed_out:
                self.pool.replace_tokens()
        return ended

    def run_together(self, jobs: Sequence[int]) -> list[int]:
        with ThreadPoolExecutor(len(jobs)) as threads:
            return [ended.exit for ended in threads.map(self.run, jobs)]


@pytest.fixture
def makes(tmp_path: Path) -> Makes:
    engine = connect_engine()
    user = choose_container_user(rootless=engine.query_info().rootless)
    return Makes(JobPool(4, user, tmp_path))


def test_a_make_alone_uses_all_jobs_and_two_use_no_more_between_them(makes: Makes) -> None:
    assert makes.run(8).exit == 0
    assert makes.take_most() == 4
    assert makes.run_together([8, 8]) == [0, 0]
    assert makes.take_most() == 4


def test_a_make_that_was_killed_takes_no_jobs_from_those_after_it(makes: Makes) -> None:
    assert makes.run(400, seconds=5).timed_out
    makes.take_most()
    assert makes.run(8).exit == 0
    assert makes.take_most() == 4


def test_lanes_side_by_side_build_as_one_alone_does(kmatrix: Kmatrix) -> None:
    only = ["KVM=y,MODULES=n,VFIO=n"]
    done = kmatrix.run(source=[kmatrix.tree], select=only, jobs=["3"], lanes=["2"])
    assert {cell.state for cell in done.cells} == {State.PASS}
    for cell in done.cells:
        # What a person types to have the same.
        assert all(" -j3 " in stage.command for stage in cell.stages)
        assert "jobserver" not in (kmatrix.directory / str(cell.log)).read_text()
    assert not [*kmatrix.place.glob("cache/lanes/jobs-*")]
