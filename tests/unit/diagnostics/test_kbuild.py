"""What modpost, Kconfig and the kernel's scripts print."""

import pytest

from matrix.diagnostics.log_parser import parse_diagnostics
from tests.unit.diagnostics import parse_only


def test_modposts_older_words_are_known() -> None:
    undefined, mismatch = parse_diagnostics(
        [
            'ERROR: "gone" [drivers/a.ko] undefined!',
            "WARNING: vmlinux.o(.text+0x1): Section mismatch in reference from f() to .init.text:g()",
        ]
    )
    assert (undefined.diagnostic.tool, undefined.object) == ("modpost", "drivers/a.ko")
    assert undefined.diagnostic.symbols == ("gone",)
    assert (mismatch.diagnostic.tool, mismatch.object) == ("modpost", "vmlinux.o")


def test_a_kconfig_message_belongs_to_no_object() -> None:
    [(_, made)] = parse_diagnostics(["  HOSTLD  scripts/kconfig/conf", "drivers/Kconfig:12: syntax error"])
    assert made is None


@pytest.mark.parametrize(
    ("line", "severity", "file"),
    [
        ("drivers/Kconfig:3:warning: 'A': number is invalid", "warning", "drivers/Kconfig"),
        (".config:3:warning: symbol value 'x' invalid for A", "warning", ".config"),
        ("arch/x86/configs/a_defconfig:3:warning: no", "warning", "arch/x86/configs/a_defconfig"),
        ("/src/lib/Kconfig.debug:3: syntax error", "error", "lib/Kconfig.debug"),
        ("drivers/Kconfig:3:error: recursive dependency detected!", "error", "drivers/Kconfig"),
    ],
)  # fmt: skip
def test_kconfig_speaks_of_its_files(line: str, severity: str, file: str) -> None:
    found = parse_only(line)
    assert (found.tool, found.severity, found.file, found.line) == ("kconfig", severity, file, 3)


def test_a_recursive_dependency_tells_its_way() -> None:
    found = parse_only(
        "drivers/Kconfig:3:error: recursive dependency detected!",
        "drivers/Kconfig:3:\tsymbol A depends on B",
        "drivers/Kconfig:9:\tsymbol B is selected by A",
    )
    assert found.notes == (
        "drivers/Kconfig:3: symbol A depends on B",
        "drivers/Kconfig:9: symbol B is selected by A",
    )


def test_a_script_that_calls_something_an_error_is_heard() -> None:
    found = parse_only("  GEN     include/a.h", "/src/scripts/gen.sh: error: no input")
    assert (found.tool, found.severity, found.message) == ("gen.sh", "error", "no input")


def test_a_paragraph_ends_with_an_empty_line_or_another_message() -> None:
    mismatch = "WARNING: vmlinux.o(.text+0x1): Section mismatch in reference from the function {}() to ZZ"
    found = parse_diagnostics(
        [
            mismatch.format("f"),
            "The function f() references",
            "",
            "a line of nothing",
            mismatch.format("h"),
            "The function h() references",
            "  CC      a.o",
            "another line",
        ]
    )
    assert [item.diagnostic.notes for item in found] == [
        ("The function f() references",),
        ("The function h() references",),
    ]


def test_a_module_s_name_that_two_objects_have_tells_no_object() -> None:
    namespace = "ERROR: modpost: module twin uses symbol s from namespace N, but does not import it."
    steps = ["  LD [M]  drivers/a/twin.o", "  LD [M]  drivers/b/twin.o", "  MODPOST Module.symvers"]
    [(_, one)] = parse_diagnostics([steps[0], steps[2], namespace])
    [(_, either)] = parse_diagnostics([*steps, namespace])
    assert (one, either) == ("drivers/a/twin.ko", "Module.symvers")


def test_advice_of_another_program_is_not_a_refusal_s_note() -> None:
    first, second = parse_diagnostics(["a.sh: error: no input", "b.sh: error: please run c.sh"])
    assert (first.diagnostic.tool, second.diagnostic.tool) == ("a.sh", "b.sh")
