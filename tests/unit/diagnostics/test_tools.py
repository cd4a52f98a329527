"""What linkers, the kernel's own tools, make and the shell have to say."""

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.log_parser import parse_diagnostics

_STEP = "  CC      drivers/a.o"


def _diagnostics(*lines: str) -> list[Diagnostic]:
    return [diagnostic for diagnostic, _ in parse_diagnostics(lines)]


def _only(*lines: str) -> Diagnostic:
    [diagnostic] = _diagnostics(*lines)
    return diagnostic


# Linkers and the kernel's tools


def test_the_same_reference_at_two_addresses_is_one_diagnostic() -> None:
    found = _only(
        "  LD      vmlinux",
        "ld: drivers/a.o: in function `f':",
        "a.c:(.text+0x20): undefined reference to `g'",
        "ld: a.c:(.text+0x40): undefined reference to `g'",
        "ld: a.c:(.text+0x50): more undefined references to `g' follow",
        "ld: final link failed: bad value",
    )
    assert (found.file, found.function, found.symbols) == ("drivers/a.c", "f", ("g",))


def test_a_full_disk_stops_the_linker() -> None:
    found = _only("  LD      vmlinux", "ld: final link failed: No space left on device")
    assert found.severity == "error"


def test_a_linkers_warning_is_a_warning() -> None:
    found = _only(
        "  LD      vmlinux",
        "ld: warning: a.o: missing .note.GNU-stack section implies executable stack",
        "ld: NOTE: This behaviour is deprecated",
    )
    assert (found.severity, found.notes) == ("warning", ("in a.o", "This behaviour is deprecated"))


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
    found = _only(line)
    assert (found.tool, found.severity, found.file, found.line) == ("kconfig", severity, file, 3)


def test_a_recursive_dependency_tells_its_way() -> None:
    found = _only(
        "drivers/Kconfig:3:error: recursive dependency detected!",
        "drivers/Kconfig:3:\tsymbol A depends on B",
        "drivers/Kconfig:9:\tsymbol B is selected by A",
    )
    assert found.notes == (
        "drivers/Kconfig:3: symbol A depends on B",
        "drivers/Kconfig:9: symbol B is selected by A",
    )


def test_a_script_that_calls_something_an_error_is_heard() -> None:
    found = _only("  GEN     include/a.h", "/src/scripts/gen.sh: error: no input")
    assert (found.tool, found.severity, found.message) == ("gen.sh", "error", "no input")


# make


@pytest.mark.parametrize(
    ("line", "message", "made"),
    [
        ("make[2]: *** No rule to make target 'a.o', needed by 'b'.  Stop.",
         "No rule to make target 'a.o', needed by 'b'", "b"),
        ("make[5]: *** No rule to make target 'a.o'.", "No rule to make target 'a.o'", "a.o"),
        ("make: *** write error: stdout", "write error: stdout", None),
        ("/src/Makefile:12: *** missing separator.  Stop.", "missing separator", None),
        ("scripts/Makefile.build:41: arch/x/Makefile: No such file or directory",
         "arch/x/Makefile: No such file or directory", None),
        ("make[3]: bison: No such file or directory", "bison: No such file or directory", None),
        ("make[4]: *** [scripts/Makefile.build:229: a/b.o] Killed", "Killed", "a/b.o"),
        ("make[4]: *** [scripts/Makefile.build:229: a/b.o] Segmentation fault (core dumped)",
         "Segmentation fault", "a/b.o"),
    ],
)  # fmt: skip
def test_make_stops(line: str, message: str, made: str | None) -> None:
    [(diagnostic, target)] = parse_diagnostics([line])
    assert (diagnostic.tool, diagnostic.severity, diagnostic.message) == ("make", "error", message)
    assert target == made


def test_makes_own_warnings_are_warnings() -> None:
    lines = [
        "Makefile:3: warning: overriding recipe for target 'x'",
        "make[3]: Circular a <- b dependency dropped.",
    ]
    assert [diagnostic.severity for diagnostic in _diagnostics(*lines)] == ["warning", "warning"]


def test_a_kill_is_reported_once_for_its_object() -> None:
    killed = [_STEP, "/bin/sh: line 1: 4711 Killed                  gcc -c a.c", "Killed"]
    [(diagnostic, made)] = parse_diagnostics([*killed, "make[4]: *** [Makefile:2: drivers/a.o] Error 137"])
    assert (diagnostic.message, made) == ("Killed", "drivers/a.o")


def test_a_missing_program_is_the_shells_error() -> None:
    found = _only("  YACC    scripts/kconfig/parser.tab.[ch]", "/bin/sh: 1: bison: not found")
    assert (found.tool, found.severity, found.message) == ("sh", "error", "bison: not found")


def test_a_banner_is_one_error_with_its_lines() -> None:
    found = _only("***", "*** The source tree is not clean, please run 'make mrproper'", "*** in /src", "***")
    assert found.message == "The source tree is not clean, please run 'make mrproper'"
    assert found.notes == ("in /src",)
