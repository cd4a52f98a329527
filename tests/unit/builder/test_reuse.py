"""What is taken over of a result that is known: another cell's stages after its own configure step.

Which result holds is in tests/unit/memory/test_results.py.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.builder.cell_record import CellLog, CellResult
from matrix.builder.reuse import KnownResults, build_cell_inputs
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.memory.layers import Memory
from matrix.memory.results import CellInputs, ResultMemory
from matrix.memory.tree_contents import TreeContents
from matrix.plan import Request
from matrix.record.run_model import Cell, DiagnosticRef, StageRecord
from matrix.record.states import Evidence, State
from matrix.resolve.resolution import Resolution
from matrix.source.manifest import Manifest, ManifestEntry
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell

COMMAND = "make -C /src O=/build -k -j2 --output-sync=target ARCH=powerpc drivers/vfio/"
TARGETS = [("drivers/vfio/",)]
MADE_OF = frozenset({"virt/kvm/vfio.c", "include/linux/vfio.h"})
KCONFIG = Diagnostic(severity="warning", tool="kconfig", file="Kconfig", line=3, message="override")
OBJECT = "arch/powerpc/kvm/vfio.o"
LOG = "$ make\n  CC      virt/kvm/vfio.o\n"


def build_inputs(**fields: Any) -> CellInputs:
    known = {"image": "i", "config_sha256": "c", "commands": [COMMAND], "targets": TARGETS}
    return build_cell_inputs(**(known | fields))


def test_how_many_jobs_make_was_given_is_no_difference() -> None:
    assert build_inputs() == build_inputs(commands=[COMMAND.replace("-j2", "-j16")])


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "other"},
        {"config_sha256": "other"},
        {"commands": [f"{COMMAND} lib/"]},
        {"commands": [COMMAND.replace("ARCH", "W=1 ARCH")]},
        {"commands": [COMMAND, COMMAND.replace("drivers/vfio/", "vmlinux")]},
        {"commands": []},
        {"targets": [("drivers/vfio/vfio.o",)]},
    ],
)
def test_another_image_config_make_line_focus_or_stage_is(fields: dict[str, Any]) -> None:
    assert build_inputs() != build_inputs(**fields)


def a_resolution(*diagnostics: Diagnostic, state: State = State.PASS) -> Resolution:
    stage = StageRecord(name="configure", state=state, command="make olddefconfig", exit=0, seconds=1.5)
    request = Request.from_symbols("powerpc", "gcc-14", "defconfig", {})
    return Resolution(request, "", stage, (), tuple(Occurrence(item, None) for item in diagnostics))


class Story:
    """A cell that a run built, and the question about another with the same inputs."""

    def __init__(self, place: Path, **fields: Any) -> None:
        self.place = place
        (place / "runs").mkdir()
        self.log = CellLog(place / "runs/after.log", "cells/planned/build.log")
        known = {"id": "built", "state": State.WARN, "diagnostics": [WARNING], "evidence": Evidence.BUILT}
        self.row = a_cell(**(known | fields))
        shown = {item.key: item for item in (WARNING, GCC_ERROR, KCONFIG)}
        refs = tuple(ref for ref in self.row.diagnostics if ref.stage != "configure")
        objects = frozenset({OBJECT})
        self.built = CellResult(self.row, shown, objects, MADE_OF, build_refs=refs, is_whole=True)

    @contextmanager
    def open(self, run: str) -> Iterator[KnownResults]:
        """The results as a run finds them."""
        files = {path: ManifestEntry("file", "text") for path in (*MADE_OF, *filter(None, [GCC_ERROR.file]))}
        with closing(Memory(self.place / "memory", (), f"{run}-f00")) as memory:
            yield KnownResults(ResultMemory(memory, TreeContents(Manifest(files), self.place)), run)

    def build(self, result: CellResult | None = None, log: str = LOG, run: str = "first") -> None:
        with self.open(run) as known:
            known.add_built(build_inputs(), result or self.built, log)

    def ask(
        self, resolution: Resolution | None = None, run: str = "second", **fields: Any
    ) -> CellResult | None:
        with self.open(run) as known:
            return known.find_result(
                self.plan(**fields), resolution or a_resolution(), build_inputs(), self.log
            )

    def plan(self, **fields: Any) -> Cell:
        known = {"id": "planned", "config_sha256": "c", "request": self.row.request}
        axes = {"arch": self.row.arch, "toolchain": self.row.toolchain, "base": self.row.base}
        return Cell(**(known | axes | fields))

    def take(self, *arguments: Any, **fields: Any) -> CellResult:
        result = self.ask(*arguments, **fields)
        assert result is not None
        return result


@pytest.fixture
def story(tmp_path: Path) -> Story:
    made = Story(tmp_path)
    made.build()
    return made


def test_everything_that_was_found_is_taken_over_with_where_it_is_from(story: Story) -> None:
    taken = story.take()
    cell = taken.cell
    assert (cell.id, cell.state, cell.evidence) == ("planned", State.WARN, Evidence.REMEMBERED)
    assert cell.evidence_from == "first/built"
    assert cell.stages[1:] == story.row.stages[1:]
    assert cell.diagnostics == story.row.diagnostics
    assert taken.diagnostics == {WARNING.key: WARNING}
    assert taken.objects == {OBJECT}
    assert taken.sources == MADE_OF


def test_the_log_is_copied_so_that_the_run_stands_alone(story: Story) -> None:
    story.log.write_lines(["$ make olddefconfig"])
    assert story.take().cell.log == "cells/planned/build.log"
    assert story.log.path.read_text() == f"$ make olddefconfig\n{LOG}"


def test_a_log_that_is_not_there_is_not_named(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.build(log="")
    assert story.take().cell.log is None
    assert not story.log.path.exists()


def test_a_cell_of_other_axes_with_the_same_inputs_keeps_its_own_name(story: Story) -> None:
    """Its arch, compiler and symbols are in its configuration and its make line."""
    cell = story.take(id="of another profile", base="other", request={}).cell
    assert (cell.id, cell.base, cell.request) == ("of another profile", "other", {})
    assert cell.evidence_from == "first/built"


def test_its_configure_step_is_its_own(story: Story) -> None:
    taken = story.take(a_resolution(KCONFIG, state=State.WARN))
    assert [ref.stage for ref in taken.cell.diagnostics] == ["configure", "focus"]
    assert taken.cell.stages[0].state is State.WARN
    assert taken.cell.stages[0].seconds == 1.5
    assert taken.diagnostics == {KCONFIG.key: KCONFIG, WARNING.key: WARNING}


def test_the_other_cells_configure_step_is_not_taken_over(tmp_path: Path) -> None:
    story = Story(tmp_path, state=State.PASS, diagnostics=[])
    configure = story.row.stages[0].model_copy(update={"state": State.WARN})
    ref = DiagnosticRef(key=KCONFIG.key, object=None, stage="configure")
    row = story.row.model_copy(update={"stages": (configure, *story.row.stages[1:]), "diagnostics": (ref,)})
    story.build(replace(story.built, cell=row))
    taken = story.take()
    assert (taken.cell.diagnostics, taken.diagnostics) == ((), {})
    assert taken.cell.state is State.PASS


def test_what_was_remembered_before_names_the_run_that_built_it(story: Story) -> None:
    taken = story.take(run="second")
    assert taken.cell.evidence_from == "first/built"
    assert story.take(run="third").cell.evidence_from == "first/built"


def test_what_is_taken_over_is_not_kept_again(story: Story) -> None:
    """Only what was built is: another run would name one that built nothing."""
    with story.open("second") as known:
        taken = known.find_result(story.plan(), a_resolution(), build_inputs(), story.log)
        assert taken is not None
        assert known.find_origin(build_inputs()) == "first/built"


def test_a_cell_of_the_run_with_the_same_inputs_is_its_twin(tmp_path: Path) -> None:
    story = Story(tmp_path)
    with story.open("first") as known:
        known.add_built(build_inputs(), story.built, LOG)
        taken = known.find_result(story.plan(), a_resolution(), build_inputs(), story.log)
    assert taken is not None
    assert (taken.cell.evidence, taken.cell.evidence_from) == (Evidence.SAME_CONFIG, "built")
    assert taken.cell.log == story.row.log
    assert not story.log.path.exists()


def test_a_twin_that_another_lane_of_the_run_built_is_one_too(story: Story) -> None:
    taken = story.take(run="first")
    assert (taken.cell.evidence, taken.cell.evidence_from) == (Evidence.SAME_CONFIG, "built")
    assert taken.cell.log == "cells/planned/build.log"
    assert story.log.path.read_text() == LOG


def test_a_twin_needs_no_proof_of_its_own(tmp_path: Path) -> None:
    """A failure without a place in the sources is not remembered, and holds for the rest of the run."""
    placeless = GCC_ERROR.model_copy(update={"line": None})
    story = Story(tmp_path, state=State.FAIL, diagnostics=[placeless])
    failed = replace(story.built, diagnostics={placeless.key: placeless})
    with story.open("first") as known:
        known.add_built(build_inputs(), failed, LOG)
        taken = known.find_result(story.plan(), a_resolution(), build_inputs(), story.log)
    assert taken is not None
    assert (taken.cell.state, taken.cell.evidence) == (State.FAIL, Evidence.SAME_CONFIG)
    assert story.ask() is None


@pytest.mark.parametrize("state", [State.TIMEOUT, State.OOM, State.INFRA, State.CANCELLED])
def test_what_the_machine_ended_is_built_again(tmp_path: Path, state: State) -> None:
    story = Story(tmp_path, state=state)
    with story.open("first") as known:
        known.add_built(build_inputs(), story.built, LOG)
        assert known.find_result(story.plan(), a_resolution(), build_inputs(), story.log) is None
    assert story.ask() is None


def test_what_was_not_read_to_its_end_is_not_remembered(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.build(replace(story.built, is_whole=False))
    assert story.ask() is None
