"""A run that is killed at any moment, and resumed, equals one that nobody disturbed, but for times.

`KMATRIX_FAKE_KILLS` is at how many moments one is killed, a multiple of four.
"""

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matrix.engine.protocol import ContainerResult
from matrix.record.run_directory import RunDirectory
from tests.fakes.described_runs import describe_run
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.run_desk import GROUP, PROFILE, VFIO, WARNING, in_cell

KILLS = int(os.environ.get("KMATRIX_FAKE_KILLS", "40"))
MATRIX = """\
TWIN = ["n", "y"]
MODULES = ["n", "y"]
VFIO = ["m", "y"]
GROUP = ["n", "y"]
[knobs.TWIN.x86]
n = { set = {}, proof = {} }
y = { set = {}, proof = {} }
"""
"""Of each pair of twins one cell is built. Some warn, some fail, some are unreachable, one takes too long."""


class KilledDesk(ResumedDesk):
    """A desk in a process that is killed on its way."""

    def __init__(self, place: Path) -> None:
        place.mkdir(exist_ok=True)
        super().__init__(place)
        select = 'select = ["toolchain=gcc-14", "toolchain=clang-19,TWIN=n,GROUP=y"]\n'
        self.asks(MATRIX, select + PROFILE.replace('["gcc-14"]', '["gcc-14", "clang-19"]'))
        self.says(GROUP, lambda _: [WARNING.replace("vfio.c", "group.c")], symbol="GROUP")
        self.says(VFIO, _refuse_groups, sees=("MODULES", "GROUP"))
        slow = in_cell("GROUP=n,MODULES=y,TWIN=n,VFIO=m", lambda _: ContainerResult(137, 1.0, timed_out=True))
        self.kernel.before = slow

    def finish(self) -> None:
        """Resume what there is, or begin where there is nothing."""
        if (self.place / "runs/latest/run.json").exists():
            self.resume()
        else:
            self.run()


def _refuse_groups(config: dict[str, str]) -> list[str]:
    # Without a place in the tree, so that the memory does not keep it: only the record has it for its twin.
    is_refused = config["GROUP"] == "y" == config["MODULES"]
    return ["/src/drivers/vfio/gone.h:7:5: error: 'x' undeclared"] if is_refused else []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    desk = KilledDesk(tmp_path_factory.mktemp("undisturbed"))
    desk.run()
    return describe_run(RunDirectory.load(desk.directory), desk.place)


@pytest.fixture(scope="module")
def accesses(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many accesses to files an undisturbed run takes."""
    desk = KilledDesk(tmp_path_factory.mktemp("counted"))
    return desk.count_accesses(desk.run)


@pytest.mark.parametrize("group", range(4))
def test_a_run_that_was_killed_and_resumed_is_the_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, Any], accesses: int, group: int
) -> None:
    killed = 0
    for number in range(group, KILLS, 4):
        desk = KilledDesk(tmp_path / str(number))
        killed += desk.run_apart(desk.run, accesses * number // KILLS)
        desk.finish()
        assert describe_run(RunDirectory.load(desk.directory), desk.place) == undisturbed, number
    assert killed == KILLS // 4


def test_a_run_may_be_killed_again_while_it_is_resumed(
    tmp_path: Path, undisturbed: dict[str, Any], accesses: int
) -> None:
    chance = random.Random(1)
    for number in range(10):
        desk = KilledDesk(tmp_path / str(number))
        for _ in range(3):
            desk.run_apart(desk.finish, chance.randrange(accesses))
        desk.finish()
        assert describe_run(RunDirectory.load(desk.directory), desk.place) == undisturbed, number


def test_lanes_that_work_side_by_side_are_gone_on_with_as_well(tmp_path: Path, accesses: int) -> None:
    described = []
    for number in range(13):
        desk = KilledDesk(tmp_path / str(number))
        begin = partial(desk.run, lanes=["2"])
        if number and not desk.run_apart(begin, accesses * number // 14):
            continue
        if (desk.place / "runs/latest/run.json").exists():
            desk.resume()
        else:
            begin()
        described.append(describe_run(RunDirectory.load(desk.directory), desk.place))
    assert len(described) > 10
    assert all(one == described[0] for one in described)
