"""A run whose lanes other machines work on: what comes of it is what one machine would have made."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matrix.commands.cluster_run import work_on_cluster
from matrix.commands.run import run_matrix
from matrix.commands.settings import resolve_profile
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from tests.fakes.cluster import FakeCluster
from tests.unit.commands.run_desk import ERROR, GROUP, VFIO, WARNING, always
from tests.unit.commands.test_merge import MergingDesk
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS


class ClusterDesk(MergingDesk):
    """A desk whose lanes are worked on by workers, each on a machine with nothing in its cache."""

    def start_workers(self, count: int, slots: int = 1) -> FakeCluster:
        self.cluster = FakeCluster({str(n): self.machine(str(n)) for n in range(count)}, slots)
        return self.cluster

    def run_there(self, **options: list[str]) -> StoredRun:
        """A run on the workers that were started."""
        environment = replace(self.world, work_on_lanes=partial(work_on_cluster, self.cluster))
        self.stored = run_matrix(
            resolve_profile(self._settled(options), {}), self._tell, ["test"], environment
        )
        self.directory = self.stored.directory
        return self.stored

    def describe_there(self, stored: StoredRun) -> dict[str, Any]:
        return self.describe(stored)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ClusterDesk]:
    made = ClusterDesk(tmp_path)
    made.asks(NINE, TWO_TOOLCHAINS)
    made.says(VFIO, lambda config: [ERROR] if config["MODULES"] == "n" else [WARNING], sees=("MODULES",))
    made.says(GROUP, always(WARNING.replace("vfio.c", "group.c")), symbol="GROUP", sees=("MODULES",))
    yield made
    if hasattr(made, "cluster"):
        made.cluster.close()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_make_the_run_of_one_machine(desk: ClusterDesk, count: int) -> None:
    desk.start_workers(count)
    there = desk.run_there()
    described = desk.describe_there(there)
    whole = desk.run()
    import sys

    sys.path.insert(0, "/tmp/kx/cluster")
    from diff import diff

    diff(described, desk.describe(desk.stored))
    assert described == desk.describe(desk.stored)
    assert {State.FAIL, State.WARN, State.EMPTY, State.UNREACHABLE} == {cell.state for cell in whole.cells}
