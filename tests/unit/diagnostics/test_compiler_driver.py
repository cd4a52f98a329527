"""What compilers say of no place: who speaks, of which option, and what only sums up."""

import pytest

from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from tests.unit.diagnostics import parse_lines, parse_only

_BROKEN_STEPS = ["CC32", "AS32", "VDSOCC", "VDSO32C", "LDS", "HOSTCC", "CC [M]", "CC [U]", "BOOTCC", "CPP"]
_SUMMARY = "clang: error: clang frontend command failed with exit code 70 (use -v to see invocation)"
_AS_SUMMARY = "clang: error: assembler command failed with exit code 1 (use -v to see invocation)"
_FAILED = "make[2]: *** [/src/scripts/Makefile.build:229: a.o] Error 1"


def _parse_failure(*lines: str) -> list[Occurrence]:
    return list(parse_build_log(["  CC      a.o", *lines, _FAILED]).occurrences)


@pytest.mark.parametrize("step", _BROKEN_STEPS)
@pytest.mark.parametrize(
    "text",
    [
        "unable to create target: 'No available targets are compatible with triple \"thumbv8-linux\"'",
        "unknown target triple 'nope-unknown-linux'",
        "unknown target CPU 'generic-rv32'",
        "unsupported option '-mabi=' for target 'x86_64-pc-linux-gnu'",
        "unable to open output file 'a.o': 'No space left on device'",
        "invalid value 'gnu77' in '-std=gnu77'",
    ],
)
def test_clang_is_known_by_its_words_in_every_step(step: str, text: str) -> None:
    found = parse_only(f"  {step:<7} a.o", f"error: {text}", "1 error generated.")
    assert (found.tool, found.severity, found.message) == ("clang", "error", text)


def test_words_of_unknown_origin_in_a_compile_step_are_the_compilers() -> None:
    lines = ("  CC32    a.o", "error: something that only a later clang says", "1 error generated.")
    assert parse_only(*lines).tool == "clang"
    assert parse_only("  GEN     a.h", "error: something that a script says").tool == "make"


@pytest.mark.parametrize(
    ("line", "tool", "symbols"),
    [
        ("gcc: error: unrecognized command-line option '-mnope'; did you mean '-m32'?", "gcc", ("-mnope",)),
        ("cc: error: unrecognized command line option ‘-mnope’", "gcc", ("-mnope",)),
        ("s390-linux-gcc-13: error: unrecognized argument in option '-march=z17'", "gcc", ("-march=z17",)),
        ("cc1: error: bad value 'z17' for '-march=' switch", "gcc", ("-march=", "z17")),
        ("cc1: error: '-mregparm=9' is not between 0 and 6", "gcc", ("-mregparm=9",)),
        ("cc1: error: code model 'kernel' not supported in the 32 bit mode", "gcc", ("kernel",)),
        ("clang-17: error: invalid argument 'large' to -mcmodel=", "clang", ("-mcmodel=", "large")),
        (
            "clang: error: unsupported argument 'large' to option '-mcmodel=' for target 'arm-linux-gnu'",
            "clang",
            ("-mcmodel=", "large"),
        ),
        ("clang: error: -Wl,-z,x: 'linker' input unused [-Werror,-Wunused-command-line-argument]", "clang",
         ("-Wl,-z,x", "linker")),
        ("warning: unknown warning option '-Wsuch'; did you mean '-W'? [-Wunknown-warning-option]", "clang",
         ("-Wsuch",)),
        ("clang (LLVM option parsing): Unknown command line argument '-nope'.  Try: 'x'", "clang",
         ("-nope",)),
        ("cc1: error: cannot load plugin ./scripts/gcc-plugins/a_plugin.so: ./a.so: no", "gcc",
         ("a_plugin.so",)),
        ("cc1: error: fail to initialize plugin ./scripts/gcc-plugins/a_plugin.so", "gcc", ("a_plugin.so",)),
        ("<command-line>: fatal error: generated/a.h: No such file or directory", "gcc", ("generated/a.h",)),
        ("error: unknown target triple 'nope-unknown-linux'", "clang", ("nope-unknown-linux",)),
    ],
)  # fmt: skip
def test_a_message_without_a_place_names_what_it_is_about(line: str, tool: str, symbols: tuple[str]) -> None:
    found = parse_only("  CC      a.o", line)
    assert (found.tool, found.symbols, found.file) == (tool, symbols, None)


@pytest.mark.parametrize("place", ["a.c:1:10: ", "include/b.h:7:2: "])
@pytest.mark.parametrize("text", ["asm/x.h: No such file or directory", "'asm/x.h' file not found"])
def test_a_missing_header_is_named_alike_by_both(place: str, text: str) -> None:
    assert parse_only("  CC      a.o", f"{place}fatal error: {text}").symbols == ("asm/x.h",)


@pytest.mark.parametrize(
    "cause",
    [
        ["fatal error: error in backend: Cannot select: t42: i32 = X86ISD::FOO t1"],
        ["a.c:7:2: error: invalid operand for instruction"],
        [
            "LLVM ERROR: Broken module found, compilation aborted!",
            "PLEASE submit a bug report to https://x.y",
        ],
        ["clang: error: unable to execute command: Segmentation fault (core dumped)"],
        ["fatal error: error in backend: IO failure on output stream: No space left on device"],
    ],
)
def test_that_the_frontend_failed_follows_from_its_error(cause: list[str]) -> None:
    [(found, _)] = _parse_failure(*cause, _SUMMARY)
    assert "frontend command" not in found.message


def test_that_the_frontend_failed_counts_where_it_is_all_there_is() -> None:
    [(found, _)] = _parse_failure("PLEASE submit a bug report to https://x.y", _SUMMARY)
    assert (found.tool, found.internal) == ("clang", True)


def test_a_crash_after_an_error_of_the_source_is_a_problem_of_its_own() -> None:
    crash = ("PLEASE submit a bug report to https://x.y", "Stack dump:", _SUMMARY.replace("70", "139"))
    found = [diagnostic for diagnostic, _ in _parse_failure("a.c:7:2: error: unknown type name 'x'", *crash)]
    assert [diagnostic.internal for diagnostic in found] == [False, True]


def test_an_error_of_another_object_excuses_no_crash() -> None:
    lines = ("  CC      b.o", "b.c:1:1: error: unknown type name 'x'", "  CC      a.o", _SUMMARY)
    assert [found.internal for found in parse_lines(*lines)] == [False, True]


@pytest.mark.parametrize(
    ("words", "tool"),
    [
        ([], "clang"),
        (["/opt/clang/bin/as: error while loading shared libraries: libopcodes.so: cannot open"], "as"),
        (["objtool-as: it went wrong in a way that is new"], "as"),
        (["a-wrapper: it went wrong in a way that is new"], "a-wrapper"),
    ],
)
def test_that_the_assembler_failed_is_said_for_want_of_better_words(words: list[str], tool: str) -> None:
    [(found, made)] = _parse_failure(*words, _AS_SUMMARY)
    assert (found.tool, made) == (tool, "a.o")
    assert ("assembler command failed" in found.message) == (not words)


@pytest.mark.parametrize(
    "line",
    [
        "lto-wrapper: fatal error: gcc returned 1 exit status",
        "collect2: error: ld returned 1 exit status",
        "a.c:9:1: confused by earlier errors, bailing out",
        "compilation terminated due to -fmax-errors=2.",
        "compilation terminated due to -Wfatal-errors.",
        "a.c:9: error: too many errors",
        "1 warning and 20 errors generated.",
        "2 errors generated.",
        _AS_SUMMARY,
        _SUMMARY,
    ],
)
def test_what_only_sums_up_is_none_where_the_error_was_read(line: str) -> None:
    [(found, _)] = _parse_failure("a.c:3:5: error: unknown type name 'foo'", line)
    assert found.line == 3


@pytest.mark.parametrize(
    "text", ["out of memory", "IO failure on output stream: No space left on device", "IO failure: Killed"]
)
def test_llvm_did_not_break_where_the_machine_stopped_it(text: str) -> None:
    found = parse_only("  CC      a.o", f"LLVM ERROR: {text}")
    assert (found.tool, found.internal) == ("clang", False)
