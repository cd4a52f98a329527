"""What make reads and puts on no list of an object's reaches each run all the same."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from matrix.commands.run import run_matrix
from matrix.commands.settings import resolve_profile
from matrix.record.run_model import Run
from tests.fakes.kbuild import TreeKernel, put_files
from tests.fakes.sequences import open_fake_machine
from tests.unit.commands.run_desk import states

PROTOTYPES, INCLUDED = "arch/x86/include/asm/asm-prototypes.h", "include/linux/memset.h"
ASSEMBLED = "arch/x86/include/asm/insn-asm.h"
TREE: Mapping[str, str] = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 48\nEXTRAVERSION =\nKBUILD_CFLAGS := -O2\n",
    "Kconfig": (
        "config MODULES\n\tbool\n\tdefault y\nconfig ASM_MODVERSIONS\n\tbool\n\tdefault y\n"
        "config VFIO\n\ttristate\n"
    ),
    "Kbuild": "obj-y += lib/\nobj-y += drivers/vfio/\n",
    "lib/Makefile": "obj-y += memset.o kernel.o\n",
    "lib/memset.S": "define memset();\nEXPORT_SYMBOL(memset)\n",
    "lib/kernel.c": "#include <linux/kernel.h>\n",
    "include/linux/kernel.h": "int kernel;\n",
    PROTOTYPES: "#include <linux/memset.h>\n",
    INCLUDED: "prototype memset;\n",
    ASSEMBLED: ".macro insn\n",
    "drivers/vfio/Makefile": "obj-$(CONFIG_VFIO) += vfio.o insn.o\n",
    "drivers/vfio/vfio.c": "int vfio;\n",
    "drivers/vfio/insn.c": '.include "asm/insn-asm.h"\n',
    "kernel/bounds.c": "int bounds;\n",
    "scripts/tool.c": "int tool;\n",
    "scripts/checksyscalls.sh": "check\n",
}
PROFILE = """
focus = ["drivers/vfio/"]
arch = ["x86"]
toolchain = ["gcc-14"]
lanes = 1
stage = "{stage}"
[symbols]
{symbols}
"""
VFIO = 'VFIO = ["y"]'
MEMSET = "lib/memset.o"
ASKED = 'config ASM_MODVERSIONS\n\tbool "versions"\n'
WARNS = ".warning obsolete\n"


class Story:
    """Runs of one tree, edited between them."""

    def __init__(self, place: Path) -> None:
        self.place, self.tree = place, place / "tree"
        machine, self.world = open_fake_machine(place)
        assert isinstance(machine, TreeKernel)
        self.kernel = machine
        put_files(self.tree, TREE)
        self.count = 0

    def run(self, stage: str, symbols: str = VFIO) -> Run:
        profile = self.place / "small.toml"
        profile.write_text(PROFILE.format(stage=stage, symbols=symbols))
        given = {"profile": [str(profile)], "source": [str(self.tree)]}
        self.stored = run_matrix(resolve_profile(given, {}), lambda _: None, ["test"], self.world)
        return self.stored.run

    def run_elsewhere(self, symbols: str = VFIO) -> list[bool]:
        """Run with an edit of another source, in an empty directory: was memset.o compiled, cell by cell?"""
        self.count += 1
        self.edit("drivers/vfio/vfio.c", f"int vfio_{self.count};\n")
        shutil.rmtree(self.place / "cache" / "lanes")
        logs = (self.stored.directory / str(cell.log) for cell in self.run("vmlinux", symbols).cells)
        return [f"AS      {MEMSET}" in log.read_text() for log in logs]

    def edit(self, name: str, text: str) -> None:
        put_files(self.tree, {name: text})


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


CASES = {
    PROTOTYPES: ("vmlinux", "prototype memset;\n", "int nothing;\n"),
    INCLUDED: ("vmlinux", "prototype memset;\n", "int nothing;\n"),
    ASSEMBLED: ("focus", ".macro insn\n", WARNS),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_good_first", [True, False])
def test_a_header_that_no_list_names_decides_on_a_remembered_result(
    story: Story, name: str, is_good_first: bool
) -> None:
    stage, good, bad = CASES[name]
    for is_good in (is_good_first, not is_good_first) * 2:
        story.edit(name, good if is_good else bad)
        assert states(story.run(stage)) == ["pass" if is_good else "warn"]
    assert not story.kernel.ran(configures=False)[4:], "what was seen before is remembered"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_good_first", [True, False])
def test_a_header_that_no_list_names_decides_on_an_object_on_record(
    story: Story, name: str, is_good_first: bool
) -> None:
    """The cell is built each time, as another source was edited too."""
    stage, good, bad = CASES[name]
    for number, is_good in enumerate((is_good_first, not is_good_first) * 2):
        story.edit("drivers/vfio/vfio.c", f"int vfio_{number};\n")
        story.edit(name, good if is_good else bad)
        assert states(story.run(stage)) == ["pass" if is_good else "warn"]


EDITS: Mapping[str, Mapping[str, str]] = {
    "the header of prototypes": {PROTOTYPES: "#include <linux/memset.h>\nint more;\n"},
    "a header that it includes": {INCLUDED: "prototype memset;\nint more;\n"},
    "the other header that make names": {"include/linux/kernel.h": "int kernel_2;\n"},
    "what the flags of C take in": {"include/linux/compiler_types.h": "int types;\n"},
    "a header in front of one of its": {"arch/x86/include/linux/memset.h": "prototype memset;\n"},
    "the arch's makefile": {"arch/x86/Makefile": "KBUILD_CFLAGS += -DFOO\n"},
    "the makefile beside it": {"lib/Makefile": f"{TREE['lib/Makefile']}ccflags-y += -DFOO\n"},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_genksyms_alone_reads_makes_an_exporting_object_anew(
    story: Story, edit: Mapping[str, str]
) -> None:
    story.run("vmlinux")
    assert story.run_elsewhere() == [False]
    put_files(story.tree, edit)
    assert story.run_elsewhere() == [True]
    assert story.run_elsewhere() == [False]


@pytest.mark.parametrize("name", [PROTOTYPES, INCLUDED, "include/linux/kernel.h"])
def test_a_symbol_that_only_genksyms_sees_makes_an_exporting_object_anew(story: Story, name: str) -> None:
    """What it prints is a version less, which modpost complains of: of the one cell, and not of the other."""
    story.edit(PROTOTYPES, "#include <linux/memset.h>\n#include <linux/kernel.h>\n")
    story.edit(INCLUDED, "int nothing;\n")
    more = "#include <linux/memset.h>\n" if name == PROTOTYPES else ""
    story.edit(name, f"{more}#ifdef CONFIG_VFIO\n#include <linux/known.h>\n#endif\n")
    story.edit("include/linux/known.h", "prototype memset;\n")
    for values in ('VFIO = ["y", "n"]', 'VFIO = ["n", "y"]', 'VFIO = ["y", "n"]'):
        done = story.run("vmlinux", values)
        expected = {"VFIO=y": "pass", "VFIO=n": "warn"}
        assert {cell.id.rpartition("/")[2]: cell.state for cell in done.cells} == expected
        story.edit("lib/kernel.c", f"int kernel_{values};\n")
    assert story.run_elsewhere('VFIO = ["y", "n"]') == [False, False]


def test_an_exporting_object_serves_configurations_that_genksyms_takes_alike(story: Story) -> None:
    story.run("vmlinux", 'VFIO = ["y"]')
    assert story.run_elsewhere('VFIO = ["n"]') == [False]


def test_an_exporting_object_without_versions_is_none_with_them(story: Story) -> None:
    head, versions, tail = TREE["Kconfig"].partition("config ASM_MODVERSIONS\n")
    story.edit("Kconfig", head + versions + tail.replace("default y\n", "default n\n", 1))
    for values in ('["n", "y"]', '["y", "n"]'):
        done = story.run("vmlinux", f"ASM_MODVERSIONS = {values}")
        assert states(done) == ["pass", "pass"], "with its versions, modpost misses none"
        story.edit("lib/kernel.c", f"int kernel_{values};\n")


@pytest.mark.parametrize("text", ["#include PROTOTYPES\n", "#if __has_include(PROTOTYPES)\n#endif\n"])
def test_an_exporting_object_is_not_kept_where_a_header_hides_what_it_reads(story: Story, text: str) -> None:
    story.edit(INCLUDED, f"prototype memset;\n#ifdef FOO\n{text}#endif\n")
    story.run("vmlinux")
    assert story.run_elsewhere() == [True]


def test_a_header_that_a_patch_adds_in_front_of_a_generated_one_is_seen(story: Story) -> None:
    story.edit("drivers/vfio/vfio.c", '#include "generated/bounds.h"\n')
    assert states(story.run("focus")) == ["pass"]
    story.edit("drivers/vfio/generated/bounds.h", "#warning in front\n")
    assert states(story.run("focus")) == ["warn"]


def test_a_source_whose_name_is_no_utf8_ends_no_lane(story: Story) -> None:
    """The compiler names the link; what it leads to is nothing that a record can hold."""
    header = story.tree / "include/linux" / os.fsdecode(b"\xff.h")
    header.write_text("int header;\n")
    (story.tree / "include/linux/link.h").symlink_to(header.name)
    story.edit("drivers/vfio/vfio.c", "#include <linux/link.h>\n")
    assert [states(story.run("focus")) for _ in range(2)] == [["pass"], ["pass"]]
    header.write_text("#warning header\n")
    assert states(story.run("focus")) == ["warn"]


def test_a_source_that_only_genksyms_reads_is_taken_for_any(story: Story) -> None:
    story.edit("drivers/vfio/vfio.c", "#ifdef __GENKSYMS__\n#include <linux/seen.h>\n#endif\n")
    for text in ("int seen;\n", "int other;\n"):
        story.edit("include/linux/seen.h", text)
        story.kernel.jobs.clear()
        story.run("focus")
        assert story.kernel.ran(configures=False)
