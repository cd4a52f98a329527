"""What kbuild leaves beside an object, read as a value."""

import pytest

from matrix.memory.command_file import CommandFile, locate_command_file, parse_command_file

TEXT = """\
savedcmd_arch/powerpc/kvm/../../../virt/kvm/vfio.o := gcc -c -o vfio.o /src/virt/kvm/vfio.c ; objtool x

source_arch/powerpc/kvm/../../../virt/kvm/vfio.o := /src/arch/powerpc/kvm/../../../virt/kvm/vfio.c

deps_arch/powerpc/kvm/../../../virt/kvm/vfio.o := \\
    $(wildcard include/config/VFIO) \\
  /src/include/linux/kconfig.h \\
    $(wildcard include/config/BOOGER) \\
  include/generated/asm-offsets.h \\
  /usr/lib/gcc/include/arm_neon.h \\

arch/powerpc/kvm/../../../virt/kvm/vfio.o: $(deps_arch/powerpc/kvm/../../../virt/kvm/vfio.o)

$(deps_arch/powerpc/kvm/../../../virt/kvm/vfio.o):
"""


def test_a_compilers_command_file_names_all_that_went_in() -> None:
    assert parse_command_file(TEXT) == CommandFile(
        target="arch/powerpc/kvm/../../../virt/kvm/vfio.o",
        command="gcc -c -o vfio.o /src/virt/kvm/vfio.c ; objtool x",
        source="/src/arch/powerpc/kvm/../../../virt/kvm/vfio.c",
        sources=("arch/powerpc/kvm/../../../virt/kvm/vfio.c", "include/linux/kconfig.h"),
        generated=("include/generated/asm-offsets.h",),
        outside=("/usr/lib/gcc/include/arm_neon.h",),
        symbols=("BOOGER", "VFIO"),
    )


def test_kernels_before_6_2_call_the_command_otherwise() -> None:
    assert parse_command_file(TEXT.replace("savedcmd_", "cmd_", 1)) == parse_command_file(TEXT)


def test_and_those_before_5_13_the_symbols() -> None:
    text = TEXT.replace("include/config/BOOGER)", "include/config/ppc/book3s/64.h)")
    parsed = parse_command_file(text)
    assert parsed is not None
    assert parsed.symbols == ("PPC_BOOK3S_64", "VFIO")


@pytest.mark.parametrize(
    "text",
    ["", "savedcmd_kvm.o := ld -r -o kvm.o @kvm.mod\n", "no command file", TEXT.replace("deps_", "dips_")],
)
def test_what_no_compiler_made_has_none(text: str) -> None:
    assert parse_command_file(text) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("virt/kvm/vfio.o", "virt/kvm/.vfio.o.cmd"), ("x.o", ".x.o.cmd")]
)
def test_where_it_lies(name: str, expected: str) -> None:
    assert locate_command_file(name) == expected
