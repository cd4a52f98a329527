"""kmatrix is killed again and again over a run of the miniature tree, or of the kernel, and resumed.

`KMATRIX_KILLS=100` kills it at so many moments, spread evenly over the run, each in a cache of its own;
`KMATRIX_KERNEL_KILLS=10` the same on the real tree. `KMATRIX_KILLS_SELECT` has terms of --select, with blanks
between, for other cells than six of the eighteen; empty, for all.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.cache_layout import CacheLayout
from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.e2e.places import Place, round_seconds
from tests.minitree import REGRESSION, patched

pytestmark = pytest.mark.engine
_KILLS = int(os.environ.get("KMATRIX_KILLS", "3"))
_KERNEL_KILLS = int(os.environ.get("KMATRIX_KERNEL_KILLS", "2"))
_SIX = "KVM=y,MODULES=n KVM=m,MODULES=y"
_SELECT = tuple(f"--select={term}" for term in os.environ.get("KMATRIX_KILLS_SELECT", _SIX).split())
_KERNEL = """
focus = ["drivers/vfio/", "virt/kvm/"]
arch = ["powerpc"]
toolchain = ["gcc-14"]
symbols = { KVM = ["n", "y"], MODULES = ["n", "y"], VFIO = ["n", "y"] }
"""
_SEEDED = "--select=KVM=n,VFIO=y,MODULES=n"
_BUILT = ("--select=KVM=y,MODULES=n",)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patched(tmp_path_factory.mktemp("source") / "tree", REGRESSION)


def _measure(place: Place) -> tuple[dict[str, Any], float]:
    """A run that nobody disturbs, and the seconds that it takes."""
    began = time.monotonic()
    place.finish()
    return place.describe(), time.monotonic() - began


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> tuple[dict[str, Any], float]:
    place = Place(tmp_path_factory.mktemp("undisturbed") / "place", ("--source", str(tree), *_SELECT))
    measured = _measure(place)
    assert {cell.state for cell in load_run(place.out).cells} >= {State.PASS, State.FAIL, State.UNREACHABLE}
    return measured


def _kill_and_resume(
    open_place: Callable[[int], Place], kills: int, undisturbed: tuple[dict[str, Any], float]
) -> list[tuple[str, object]]:
    """Kill a run at so many moments, spread evenly, and resume it each time. Returns what was measured, for
    the table of docs/reliability.md: it comes into a file of --junitxml."""
    expected, took = undisturbed
    waited, kept = list[float](), list[int]()
    for number in range(kills):
        place = open_place(number)
        process = place.begin()
        time.sleep(took * (number + 0.5) / kills)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append(place.count_finished())
        began = time.monotonic()
        place.finish()
        waited.append(time.monotonic() - began)
        assert place.describe() == expected, f"kill {number}"
        assert place.containers() == [], f"kill {number}"
        shutil.rmtree(place.root)
    return [
        ("kills", kills),
        ("seconds undisturbed", round(took, 1)),
        ("cells finished before", kept),
        ("seconds from resume to end", round_seconds(waited)),
    ]


@pytest.mark.timeout(120 * max(5, _KILLS))
def test_a_run_that_is_killed_at_any_moment_and_resumed_is_the_undisturbed_one(
    tmp_path: Path,
    tree: Path,
    undisturbed: tuple[dict[str, Any], float],
    request: pytest.FixtureRequest,
) -> None:
    words = ("--source", str(tree), *_SELECT)
    measured = _kill_and_resume(lambda number: Place(tmp_path / str(number), words), _KILLS, undisturbed)
    request.node.user_properties += measured


@pytest.mark.timeout(120 * max(5, _KILLS))
def test_a_verdict_that_is_killed_at_any_moment_and_resumed_is_the_undisturbed_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    good = patched(tmp_path / "tree")
    words = (str(REGRESSION), "--source", str(good), "--select=KVM=y,MODULES=n")

    def open_place(name: object) -> Place:
        return Place(tmp_path / str(name), words, task="patch")

    measured = _measure(open_place("undisturbed"))
    assert measured[0]["after/verdict.json"]["counts"]["broken"] == 1
    request.node.user_properties += _kill_and_resume(open_place, _KILLS, measured)


@pytest.mark.usefixtures("each_engine")
def test_a_run_that_is_killed_goes_on_with_each_engine(
    tmp_path: Path, tree: Path, request: pytest.FixtureRequest
) -> None:
    """One kill, in the middle of a few cells: Docker and Podman each have to end what it left at work."""
    words = ("--source", str(tree), "--arch=powerpc", "--select=KVM=y,MODULES=n")

    def open_place(name: object) -> Place:
        return Place(tmp_path / str(name), words)

    measured = _measure(open_place("undisturbed"))
    request.node.user_properties += _kill_and_resume(open_place, 1, measured)


@pytest.mark.kernel
@pytest.mark.timeout(
    300 * max(3, _KERNEL_KILLS)
)  # it builds the real kernel's base, and some cells each time
def test_a_run_of_the_kernel_that_is_killed_and_resumed_is_the_undisturbed_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All begin with one lane in which another cell was built, so that what takes longest is built once."""
    seed = Place(tmp_path / "seed", (_SEEDED,), _KERNEL, code=0, patience=900)
    seed.cache.mkdir()
    (seed.cache / "sources").symlink_to(CacheLayout().sources)
    seed.finish()

    def open_place(name: object) -> Place:
        return Place(tmp_path / str(name), _BUILT, _KERNEL, code=0, seed=seed.cache, patience=900)

    undisturbed = open_place("undisturbed")
    measured = _measure(undisturbed)
    states = [cell.state for cell in load_run(undisturbed.out).cells]
    assert states.count(State.PASS) >= 1
    request.node.user_properties += _kill_and_resume(open_place, _KERNEL_KILLS, measured)


def test_a_run_at_work_is_not_resumed_beside_itself(tmp_path: Path, tree: Path) -> None:
    place = Place(tmp_path / "place", ("--source", str(tree), *_SELECT))
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
