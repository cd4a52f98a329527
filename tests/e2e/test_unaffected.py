"""A tree again, and a patched tree after its base, in real containers: only what changed is built.

One world for all: the base is built once, and each patch has lanes of its own.
"""

import difflib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.engine.docker_engine import DockerEngine
from matrix.engine.protocol import ContainerResult, ContainerSpec
from matrix.record.events import StageStarted
from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State
from tests.e2e.conftest import Kmatrix
from tests.minitree import TREE, WARNING

pytestmark = pytest.mark.engine

PROFILE = """
focus = ["arch/{srcarch}/kvm/", "drivers/vfio/"]
arch = ["powerpc"]
toolchain = ["gcc-14"]
symbols = { KVM = ["n", "y"], MODULES = ["n", "y"], VFIO = ["n", "y"] }
"""


def with_line(name: str, line: str) -> str:
    """A patch that puts a line at the end of a file of the tree, which may be a new one."""
    path = TREE / name
    old = path.read_text().splitlines(keepends=True) if path.exists() else []
    before = f"a/{name}" if path.exists() else "/dev/null"
    return "".join(difflib.unified_diff(old, [*old, f"{line}\n"], before, f"b/{name}"))


class Series:
    """A base, built for every reachable cell, and runs of patched trees after it."""

    def __init__(self, place: Path) -> None:
        self.kmatrix = Kmatrix(place, PROFILE)
        self.base = self.run()
        self.base_lanes = self.lanes()

    def run(self, **options: list[str]) -> Run:
        return self.kmatrix.run(source=[self.kmatrix.tree], **options)

    def patched(self, patch: str | Path) -> Run:
        """The run after the base's on the tree with this patch."""
        if isinstance(patch, str):
            path = self.kmatrix.place / "change.patch"
            path.write_text(patch)
            patch = path
        self.kmatrix.events.clear()
        return self.run(patch=[str(patch)])

    @property
    def built(self) -> set[str]:
        """The cells that make was asked about in the last run."""
        at = (event for event in self.kmatrix.events if isinstance(event, StageStarted))
        return {event.cell for event in at if event.stage == "focus"}

    def ids(self, matches: Callable[[Cell], bool] = lambda _: True) -> set[str]:
        return {cell.id for cell in self.base.cells if matches(cell)}

    @property
    def empty(self) -> set[str]:
        """Cells that have nothing to compile, with and without any patch."""
        return self.ids(lambda cell: cell.state is State.EMPTY)

    def forget_patches(self) -> None:
        """Make the next patch build what it reaches, though it was tried before."""
        for layer in (self.kmatrix.place / "cache/memory").glob("patched-*"):
            shutil.rmtree(layer)

    def lanes(self) -> dict[str, tuple[int, bytes]]:
        """Every file of every lane there is: its time and content."""
        lanes = self.kmatrix.place / "cache/lanes"
        files = (path for path in lanes.rglob("*") if path.is_file() and path.name != "lock")
        return {str(path.relative_to(lanes)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def unaffected(done: Run) -> set[str]:
    """The cells that the base's run built."""
    return {cell.id for cell in done.cells if cell.evidence is Evidence.REMEMBERED}


def same_objects(done: Run) -> set[str]:
    """The cells of which each object was compiled for another cell."""
    return {cell.id for cell in done.cells if cell.evidence is Evidence.SAME_OBJECTS}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return Series(tmp_path_factory.mktemp("series"))


def test_the_base_is_built_and_every_cell_with_objects_knows_its_sources(series: Series) -> None:
    assert {cell.state for cell in series.base.cells} == {State.PASS, State.EMPTY}
    assert {cell.id for cell in series.base.cells if cell.sources_sha256 is None} == series.empty


def test_a_patch_to_documentation_builds_nothing_and_says_where_all_is_from(series: Series) -> None:
    name = "Documentation/driver-api/vfio.rst"
    done = series.patched(with_line(name, "VFIO"))
    assert not any(
        isinstance(event, StageStarted) and event.stage != "configure" for event in series.kmatrix.events
    )
    assert unaffected(done) == series.ids()
    assert [cell.state for cell in done.cells] == [cell.state for cell in series.base.cells]
    assert {cell.evidence_from for cell in done.cells} == {
        f"{series.base.id}/{cell.id}" for cell in series.base.cells
    }
    assert series.lanes() == series.base_lanes, "what builds nothing needs no lane"


def test_a_patch_to_one_source_builds_the_cells_that_compile_it_and_no_other(series: Series) -> None:
    done = series.patched(WARNING)
    compiling = series.ids(lambda cell: cell.request["VFIO"] == "y")
    assert series.built | same_objects(done) == compiling
    assert series.built
    assert unaffected(done) == series.ids() - compiling != set()
    assert {cell.id for cell in done.cells if cell.state is State.WARN} == compiling
    whole = series.run(patch=[str(WARNING)], fresh=["yes"])
    assert {cell.evidence for cell in whole.cells} == {Evidence.BUILT}
    assert [cell.state for cell in whole.cells] == [cell.state for cell in done.cells]


def test_a_patch_to_a_header_builds_the_cells_that_include_it(series: Series) -> None:
    done = series.patched(with_line("include/linux/irqbypass.h", "/* Who gets the interrupt. */"))
    including = series.ids(lambda cell: cell.request["KVM"] == "y")
    assert series.built | same_objects(done) == including
    assert series.built
    assert unaffected(done) == series.ids() - including != set()


def test_a_source_behind_a_generated_header_reaches_every_cell(series: Series) -> None:
    assert unaffected(series.patched(with_line("kernel/bounds.c", "/* One constant. */"))) == set()


def test_a_new_header_that_shadows_another_is_found_by_make(series: Series) -> None:
    name = "arch/powerpc/include/linux/irqbypass.h"
    done = series.patched(with_line(name, '#error "found before the other one"'))
    assert unaffected(done) == set()
    failing = {cell.id for cell in done.cells if cell.state is State.FAIL}
    assert failing == series.ids(lambda cell: cell.request["KVM"] == "y")


def test_what_a_patched_tree_made_never_reaches_the_lane_of_its_base(series: Series) -> None:
    assert any(name.endswith("vfio_main.o") for name in series.base_lanes)
    series.forget_patches()
    series.patched(WARNING)
    after = series.lanes()
    assert len(after) > len(series.base_lanes), "the patched tree must have had a lane of its own"
    assert {name: after[name] for name in series.base_lanes} == series.base_lanes


def test_the_base_is_what_it_was_after_a_patched_tree_was_built(series: Series) -> None:
    only = ["KVM=y,MODULES=y,VFIO=y"]
    series.forget_patches()
    series.patched(WARNING)
    (again,) = series.run(select=only).cells
    assert (again.state, again.evidence) == (State.PASS, Evidence.REMEMBERED)
    assert str(again.evidence_from).startswith(f"{series.base.id}/")


def test_the_same_again_takes_no_container_for_a_cell_and_touches_no_lane(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = series.lanes()
    started: list[ContainerSpec] = []
    run = DockerEngine.run_container

    def record(engine: DockerEngine, container: ContainerSpec, *more: Any, **options: Any) -> ContainerResult:
        started.append(container)
        return run(engine, container, *more, **options)

    monkeypatch.setattr(DockerEngine, "run_container", record)
    done = series.run()
    # One that mounts nothing asks the image for the versions of its tools.
    assert [container for container in started if container.mounts] == []
    assert unaffected(done) == series.ids()
    assert [cell.state for cell in done.cells] == [cell.state for cell in series.base.cells]
    assert series.lanes() == lanes
