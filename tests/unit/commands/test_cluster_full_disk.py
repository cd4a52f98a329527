"""A worker whose disk is full at any moment of a run costs no cell: another builds what it could not."""

import os
from pathlib import Path

import pytest

from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import let_speak
from tests.unit.commands.test_run_full_disk import fill, small_disk
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.mark.parametrize("free_pages", [0, 6, 16, 40, 80])
def test_what_a_worker_with_a_full_disk_could_not_build_another_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_pages: int
) -> None:
    monkeypatch.setattr("matrix.commands.cluster_run._OPENING_PAUSE", 0.1)
    desk = ClusterDesk(tmp_path)
    desk.asks(NINE, TWO_TOOLCHAINS)
    let_speak(desk)
    with small_disk(tmp_path / "cache-0") as disk:
        fill(disk, free_pages)
        with desk.start_workers(2) as cluster:
            there = desk.describe(desk.run_there(cluster, retries=["0"]))
        results = desk.count_results()
        faults = desk.stored.run.unused_workers
    assert set(results.values()) == {1}
    assert all("disk" in fault or "space" in fault for fault in faults.values())
    assert {"fake://0:1"} >= faults.keys() or free_pages > 40
    desk.run(retries=["0"])
    assert there == desk.describe(desk.stored)
