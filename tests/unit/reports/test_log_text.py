"""A build log as text: failed targets with their causes, each diagnostic once, what is counted."""

from io import StringIO

import pytest
from rich.console import Console

from matrix.diagnostics.log_parser import parse_build_log
from reports.log_text import LogView, show_log
from tests.fakes.foreign_words import LIVE

UNKNOWN_OPTION = "gcc: error: unrecognized command-line option '-mfoo'"


def view(text: str, *, failed: bool | None = None) -> LogView:
    return LogView("build.log", parse_build_log(text.splitlines(), failed=failed))


def told(text: str, *, failed: bool | None = None) -> str:
    out = StringIO()
    show_log(view(text, failed=failed), Console(file=out, width=80, color_system=None))
    return out.getvalue()


def compiled(name: str, *lines: str, fails: bool = False) -> str:
    error = f"make[3]: *** [scripts/Makefile.build:229: {name}.o] Error 1\n" if fails else ""
    return f"  CC      {name}.o\n" + "".join(f"{line}\n" for line in lines) + error


def test_a_log_is_told_like_this() -> None:
    text = (
        compiled("a", "a.c:3:5: error: 'x' undeclared", "    3 |     x = 1;", "      |     ^", fails=True)
        + compiled("b", "h.h:1:1: warning: unused variable 'y' [-Wunused-variable]")
        + compiled("c", "h.h:1:1: warning: unused variable 'y' [-Wunused-variable]")
        + compiled("d", "d.c:1:1: error: 'z' undeclared")
        + "make[3]: *** [scripts/Makefile:3: kernel/config_data] Error 1\n"
    )
    assert told(text) == (
        "failed: a.o\n"
        "  a.c:3:5: error: 'x' undeclared\n"
        "      3 |     x = 1;\n"
        "        |     ^\n"
        "failed: kernel/config_data\n"
        "  no cause is known: Error 1: nothing that its command printed says why\n"
        "d.c:1:1: error: 'z' undeclared\n"
        "h.h:1:1: warning: unused variable 'y' [-Wunused-variable]\n"
        "  in 2 objects: b.o, c.o\n"
        "build.log: 2 targets failed, 2 errors, 1 warning\n"
    )


def test_targets_that_failed_of_the_same_are_told_together_and_it_is_counted_once() -> None:
    text = "".join(compiled(f"d/o{number}", UNKNOWN_OPTION, fails=True) for number in range(300))
    shown = told(text)
    assert shown.startswith("failed: d/o0.o, d/o1.o, d/o2.o and 297 more\n")
    assert shown.count("-mfoo") == 1
    assert shown.endswith("build.log: 300 targets failed, 1 error\n")


def test_what_only_sums_up_is_not_counted() -> None:
    text = compiled(
        "a",
        "a.c:1:1: warning: unused variable 'y' [-Wunused-variable]",
        "cc1: all warnings being treated as errors",
        fails=True,
    )
    assert "all warnings being treated" not in view(text).headline
    assert view(text).headline.startswith("1 target failed, 1 ")


def test_what_make_passes_up_is_no_failure_of_its_own() -> None:
    text = compiled("d/a", "d/a.c:3:5: error: 'x' undeclared", fails=True)
    text += (
        "make[2]: *** [scripts/Makefile.build:485: d] Error 2\nmake: *** [Makefile:234: __sub-make] Error 2\n"
    )
    assert view(text).headline == "1 target failed, 1 error"


def test_a_diagnostic_without_a_file_has_its_object() -> None:
    assert "gcc: error: unrecognized command-line option '-mfoo'\n  in a.o\n" in told(
        compiled("a", UNKNOWN_OPTION)
    )


@pytest.mark.parametrize(
    ("text", "failed", "headline"),
    [
        ("", None, "no error and no warning"),
        ("", False, "no error and no warning"),
        (compiled("a"), None, "no error and no warning"),
        (compiled("a", "a.c:1:1: warning: w"), None, "1 warning"),
    ],
)
def test_silence_is_told(text: str, failed: bool | None, headline: str) -> None:
    assert told(text, failed=failed).endswith(f"build.log: {headline}\n")


def test_very_many_diagnostics_are_counted() -> None:
    text = "".join(
        compiled(f"o{number}", f"o{number}.c:1:1: warning: {'w' * number}") for number in range(1, 300)
    )
    shown = told(text)
    assert "… and 99 more warnings, with --json\n" in shown
    assert shown.endswith("299 warnings\n")


@pytest.mark.parametrize("words", LIVE)
def test_foreign_words_control_no_terminal(words: str) -> None:
    line = words.replace("\n", " ").replace("\r", " ")
    text = compiled("a", f"a.c:1:1: error: {line} x", fails=True) + compiled(
        "b", f"b.c:1:1: warning: {line} x"
    )
    shown = told(text)
    assert not {"\x1b", "\x07", "\x08", "\x00", "\x9b", "\u202e", "\r"} & set(shown)
    assert shown.splitlines()[0] == "failed: a.o"


def test_further_errors_of_a_failed_target_stand_below_it() -> None:
    text = (
        compiled("a", "a.c:3:5: error: 'x' undeclared", "a.c:9:5: error: 'y' undeclared", fails=True)
        + compiled("b", "b.c:1:1: error: 'z' undeclared", fails=True)
        + compiled("c", "c.c:9:5: error: 'w' undeclared")
    )
    assert told(text) == (
        "failed: a.o\n"
        "  a.c:3:5: error: 'x' undeclared\n"
        "  a.c:9:5: error: 'y' undeclared\n"
        "failed: b.o\n"
        "  b.c:1:1: error: 'z' undeclared\n"
        "c.c:9:5: error: 'w' undeclared\n"
        "build.log: 2 targets failed, 4 errors\n"
    )


def test_very_many_errors_of_one_target_are_counted() -> None:
    errors = [f"a.c:{number}:1: error: 'x{number}' undeclared" for number in range(1, 300)]
    shown = told(compiled("a", *errors, fails=True))
    assert "\n  … and 98 more errors, with --json\n" in shown
    assert shown.endswith("1 target failed, 299 errors\n")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("objcopy:boot/a.bin[.rodata]: No space left", "objcopy: error: boot/a.bin[.rodata]: No space left"),
        ("powerpc-linux-gnu-objcopy: a: truncated", "objcopy: error: a: truncated"),
        ("/src/scripts/gen_x.sh: line 34: bc: not found", "gen_x.sh: error: line 34: bc: not found"),
        ("lost: a.bin is bad", "lost: error: a.bin is bad"),
        ("a.bin is bad", "make: error: a.bin is bad"),
    ],
)
def test_last_words_and_their_program_are_printed_once(line: str, shown: str) -> None:
    text = f"  GEN     a.bin\n{line}\nmake[1]: *** [Makefile:3: a.bin] Error 1\n"
    assert told(text).splitlines()[1:-1] == [f"  {shown}"]


def test_an_error_of_rustc_has_its_number_as_rustc_prints_it() -> None:
    text = (
        "  RUSTC   rust/kernel.o\n"
        "error[E0425]: cannot find function `f` in module `bindings`\n"
        "  --> rust/kernel/a.rs:3:5\n"
    )
    assert "rust/kernel/a.rs:3:5: error: cannot find function `f` in module `bindings` [E0425]" in told(text)


def test_a_log_that_was_said_to_fail_and_shows_only_warnings_does_not_show_why() -> None:
    shown = told(compiled("a", "a.c:1:1: warning: w"), failed=True)
    assert "make: error: the build failed and its log does not show why\n" in shown
    assert "its log is empty" in told("", failed=True)
