"""Cells of which every object was compiled for another cell come to what an empty directory comes to."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.builder.lane_objects import LaneObjects
from matrix.memory.layers import Memory
from matrix.memory.store import Entry
from matrix.record.states import Evidence, State
from matrix.resolve.step_output import OutputLimits
from tests.fakes.kbuild import TreeKernel
from tests.fakes.kernel import Job, quiet
from tests.fakes.sequences import Ask, Build, Edit, Judge, Kmatrix, Subject, open_fake_machine, read_answer

_HEAD = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 48\nEXTRAVERSION = -rc1\nNAME = Test\n"
_KCONFIG = """\
config MODULES
	bool
	default y
config VFIO
	tristate "vfio"
	default m
config GROUP
	bool "group"
config STRICT
	bool "strict"
config TWIN
	tristate "twin"
config OTHER
	bool "other"
"""
_MAKEFILE = """\
obj-$(CONFIG_VFIO) += vfio.o solo.o
vfio-y := main.o more.o
obj-$(CONFIG_GROUP) += group.o
obj-$(CONFIG_TWIN) += solo-twin.o
CFLAGS_solo-twin.o := -DTWIN
$(obj)/solo-twin.o: $(src)/solo.c
"""
MAIN, SOLO, BOUNDS = "drivers/vfio/main.c", "drivers/vfio/solo.c", "kernel/bounds.c"
FILES: Mapping[str, tuple[str, ...]] = {
    "Kconfig": (_KCONFIG,),
    "Makefile": (f"{_HEAD}OBJTOOL-$(CONFIG_STRICT) += --werror\n",),
    "Kbuild": ("obj-y += drivers/vfio/\n",),
    "drivers/vfio/Makefile": (_MAKEFILE,),
    MAIN: ("int main;\n", "int other;\n", "twist main();\n", "#warning main\n", "twist other();\n"),
    "drivers/vfio/more.c": ("int more;\n",),
    SOLO: ("int solo;\n", "undescribed solo();\n", "#ifdef TWIN\n#warning twin\n#endif\n"),
    "drivers/vfio/group.c": ("int group;\n",),
    BOUNDS: ("int bounds;\n", "#warning bounds\n"),
    "scripts/tool.c": ("int tool;\n",),
}
PLAIN, OTHER, TWISTED, WARNING, TWISTED_TOO = range(5)
SUBJECT = Subject(FILES, {}, (("drivers/vfio/",),), open_fake_machine)
TWO = (("OTHER", ("n", "y")),)


class Sides:
    """A base that was run with this content of its sources, and what runs after that say."""

    def __init__(self, place: Path, ask: Ask, *edits: Edit) -> None:
        self.kmatrix = Kmatrix(place / "kmatrix", SUBJECT)
        self.kmatrix.ask = ask
        for edit in edits:
            self.kmatrix.edit(edit)
        self.judge = Judge(place / "fresh", SUBJECT)
        self.base = [state for state, _ in self.run()]

    @property
    def kernel(self) -> TreeKernel:
        assert isinstance(self.kmatrix.machine, TreeKernel)
        return self.kmatrix.machine

    def patch(self, variant: int) -> list[tuple[State, Evidence | None]]:
        """The cells with a patch to this content."""
        return self.run(Edit(MAIN, variant))

    def run(self, *patch: Edit) -> list[tuple[State, Evidence | None]]:
        """The cells, each of which says what a build of it alone in an empty directory says."""
        self.stored = self.kmatrix.build(Build(patch))
        variants = self.kmatrix.variants | {edit.file: edit.variant for edit in patch}
        for cell in self.stored.run.cells:
            expected = self.judge.expect(variants, self.kmatrix.ask, cell.id)
            assert read_answer(self.stored, cell) == expected
        return [(cell.state, cell.evidence) for cell in self.stored.run.cells]


def test_a_cell_with_the_objects_of_another_is_not_made(tmp_path: Path) -> None:
    sides = Sides(tmp_path, Ask(TWO))
    for variant, state in ((OTHER, State.PASS), (WARNING, State.WARN)):
        assert sides.patch(variant) == [(state, Evidence.BUILT), (state, Evidence.SAME_OBJECTS)]


def test_what_it_rests_on_counts_as_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else that goes first where the caches are full, and each patch is built in full."""
    sides = Sides(tmp_path, Ask(TWO))
    used: list[list[str]] = []
    note = Memory.record_use

    def record_use(memory: Memory, entries: Iterable[Entry]) -> None:
        noted = list(entries)
        used.append([f"{entry.kind} {entry.name}" for entry in noted if entry.kind != "result"])
        used[-1] += [entry.run for entry in noted if entry.kind == "result"]
        note(memory, noted)

    monkeypatch.setattr(Memory, "record_use", record_use)
    sides.kmatrix.build(Build((Edit(MAIN, OTHER),)))
    objects = ("main", "more", "solo")
    names = {f"object drivers/vfio/{name}.o" for name in objects} | {"link drivers/vfio/vfio.o"}
    (rested,) = (set(noted) for noted in used if names & set(noted) == names)
    assert len(rested - names) == 1, "and the result of the base"


@pytest.mark.parametrize(("variant", "state"), [(OTHER, State.PASS), (WARNING, State.WARN)])
def test_one_that_is_empty_stays_so_whatever_is_compiled_beside_its_focus(
    tmp_path: Path, variant: int, state: State
) -> None:
    sides = Sides(tmp_path, Ask((("GROUP", ("y", "n")),), focus=("drivers/vfio/group.o",)))
    assert sides.base == [State.PASS, State.EMPTY]
    assert sides.patch(variant) == [(state, Evidence.BUILT), (State.EMPTY, Evidence.SAME_OBJECTS)]


def test_the_words_of_a_link_that_a_patch_makes_warn_are_seen_of_each_cell(tmp_path: Path) -> None:
    sides = Sides(tmp_path, Ask(TWO))
    assert [state for state, _ in sides.patch(TWISTED)] == [State.WARN] * 2


@pytest.mark.parametrize(("variant", "state"), [(OTHER, State.PASS), (TWISTED_TOO, State.WARN)])
def test_the_words_of_a_link_that_the_base_warned_of_are_not_taken_over(
    tmp_path: Path, variant: int, state: State
) -> None:
    sides = Sides(tmp_path, Ask(TWO), Edit(MAIN, TWISTED))
    assert sides.base == [State.WARN] * 2
    assert [state for state, _ in sides.patch(variant)] == [state] * 2


def test_the_same_parts_linked_by_another_command_are_another_module(tmp_path: Path) -> None:
    sides = Sides(tmp_path, Ask((("STRICT", ("n", "y")),)))
    assert sides.patch(OTHER) == [(State.PASS, Evidence.BUILT)] * 2
    assert [state for state, _ in sides.patch(TWISTED)] == [State.WARN, State.FAIL]


@pytest.mark.parametrize("focus", [(), ("drivers/vfio/",)])
def test_what_modpost_says_of_a_module_is_no_word_of_its_compiler(
    tmp_path: Path, focus: tuple[str, ...]
) -> None:
    """It comes with each stage in which modpost runs, and with no other."""
    modules = Ask(TWO, focus=focus, stage="modules")
    sides = Sides(tmp_path, modules, Edit(SOLO, 1))
    assert sides.base == [State.WARN] * 2
    sides.kmatrix.ask = Ask(TWO)
    assert [state for state, _ in sides.run()] == [State.PASS] * 2
    sides.kmatrix.ask = replace(modules, axes=(("GROUP", ("y", "n")), *TWO))
    assert [state for state, _ in sides.run()] == [State.WARN] * 4


def test_a_warning_of_a_source_of_which_two_objects_are_made_is_kept_with_neither(tmp_path: Path) -> None:
    """The message names the source alone, and so what was compiled of it first."""
    sides = Sides(tmp_path, Ask((("TWIN", ("m", "n")),)), Edit(SOLO, 2))
    assert sides.base == [State.WARN, State.PASS]


def test_the_log_of_a_cell_that_was_not_made_has_no_step_of_another(tmp_path: Path) -> None:
    sides = Sides(tmp_path, Ask(TWO))
    sides.kmatrix.forget("resolutions")
    assert [evidence for _, evidence in sides.patch(OTHER)] == [Evidence.BUILT, Evidence.SAME_OBJECTS]
    assert [evidence for _, evidence in sides.patch(OTHER)] == [Evidence.REMEMBERED] * 2
    logs = [(sides.stored.directory / str(cell.log)).read_text() for cell in sides.stored.run.cells]
    assert [log.count("config\n") for log in logs] == [0, 0]
    assert "nothing is made here" in logs[1]


# What stands in a lane's directory.


def test_where_headers_cannot_be_prepared_what_stands_is_compiled_anew(tmp_path: Path) -> None:
    """It may be on record with warnings, and make is silent of what is up to date."""
    sides = Sides(tmp_path, Ask(TWO), Edit(MAIN, WARNING))
    sides.kmatrix.ask = Ask((("GROUP", ("y", "n")), *TWO))
    failures = iter([2])
    sides.kernel.before = lambda job: next(failures, None) if job.targets == ("prepare",) else None
    assert [state for state, _ in sides.run()] == [State.WARN] * 4
    assert next(failures, None) is None, "it was asked for"


def test_what_was_printed_too_much_while_headers_were_prepared_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = Sides(tmp_path, Ask(TWO))
    sides.kmatrix.ask = Ask((("GROUP", ("y",)), ("OTHER", ("n",))))

    def flood(job: Job) -> None:
        for number in range(200 if job.targets == ("prepare",) else 0):
            job.say(f"/src/kernel/bounds.c:{number}:2: warning: too much [-Wcpp]")

    sides.kernel.before = flood
    monkeypatch.setattr("matrix.resolve.step_output.OUTPUT_LIMITS", OutputLimits(diagnostics=50))
    (flooded,) = sides.kmatrix.build(Build()).run.cells
    assert flooded.state is State.WARN
    sides.kernel.before = quiet
    assert sides.run() == [(State.PASS, Evidence.BUILT)]


def test_a_directory_that_an_older_kmatrix_left_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It put the warnings of what stands there into the lane's own record."""
    with monkeypatch.context() as older:
        older.setattr(LaneObjects, "remove_unkept", lambda *_: None)
        sides = Sides(tmp_path, Ask(), Edit(BOUNDS, 1))
    for path in (sides.kmatrix.place / "cache/lanes").glob("*/lane.json"):
        state = json.loads(path.read_text())
        path.write_text(json.dumps({"tree": state["tree"], "copy_": state["copy_"], "warnings": {}}))
    sides.kmatrix.forget("memory")
    assert sides.run() == [(State.WARN, Evidence.BUILT)]
