"""Shards of the miniature tree, each on a machine that remembers nothing, make the run of one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from tests.e2e.places import ONE_LANE, ROOT
from tests.fakes.described_runs import describe_run
from tests.minitree import REGRESSION, WARNING, patched

pytestmark = pytest.mark.engine


class Machines:
    """Processes of kmatrix, each with the cache of its machine."""

    def __init__(self, root: Path, profile: str = ONE_LANE) -> None:
        self.root = root
        (root / "story.toml").write_text(profile)
        tree = patched(root / "tree", REGRESSION, WARNING)
        self.words: tuple[str, ...] = ("--profile", str(root / "story.toml"), "--source", str(tree))

    def call(self, machine: str, *words: str, codes: tuple[int, ...] = (0,)) -> str:
        """What it prints on stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "matrix", *words],
            env=self.environment(machine),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done.stdout

    def environment(self, machine: str) -> dict[str, str]:
        """Of a process there."""
        return os.environ | {"PYTHONPATH": str(ROOT), "KMATRIX_CACHE": str(self.root / machine)}

    def describe(self, out: Path, shards: list[Path]) -> dict[str, Any]:
        """All of a run and its findings, but for times and what only a merged one has."""
        stored = StoredRun.load(out)
        names = [StoredRun.load(path).run.id for path in shards]
        described = describe_run(stored, self.root, names)
        for key in ("shards", "command"):
            described.pop(key, None)
        described["profile"].pop("out")
        for cell in described["cells"]:  # in the order in which they were printed
            cell["diagnostics"].sort(key=str)
        findings = json.loads((out / "findings.json").read_text().replace(stored.run.id, "RUN"))
        return described | {"findings": findings}


@pytest.mark.timeout(1200)
def test_shards_of_a_real_tree_make_the_run_of_one_machine(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    whole = tmp_path / "whole"
    machines.call("one", "run", *machines.words, "--out", str(whole), codes=(100,))
    expected = machines.describe(whole, [])
    assert expected["findings"]["findings"]
    plan = tmp_path / "plan.json"
    plan.write_text(machines.call("one", "plan", "--json", "--baseline", str(whole), *machines.words))
    shards = [tmp_path / f"shard-{number}" for number in range(1, 5)]
    for number, out in enumerate(shards, 1):
        words = ("--plan", str(plan), "--shard", f"{number}/4", "--out", str(out))
        machines.call(f"cache-{out.name}", "run", *machines.words, *words, codes=(0, 100))
    merged = tmp_path / "merged"
    machines.call("none", "merge", *map(str, shards), "--out", str(merged), codes=(100,))
    assert machines.describe(merged, shards) == expected
    partial = ("merge", *map(str, shards[1:]), "--out", str(tmp_path / "partial"))
    assert "could not be tried" in machines.call("none", *partial, codes=(2, 100))
