"""What make and the shell print."""

import pytest

from matrix.diagnostics.log_parser import parse_diagnostics
from tests.unit.diagnostics import parse_lines, parse_only

_STEP = "  CC      drivers/a.o"


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
    assert [diagnostic.severity for diagnostic in parse_lines(*lines)] == ["warning", "warning"]


def test_a_kill_is_reported_once_for_its_object() -> None:
    killed = [_STEP, "/bin/sh: line 1: 4711 Killed                  gcc -c a.c", "Killed"]
    [(diagnostic, made)] = parse_diagnostics([*killed, "make[4]: *** [Makefile:2: drivers/a.o] Error 137"])
    assert (diagnostic.message, made) == ("Killed", "drivers/a.o")


def test_a_missing_program_is_the_shells_error() -> None:
    found = parse_only("  YACC    scripts/kconfig/parser.tab.[ch]", "/bin/sh: 1: bison: not found")
    assert (found.tool, found.severity, found.message) == ("sh", "error", "bison: not found")


def test_a_banner_is_one_error_with_its_lines() -> None:
    found = parse_only(
        "***", "*** The source tree is not clean, please run 'make mrproper'", "*** in /src", "***"
    )
    assert found.message == "The source tree is not clean, please run 'make mrproper'"
    assert found.notes == ("in /src",)
