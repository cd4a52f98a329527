"""A run whose lanes other machines work on: what comes of it is what one machine would have made."""

from pathlib import Path

import pytest

from matrix.record.states import State
from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import let_speak
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS


@pytest.fixture
def desk(tmp_path: Path) -> ClusterDesk:
    made = ClusterDesk(tmp_path)
    made.asks(NINE, TWO_TOOLCHAINS)
    let_speak(made)
    return made


@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_make_the_run_of_one_machine(desk: ClusterDesk, count: int) -> None:
    with desk.start_workers(count) as cluster:
        there = desk.describe(desk.run_there(cluster))
    builders = {worker for worker, method, _ in cluster.orders if method == "visit"}
    assert len(builders) == min(count, 2)
    whole = desk.run()
    assert there == desk.describe(desk.stored)
    assert {State.FAIL, State.WARN, State.EMPTY, State.UNREACHABLE} == {cell.state for cell in whole.cells}
