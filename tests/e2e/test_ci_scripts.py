"""The scripts of a workflow, in their order, with kmatrix itself and a real engine on the miniature tree."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.e2e.places import ONE_LANE
from tests.minitree import REGRESSION, patched
from tests.unit.commands.test_ci_workflow import Runner

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1200),
]  # images of 1.4 GB are saved, and loaded three times
ROOT = Path(__file__).parents[2]
PARTS = ("matrix", "reports", "dockerfiles", "tasks.py", "pyproject.toml")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A machine with a copy of kmatrix, the miniature tree and a profile beside it."""
    made = Runner(tmp_path, "github")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    (tmp_path / "inv").write_text(f'#!/bin/sh\nexec {sys.executable} -m matrix "$@"\n')
    patched(tmp_path / "tree")
    shutil.copy(REGRESSION, tmp_path / "story.patch")
    (tmp_path / "story.toml").write_text(ONE_LANE.replace("[symbols]", 'select = ["KVM=y"]\n[symbols]'))
    made.variables |= {"PROFILE": "story.toml", "SOURCE": "tree", "SHARDS": "2"}
    made.variables |= {"KMATRIX_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    yield made
    (tmp_path / "images.tar").unlink(missing_ok=True)


def test_the_scripts_of_a_workflow_build_a_profile_in_shards(runner: Runner) -> None:
    assert runner.build_all() == {"prepare": 0, "plan": 0, "shard 1": 0, "shard 2": 0, "merge": 0}
    whole = load_run(runner.place / "merged")
    assert {cell.state for cell in whole.cells} <= {State.PASS, State.UNREACHABLE}
    assert load_run(runner.place / "baseline").id == whole.id
    # The next is held against it: what the patch breaks is new, and the shard that sees it is not red.
    runner.variables["PATCH"] = "story.patch"
    assert runner.build_all() == {"prepare": 0, "plan": 0, "shard 1": 0, "shard 2": 0, "merge": 100}
    assert load_run(runner.place / "baseline").id == whole.id
    assert "1 new" in (runner.place / "summary").read_text()
    assert (runner.place / "junit.xml").read_text().count("<failure") == 1
