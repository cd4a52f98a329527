"""Lanes side by side whose makes share one pool of compile jobs, with an engine in memory."""

from pathlib import Path

import pytest

from matrix.commands import run
from matrix.engine.job_pool import JobPool
from matrix.engine.protocol import ContainerResult
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import TWO_LANES, Desk, states

BOTH = ["gcc-14,clang-19"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(run, "shares_kernel", lambda *_: True)
    desk = Desk(tmp_path)
    desk.asks(TWO_LANES)
    return desk


def pooled(desk: Desk) -> list[bool]:
    return [any(mount.path == "/jobs" for mount in job.container.mounts) for job in desk.kernel.jobs]


def test_makes_share_the_pool_and_the_record_has_what_a_person_types(desk: Desk) -> None:
    done = desk.run(toolchain=BOTH, lanes=["2"], jobs=["6"])
    assert states(done) == ["empty", "pass"] * 2
    assert all(pooled(desk))
    for job in desk.kernel.jobs:
        assert job.container.env["MAKEFLAGS"] == "-j6 --jobserver-auth=fifo:/jobs"
        assert not [word for word in job.command if word.startswith("-j")]
    commands = {stage.command for cell in done.cells for stage in cell.stages}
    assert all("make -C /src O=/build -k -j6 --output-sync=target " in command for command in commands)
    assert not [path for path in desk.lanes() if path.startswith("jobs-")]


def test_a_lane_alone_needs_no_pool_and_neither_does_a_plan(desk: Desk) -> None:
    desk.run(toolchain=BOTH, lanes=["1"], jobs=["6"])
    assert not any(pooled(desk))
    desk.plan(toolchain=BOTH, lanes=["2"], jobs=["6"])
    assert not any(pooled(desk))


def test_an_image_of_others_may_have_a_make_that_cannot_take_part(desk: Desk) -> None:
    mine = '[toolchains.gcc-14]\nimage = "mine:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    desk.asks(TWO_LANES + mine)
    desk.run(toolchain=BOTH, lanes=["2"], jobs=["6"])
    assert not any(pooled(desk))


@pytest.mark.parametrize(
    ("ending", "is_replaced"),
    [(2, False), (137, True), (ContainerResult(0, 1.0, timed_out=True), True)],
)
def test_a_make_that_was_killed_leaves_new_tokens(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, ending: int | ContainerResult, *, is_replaced: bool
) -> None:
    replaced: list[JobPool] = []

    def note(pool: JobPool) -> None:
        replaced.append(pool)

    monkeypatch.setattr(JobPool, "replace_tokens", note)
    desk.kernel.before = lambda job: ending if is_build(job) else None
    desk.run(toolchain=BOTH, lanes=["2"], retries=["0"])
    assert bool(replaced) == is_replaced


def is_build(job: Job) -> bool:
    return not job.configures and not job.is_dry_run
