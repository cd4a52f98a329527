"""kmatrix is killed again and again over a run of the miniature tree, resumed, and compared.

`KMATRIX_KILLS=100` kills it at so many moments, spread evenly over the run, each in a cache of its own.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.states import State
from tests.e2e.conftest import MINIATURE
from tests.fakes.described_runs import describe_run
from tests.minitree import REGRESSION, patched

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
_KILLS = int(os.environ.get("KMATRIX_KILLS", "4"))
_ONE_LANE = MINIATURE.replace('"gcc-14", "clang-19"', '"gcc-14"')


class Place:
    """A cache and a run of its own, and kmatrix in processes there."""

    def __init__(self, root: Path, tree: Path) -> None:
        self.root, self.tree = root, tree
        self.out = root / "run"
        root.mkdir()
        (root / "story.toml").write_text(_ONE_LANE)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONPATH": str(ROOT), "KMATRIX_CACHE": str(self.root / "cache")}
        return subprocess.Popen(
            [sys.executable, "-m", "matrix", "run", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self) -> "subprocess.Popen[str]":
        profile = ("--profile", str(self.root / "story.toml"), "--source", str(self.tree))
        return self.start(*profile, "--out", str(self.out))

    def finish(self) -> str:
        """Resume what there is, or begin where there is nothing; what was printed."""
        if (self.out / "run.json").exists():
            process = self.start("--resume", str(self.out))
        else:
            shutil.rmtree(self.out, ignore_errors=True)
            process = self.begin()
        said, _ = process.communicate(timeout=280)
        assert process.returncode == 100, said
        return said

    def describe(self) -> dict[str, Any]:
        return describe_run(RunDirectory.load(self.out), self.root)

    def containers(self) -> list[str]:
        shown = ("--format", "{{.Names}} {{.Mounts}}", "--no-trunc")
        lines = subprocess.check_output(["docker", "ps", "--all", *shown], text=True).splitlines()
        return [line.split()[0] for line in lines if f"{self.root}/cache" in line]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patched(tmp_path_factory.mktemp("source") / "tree", REGRESSION)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> tuple[dict[str, Any], float]:
    """A run that nobody disturbs, and the seconds that it takes."""
    place = Place(tmp_path_factory.mktemp("undisturbed") / "place", tree)
    began = time.monotonic()
    place.finish()
    took = time.monotonic() - began
    assert {cell.state for cell in load_run(place.out).cells} >= {State.PASS, State.FAIL, State.UNREACHABLE}
    return place.describe(), took


@pytest.mark.timeout(120 * max(5, _KILLS))
def test_a_run_that_is_killed_at_any_moment_and_resumed_is_the_undisturbed_one(
    tmp_path: Path,
    tree: Path,
    undisturbed: tuple[dict[str, Any], float],
    request: pytest.FixtureRequest,
) -> None:
    expected, took = undisturbed
    waited: list[float] = []
    for number in range(_KILLS):
        place = Place(tmp_path / str(number), tree)
        process = place.begin()
        time.sleep(took * (number + 0.5) / _KILLS)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        began = time.monotonic()
        place.finish()
        waited.append(time.monotonic() - began)
        assert place.describe() == expected, f"kill {number}"
        assert place.containers() == [], f"kill {number}"
        shutil.rmtree(place.root)
    # In a file of --junitxml: what the table of docs/reliability.md is made of.
    request.node.user_properties += [
        ("kills", _KILLS),
        ("seconds undisturbed", round(took, 1)),
        ("seconds from resume to end", [round(seconds, 1) for seconds in waited]),
    ]


def test_a_run_at_work_is_not_resumed_beside_itself(tmp_path: Path, tree: Path) -> None:
    place = Place(tmp_path / "place", tree)
    process = place.begin()
    deadline = time.monotonic() + 120
    while not (place.out / "run.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    beside = place.start("--resume", str(place.out))
    said, _ = beside.communicate(timeout=60)
    assert beside.returncode == 1
    assert f"another kmatrix is writing the run in {place.out}" in said
    process.communicate(timeout=280)
    assert process.returncode == 100
    again = place.start("--resume", str(place.out))
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 100
    assert "has its result: nothing is left to build" in " ".join(said.split())
