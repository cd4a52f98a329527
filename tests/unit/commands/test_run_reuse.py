"""A run after a change, beside the run before it: what is built, what is taken over, what is touched."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from matrix.commands.run import run_matrix
from matrix.commands.settings import resolve_profile
from matrix.errors import MachineError
from matrix.findings.stored_run import StoredRun
from matrix.record.events import ProgressNote
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import Run
from matrix.record.states import Evidence, State
from tests.fakes.kernel import Made
from tests.unit.commands.test_run import (
    CELL,
    ERROR,
    GROUP,
    VFIO,
    WARNING,
    Desk,
    always,
    dying,
    in_cell,
    states,
)

HEADER = "include/linux/group.h"
TWO = 'GROUP = ["n", "y"]\nVFIO = ["y"]\n'
BOTH = [Evidence.UNAFFECTED, Evidence.UNAFFECTED]


class Patching:
    """A user's tree with two cells, GROUP=n and GROUP=y; a run of it, and runs after it was changed."""

    def __init__(self, place: Path) -> None:
        self.desk = Desk(place)
        self.desk.asks(TWO)
        self.desk.says(VFIO, always(WARNING))
        self.desk.kernel.objects[GROUP] = Made("GROUP", includes=(f"/src/{HEADER}",))
        self.put(HEADER, "int group;\n")
        self.put("lib/other.c", "int other;\n")

    def put(self, name: str, text: str) -> None:
        path = self.desk.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def before(self, **options: list[str]) -> StoredRun:
        self.desk.run(**options)
        return self.desk.stored

    def after(self, before: StoredRun, **options: list[str]) -> Run:
        """Run again, on the tree as it is now. What make is asked is in ``self.asked``."""
        self.desk.kernel.jobs.clear()
        settled = resolve_profile(self.desk._settled(options), {})
        stored = run_matrix(settled, self.desk._tell, ["test"], self.desk.world, before)
        self.directory = stored.directory
        return stored.run

    @property
    def asked(self) -> list[str]:
        return [job.cell.removeprefix(CELL) for job in self.desk.kernel.ran(configures=False)]


@pytest.fixture
def patching(tmp_path: Path) -> Patching:
    return Patching(tmp_path)


def evidence(done: Run) -> list[Evidence | None]:
    return [cell.evidence for cell in done.cells]


def test_a_run_records_what_each_cell_was_made_of(patching: Patching) -> None:
    before = patching.before()
    done, directory = before.run, before.directory
    assert [RunDirectory.load(directory).load_sources(cell) for cell in done.cells] == [
        frozenset({"drivers/vfio/vfio.c"}),
        frozenset({"drivers/vfio/vfio.c", "drivers/vfio/group.c", HEADER}),
    ]
    assert load_run(directory) == done


def test_an_object_that_its_lane_made_for_another_cell_is_no_part_of_a_cell(patching: Patching) -> None:
    patching.desk.asks(TWO.replace('"n", "y"', '"y", "n"'))
    before = patching.before()
    done, directory = before.run, before.directory
    assert [len(RunDirectory.load(directory).load_sources(cell) or ()) for cell in done.cells] == [3, 1]


def test_what_a_cell_that_failed_had_made_is_no_part_of_another_configuration(patching: Patching) -> None:
    """A failure kept kbuild from writing its list; the object does not fit what the next cell has."""
    patching.desk.asks(TWO.replace('"n", "y"', '"y", "n"'))
    patching.desk.says(VFIO, lambda config: [ERROR] if config["GROUP"] == "y" else [], sees=("GROUP",))
    before = patching.before()
    done, directory = before.run, before.directory
    assert states(done) == ["fail", "pass"]
    assert RunDirectory.load(directory).load_sources(done.cells[1]) == frozenset({"drivers/vfio/vfio.c"})
    assert not (patching.desk.build_directory() / GROUP).exists()


def test_a_cell_that_failed_records_no_sources(patching: Patching) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    done = patching.before().run
    assert states(done) == ["warn", "fail"]
    assert [cell.sources_sha256 is None for cell in done.cells] == [False, True]


def test_a_change_of_documentation_asks_make_nothing_and_says_why(patching: Patching) -> None:
    before = patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    done = patching.after(before)
    assert patching.asked == []
    assert evidence(done) == BOTH
    assert states(done) == states(before.run) == ["warn", "warn"]
    assert {cell.reason for cell in done.cells} == {
        "only documentation changed, which no build reads: Documentation/vfio.rst"
    }


def test_only_the_cells_that_a_changed_file_went_into_are_built(patching: Patching) -> None:
    before = patching.before()
    for name in (HEADER, "drivers/vfio/group.c"):
        patching.put(name, "int changed;\n")
        done = patching.after(before)
        assert patching.asked == ["GROUP=y,VFIO=y"]
        assert evidence(done) == [Evidence.UNAFFECTED, Evidence.BUILT]
        assert done.cells[1].reason is None


def test_a_source_that_goes_into_none_builds_none(patching: Patching) -> None:
    before = patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after(before)
    assert patching.asked == []
    assert evidence(done) == BOTH
    assert done.cells[0].reason == "what changed went into no object here: lib/other.c"


@pytest.mark.parametrize("name", ["lib/new.c", "drivers/vfio/Makefile", "scripts/new.sh", "lib/Kconfig"])
def test_what_dependency_files_cannot_tell_is_asked_of_make(patching: Patching, name: str) -> None:
    before = patching.before()
    patching.put(name, "# new\n")
    done = patching.after(before)
    assert evidence(done) == [Evidence.BUILT, Evidence.BUILT]


def test_nothing_is_built_that_an_unaffected_cell_stands_for_in_the_record(patching: Patching) -> None:
    """The run after it stands alone: its objects, sources, logs and diagnostics are its own."""
    before = patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after(before)
    was = {cell.id: cell for cell in before.run.cells}
    logs = {cell.id: (before.directory / str(cell.log)).read_text() for cell in before.run.cells}
    shutil.rmtree(before.directory)
    for cell in done.cells:
        assert cell.evidence_from == f"{before.run.id}/{cell.id}"
        assert cell.stages == was[cell.id].stages
        assert VFIO in RunDirectory.load(patching.directory).load_objects(cell)
        assert "drivers/vfio/vfio.c" in (RunDirectory.load(patching.directory).load_sources(cell) or ())
        assert (patching.directory / str(cell.log)).read_text() == logs[cell.id]
        assert [done.diagnostics[ref.key].message for ref in cell.diagnostics] == ["unused variable 'x'"]
    assert load_run(patching.directory) == done


def test_a_cell_that_failed_before_is_built_again_though_nothing_it_is_made_of_changed(
    patching: Patching,
) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    before = patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after(before)
    assert patching.asked == ["GROUP=y,VFIO=y"]
    assert states(done) == ["warn", "fail"]


def test_a_failure_stands_after_a_change_of_documentation(patching: Patching) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    before = patching.before()
    patching.put("MAINTAINERS", "me\n")
    done = patching.after(before)
    assert patching.asked == []
    assert states(done) == ["warn", "fail"]
    taken_over = RunDirectory(done, patching.directory).load_objects(done.cells[1])
    assert taken_over == before.load_objects(before.run.cells[1])


def test_what_the_machine_kept_from_an_answer_is_tried_again(patching: Patching) -> None:
    patching.desk.kernel.before = in_cell("GROUP=n,VFIO=y", dying("the engine hiccups"))
    before = patching.before()
    patching.desk.kernel.before = lambda _: None
    done = patching.after(before)
    assert patching.asked == ["GROUP=n,VFIO=y"]
    assert evidence(done) == [Evidence.BUILT, Evidence.UNAFFECTED]


CHANGES: Mapping[str, Mapping[str, list[str]]] = {
    "make line": {"make": ["W=1"]},
    "stage": {"stage": ["vmlinux"]},
}


@pytest.mark.parametrize("options", CHANGES.values(), ids=CHANGES)
def test_another_make_line_or_stage_is_built(patching: Patching, options: Mapping[str, list[str]]) -> None:
    before = patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert evidence(patching.after(before, **options)) == [Evidence.BUILT, Evidence.BUILT]


def test_another_image_is_built(patching: Patching) -> None:
    before = patching.before()
    mine = '[toolchains.gcc-14]\nimage = "mine:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    patching.desk.asks(TWO + mine)
    assert evidence(patching.after(before)) == [Evidence.BUILT, Evidence.BUILT]


def test_another_focus_is_built(patching: Patching) -> None:
    before = patching.before()
    head = patching.desk.profile.read_text().replace('"drivers/vfio/"', '"drivers/vfio/", "lib/"')
    patching.desk.profile.write_text(head)
    assert evidence(patching.after(before)) == [Evidence.BUILT, Evidence.BUILT]


def test_another_config_of_the_same_request_is_built(patching: Patching) -> None:
    before = patching.before()
    patching.desk.profile.write_text(f'{patching.desk.profile.read_text()}[fixed]\nMODULES = "y"\n')
    assert evidence(patching.after(before)) == [Evidence.BUILT, Evidence.BUILT]


def test_a_cell_that_the_run_before_did_not_have_is_built(patching: Patching) -> None:
    before = patching.before(select=["GROUP=n"])
    done = patching.after(before)
    assert evidence(done) == [Evidence.UNAFFECTED, Evidence.BUILT]


def test_a_third_run_names_the_run_that_built(patching: Patching) -> None:
    first = patching.before()
    patching.put("lib/other.c", "int second;\n")
    second = StoredRun(patching.after(first), patching.directory)
    patching.put("lib/other.c", "int third;\n")
    third = patching.after(second)
    assert evidence(third) == BOTH
    assert {cell.evidence_from for cell in third.cells} == {f"{first.run.id}/{c.id}" for c in first.run.cells}


def test_the_base_must_be_the_tree_that_the_run_before_was_made_on(patching: Patching) -> None:
    """Whatever differs from that tree counts, and not what some patch says of itself."""
    before = patching.before()
    patching.put(HEADER, "int edited by hand;\n")
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert evidence(patching.after(before)) == [Evidence.UNAFFECTED, Evidence.BUILT]


def test_a_base_that_is_not_in_the_cache_any_more_leaves_everything_to_make(patching: Patching) -> None:
    before = patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert patching.desk.world.cache is not None
    patching.desk.world.cache.remove(before.run.source.digest)
    with pytest.raises(MachineError):
        patching.desk.world.cache.load_manifest(before.run.source.digest)
    done = patching.after(before)
    assert evidence(done) == [Evidence.BUILT, Evidence.BUILT]
    assert any(
        isinstance(event, ProgressNote) and before.run.id in event.text for event in patching.desk.events
    )


def test_a_cell_that_is_not_built_takes_no_directory(patching: Patching) -> None:
    before = patching.before()
    shutil.rmtree(patching.desk.place / "cache/lanes")
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after(before)
    assert State.INFRA not in {cell.state for cell in done.cells}
    assert not (patching.desk.place / "cache/lanes").exists()
