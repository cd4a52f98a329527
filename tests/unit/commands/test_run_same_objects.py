"""Cells of which every object was compiled for another cell come to what an empty directory comes to."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.memory.layers import Memory
from matrix.memory.store import Entry
from matrix.record.states import Evidence, State
from tests.fakes.sequences import Answer, Ask, Build, Edit, Kmatrix, Subject, open_fake_machine, read_answer

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
config OTHER
	bool "other"
"""
MAIN, SOLO = "drivers/vfio/main.c", "drivers/vfio/solo.c"
FILES: Mapping[str, tuple[str, ...]] = {
    "Kconfig": (_KCONFIG,),
    "Makefile": (f"{_HEAD}OBJTOOL-$(CONFIG_STRICT) += --werror\n",),
    "Kbuild": ("obj-y += drivers/vfio/\n",),
    "drivers/vfio/Makefile": (
        "obj-$(CONFIG_VFIO) += vfio.o solo.o\nvfio-y := main.o more.o\nobj-$(CONFIG_GROUP) += group.o\n",
    ),
    MAIN: ("int main;\n", "int other;\n", "twist main();\n", "#warning main\n", "twist other();\n"),
    "drivers/vfio/more.c": ("int more;\n",),
    SOLO: ("int solo;\n", "undescribed solo();\n"),
    "drivers/vfio/group.c": ("int group;\n",),
    "kernel/bounds.c": ("int bounds;\n",),
    "scripts/tool.c": ("int tool;\n",),
}
PLAIN, OTHER, TWISTED, WARNING, TWISTED_TOO = range(5)
SUBJECT = Subject(FILES, {}, (("drivers/vfio/",),), open_fake_machine)
TWO = (("OTHER", ("n", "y")),)


class Sides:
    """A base that was run with this content of its source, and what runs after that say."""

    def __init__(self, place: Path, ask: Ask, edit: Edit | None = None) -> None:
        self.kmatrix = Kmatrix(place / "kmatrix", SUBJECT)
        self.kmatrix.ask = ask
        self.kmatrix.edit(edit or Edit(MAIN, PLAIN))
        self.base = [cell.state for cell in self.kmatrix.build(Build()).run.cells]

    def patch(self, variant: int) -> list[tuple[State, Evidence | None]]:
        """The cells with a patch to this content."""
        return self.run(Edit(MAIN, variant))

    def run(self, *patch: Edit) -> list[tuple[State, Evidence | None]]:
        """The cells, each of which says what a build in an empty directory says."""
        done, fresh = (self.kmatrix.build(Build(patch, is_fresh)) for is_fresh in (False, True))
        assert _read_answers(done) == _read_answers(fresh)
        return [(cell.state, cell.evidence) for cell in done.run.cells]


def _read_answers(stored: StoredRun) -> list[Answer]:
    return [read_answer(stored, cell) for cell in stored.run.cells]


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
