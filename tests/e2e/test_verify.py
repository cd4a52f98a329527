"""What is remembered, against builds in empty directories: of the miniature tree while it is edited, and of
the real kernel with warnings and a failure.

Of the kernel a few cells of a lane and a share of them; with KMATRIX_VERIFY_SHARE=1.0 all cells of the lane.
"""

import os
import re
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.catalog.types import Profile
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.commands.verify import verify_run
from matrix.engine.connect import connect_engine
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.events import ProgressEvent, ProgressNote
from matrix.record.states import Evidence, State
from matrix.source.cache import SourceCache
from tests.e2e.conftest import Kmatrix
from tests.minitree import PATCHES

pytestmark = pytest.mark.engine
SHARE = os.environ.get("KMATRIX_VERIFY_SHARE", "0.5")
IS_WHOLE = float(SHARE) == 1
# Where there are modules, bison warns with the one and gcc (of lib/math/test_div64.o) with the other: once,
# as nothing that they read changes from cell to cell.
WARNS = ["W=1", "KCFLAGS=-Wstack-usage=200"]
CELLS = ["KVM=n,MODULES=y,VFIO=n", "KVM=n,MODULES=y,VFIO=y", "KVM=y,MODULES=n,VFIO=n"]


class Lane:
    """One lane of the story's matrix, with the story's regression: run as often as wanted, and verified."""

    def __init__(self, place: Path) -> None:
        layout = CacheLayout(place / "cache", CacheLayout().root)
        self.world = Environment(connect_engine(), SourceCache(layout), place / "runs")
        self.layout = layout
        self.events: list[ProgressEvent] = []

    def settle(self, **more: list[str]) -> Profile:
        options = {
            "arch": ["powerpc"],
            "toolchain": ["gcc-14"],
            "patch": [str(PATCHES / "story-regression.patch")],
            "make": WARNS,
            **({} if IS_WHOLE else {"select": CELLS}),
        }
        return resolve_profile({**options, **more}, {})

    def run(self) -> StoredRun:
        return run_matrix(self.settle(), self.events.append, ["test"], self.world)

    def verify(self, stored: StoredRun) -> ExitCode:
        self.events.clear()
        return verify_run(self.settle(verify=[SHARE]), stored, self.events.append, self.world)

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ProgressNote)]


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Lane:
    return Lane(tmp_path_factory.mktemp("verify"))


def test_a_tree_that_is_edited_after_its_run_is_verified_as_it_was(kmatrix: Kmatrix) -> None:
    options = {"source": [kmatrix.tree], "select": ["KVM=y,MODULES=n,VFIO=y"]}
    kmatrix.run(**options)
    again = kmatrix.run(**options)
    assert {cell.evidence for cell in again.cells} == {Evidence.REMEMBERED}
    (Path(kmatrix.tree) / "virt/kvm/vfio.c").write_text("#error edited\n")
    profile = resolve_profile({"profile": [str(kmatrix.profile)], **options, "verify": ["1.0"]}, {})
    code = verify_run(profile, kmatrix.stored, kmatrix.events.append, kmatrix.world)
    notes = [event.text for event in kmatrix.events if isinstance(event, ProgressNote)]
    assert code is ExitCode.PASSED, notes
    assert re.fullmatch(r"Verified 2 cells, and the content of [1-9]\d* objects: none differs\.", notes[-1])


@pytest.mark.kernel
@pytest.mark.timeout(1800)  # it compiles the real kernel, and more than once
def test_what_is_remembered_of_a_lane_is_what_an_empty_directory_gives(lane: Lane) -> None:
    first = lane.run().run
    states = [cell.state for cell in first.cells if cell.state is not State.UNREACHABLE]
    assert {state for state in states if state is not State.PASS} == {State.WARN, State.FAIL}
    assert states.count(State.WARN) >= 2
    warnings = {item.tool for item in first.diagnostics.values() if item.severity == "warning"}
    assert len(warnings) >= 2
    again = lane.run()
    built = [cell for cell in again.run.cells if cell.state is not State.UNREACHABLE]
    assert len(built) == (13 if IS_WHOLE else 3)
    assert {cell.evidence for cell in built} <= {Evidence.REMEMBERED, Evidence.SAME_CONFIG}
    assert [cell.state for cell in again.run.cells] == [cell.state for cell in first.cells]
    code = lane.verify(again)
    *differences, summary = lane.notes()
    assert differences == []
    assert code is ExitCode.PASSED
    assert "the content of 0 objects" not in summary
