"""What tests of runs on other machines share."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial

from matrix.cluster.visits import Cluster
from matrix.commands.cluster_run import work_on_cluster
from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.run import run_matrix
from matrix.commands.settings import GivenSettings, resolve_profile
from matrix.engine.protocol import ContainerResult
from matrix.errors import EngineError
from matrix.findings.stored_run import StoredRun
from tests.fakes.cluster import FakeCluster
from tests.fakes.kernel import Job
from tests.unit.commands.test_merge import MergingDesk


class ClusterDesk(MergingDesk):
    """A desk whose lanes are worked on by workers, each on a machine with nothing in its cache."""

    def start_workers(self, count: int, slots: int = 1) -> FakeCluster:
        return FakeCluster({str(number): self.machine(str(number)) for number in range(count)}, slots)

    def break_machine(self, name: str) -> None:
        """Let every container that builds for this machine's cache end with a fault of its engine."""

        def break_down(job: Job) -> int | ContainerResult | None:
            if f"cache-{name}" in str(job.host("/build")):
                raise EngineError("the engine of this machine is out of order")
            return None

        self.kernel.before = break_down

    def count_results(self) -> Counter[str]:
        """How many results each cell has in the journal of the last run."""
        lines = (self.directory / "cells.jsonl").read_text().splitlines()
        cells = [json.loads(line)["cell"] for line in lines]
        return Counter(cell["id"] for cell in cells if cell["state"] != "not-run")

    def run_there(self, cluster: Cluster, **options: list[str]) -> StoredRun:
        """A run on the workers of a cluster."""
        environment = replace(self.world, work_on_lanes=partial(work_on_cluster, cluster))
        profile = resolve_profile(self._settled(options), {})
        self.stored = run_matrix(profile, self._tell, ["test"], environment)
        self.directory = self.stored.directory
        return self.stored

    def resume_there(self, cluster: Cluster, **options: list[str]) -> StoredRun:
        """The same run goes on."""
        environment = replace(self.world, work_on_lanes=partial(work_on_cluster, cluster))
        given = GivenSettings({name.replace("_", "-"): words for name, words in options.items()}, {})
        found = find_resumption(str(self.directory), given, self.place / "runs")
        assert found is not None
        self.stored = resume_run(found, self._tell, environment)
        return self.stored
