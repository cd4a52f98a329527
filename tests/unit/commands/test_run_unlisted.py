"""What make reads and puts on no list of an object's reaches each run all the same."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from matrix.commands.run import run_matrix
from matrix.commands.settings import resolve_profile
from matrix.record.run_model import Run
from tests.fakes.kbuild import TreeKernel, put_files
from tests.fakes.sequences import open_fake_machine
from tests.unit.commands.test_run import states

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
VFIO = ["y"]
"""
WARNS = ".warning obsolete\n"


class Story:
    """Runs of one tree, edited between them."""

    def __init__(self, place: Path) -> None:
        self.place, self.tree = place, place / "tree"
        machine, self.world = open_fake_machine(place)
        assert isinstance(machine, TreeKernel)
        self.kernel = machine
        put_files(self.tree, TREE)

    def run(self, stage: str, **options: list[str]) -> Run:
        profile = self.place / "small.toml"
        profile.write_text(PROFILE.format(stage=stage))
        given = {"profile": [str(profile)], "source": [str(self.tree)], **options}
        return run_matrix(resolve_profile(given, {}), lambda _: None, ["test"], self.world).run

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
