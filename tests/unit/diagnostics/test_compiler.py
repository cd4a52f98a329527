"""What counts as a diagnostic, what it says, and to which object it belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.diagnostics.log_parser import parse_build_log, parse_diagnostics
from matrix.diagnostics.parser_state import MAX_LOG_LINE_LENGTH
from tests.stopwatch import limit_cpu
from tests.unit.diagnostics import parse_lines, parse_only

_STEP = "  CC      drivers/a.o"
_ERROR = "drivers/a.c:3:5: error: unknown type name 'foo'"
_WARNING = "drivers/a.c:9:2: warning: unused variable 'x' [-Wunused-variable]"


def _object(*lines: str) -> str | None:
    [(_, made)] = parse_diagnostics(lines)
    return made


def test_an_empty_log_holds_nothing() -> None:
    assert parse_diagnostics([]) == []


# Consequences


@pytest.mark.parametrize(
    "line",
    [
        "cc1: all warnings being treated as errors",
        "cc1: some warnings being treated as errors",
        "compilation terminated.",
        "1 error generated.",
        "2 warnings and 1 error generated.",
        "fatal error: too many errors emitted, stopping now [-ferror-limit=]",
        "drivers/a.c:99:1: fatal error: too many errors emitted, stopping now [-ferror-limit=]",
        "collect2: error: ld returned 1 exit status",
        "clang: error: linker command failed with exit code 1 (use -v to see invocation)",
        "drivers/a.S: Assembler messages:",
        "make[4]: [scripts/Makefile.build:229: drivers/a.o] Error 1 (ignored)",
        "make[3]: Target 'drivers/' not remade because of errors.",
        "make[2]: *** Waiting for unfinished jobs....",
        "make[2]: *** Deleting file 'drivers/a.o'",
        "make: Entering directory '/src'",
        "make[1]: Nothing to be done for 'all'.",
        "*** Default configuration is based on 'x86_64_defconfig'",
        ".config:12:warning: override: reassigning to symbol VFIO",
        "make[1]: warning: jobserver unavailable: using -j1.  Add '+' to parent make rule.",
        "make[1]: warning:  Clock skew detected.  Your build may be incomplete.",
        "#",
        "# configuration written to .config",
    ],
)
def test_consequences_and_news_are_no_diagnostics(line: str) -> None:
    assert parse_lines(_STEP, line) == []


# Compilers


@pytest.mark.parametrize(
    ("text", "severity", "flag", "promoted"),
    [
        ("error: unused variable 'x' [-Werror=unused-variable]", "error", "-Wunused-variable", True),
        ("error: unused variable 'x' [-Werror,-Wunused-variable]", "error", "-Wunused-variable", True),
        ("error: format says no [-Werror=format=]", "error", "-Wformat=", True),
        ('error: "and this" [-Werror,-W#warnings]', "error", "-W#warnings", True),
        ("warning: unused variable 'x' [-Wunused-variable]", "warning", "-Wunused-variable", False),
        ("warning: two groups [-Wone,-Wtwo]", "warning", "-Wone", False),
        ("error: from int to pointer [-Wint-conversion]", "error", "-Wint-conversion", False),
        ("error: expected ';'", "error", None, False),
        ("error: array of type int[4]", "error", None, False),
    ],
)
def test_severity_flag_and_promotion(text: str, severity: str, flag: str | None, promoted: bool) -> None:
    found = parse_only(_STEP, f"drivers/a.c:1:1: {text}")
    assert (found.severity, found.flag, found.promoted) == (severity, flag, promoted)
    assert "-W" not in found.message


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("../src/virt/kvm/vfio.c", "virt/kvm/vfio.c"),
        ("/src/virt/kvm/vfio.c", "virt/kvm/vfio.c"),
        ("./virt/kvm/vfio.c", "virt/kvm/vfio.c"),
        ("/src/arch/powerpc/kvm/../../../virt/kvm/vfio.c", "virt/kvm/vfio.c"),
        ("./include/generated/autoconf.h", "include/generated/autoconf.h"),
        ("/build/include/generated/autoconf.h", "include/generated/autoconf.h"),
        ("/usr/include/stdio.h", "/usr/include/stdio.h"),
        ("/srcs/a.c", "/srcs/a.c"),
        ("<stdin>", None),
        ("/tmp/ccXoDgUL.s", None),
    ],
)
def test_files_have_one_name(path: str, file: str | None) -> None:
    assert parse_only(_STEP, f"{path}:3:5: error: no").file == file


def test_other_roots_can_be_given() -> None:
    lines = ["  CC      /o/k/a.o", "/home/me/linux/a.c:1:1: error: no"]
    [(diagnostic, made)] = parse_diagnostics(lines, source_root="/home/me/linux", build_root="/o/k")
    assert (diagnostic.file, made) == ("a.c", "a.o")


def test_a_place_that_changes_with_every_run_is_left_out() -> None:
    found = parse_only(_STEP, "/tmp/ccXoDgUL.s:20: Error: unrecognized opcode: `nope'")
    assert (found.tool, found.file, found.line, found.symbols) == ("as", None, None, ("nope",))


def test_symbols_are_the_quoted_identifiers_without_the_words_of_c() -> None:
    message = "cannot convert 'struct a' to 'int' in ‘b’, `c' or \"d\"; use '%ld' or 'a'"
    assert parse_only(_STEP, f"a.c:1:1: error: {message}").symbols == ("a", "b", "c", "d")


def test_gcc_names_the_function_until_it_is_back_at_top_level() -> None:
    found = parse_lines(
        _STEP,
        "drivers/a.c: In function 'f':",
        _ERROR,
        "drivers/a.c:4:5: error: more of it",
        "drivers/a.c: At top level:",
        "drivers/a.c:8:5: error: outside",
        "drivers/a.c: In function 'g':",
        "  CC      drivers/b.o",
        "drivers/b.c:1:1: error: another object",
    )
    assert [diagnostic.function for diagnostic in found] == ["f", "f", None, None]


def test_a_chain_of_includes_holds_for_the_whole_header_and_no_longer() -> None:
    found = parse_lines(
        _STEP,
        "In file included from include/b.h:1,",
        "                 from drivers/a.c:2:",
        "include/c.h:3:5: error: first",
        "include/c.h:4:5: error: second",
        "drivers/a.c:5:5: error: third",
    )
    chain = ("include/b.h:1", "drivers/a.c:2")
    assert [diagnostic.included_from for diagnostic in found] == [chain, chain, ()]


def test_a_header_that_a_compiler_comes_back_to_is_included_as_before() -> None:
    chain = "In file included from drivers/a.c:2:"
    header = "include/c.h:3:5: warning: first"
    found = parse_lines(_STEP, chain, header, _ERROR, "include/c.h:9:5: warning: again")
    assert [one.included_from for one in found] == [("drivers/a.c:2",), (), ("drivers/a.c:2",)]


def test_gnu_as_names_the_instruction_that_clang_names() -> None:
    gnu = "a.S:2: Error: no such instruction: `badinsn %eax'"
    clang = "a.S:2:2: error: invalid instruction mnemonic 'badinsn'"
    assert parse_only(_STEP, gnu).symbols == parse_only(_STEP, clang).symbols == ("badinsn",)


def test_what_a_macro_of_the_assembler_made_is_where_the_macro_was_used() -> None:
    gnu = parse_only(
        _STEP, "a.S:2: Error: no such instruction: `x 1'", "a.S:8:  Info: macro invoked from here"
    )
    assert gnu.notes == ("a.S:8: macro invoked from here",)
    clang = parse_only(
        _STEP,
        "<instantiation>:1:1: error: invalid instruction mnemonic 'x'",
        "x 1",
        "^",
        "<instantiation>:1:1: note: while in macro instantiation",
        "/src/a.S:8:2: note: while in macro instantiation",
        " outer 1",
        " ^",
    )
    assert (clang.file, clang.line) == ("a.S", 8)
    assert clang.excerpt == ("x 1", "^")


def test_what_was_said_of_one_object_is_forgotten_at_the_next() -> None:
    header = "include/c.h:3:5: error: no"
    chain = "In file included from drivers/a.c:2:"
    found = parse_lines(_STEP, chain, header, chain, "  CC      drivers/b.o", header)
    assert [diagnostic.included_from for diagnostic in found] == [("drivers/a.c:2",), ()]


def test_both_compilers_chains_run_outward() -> None:
    gcc = ["In file included from include/b.h:1,", "                 from drivers/a.c:2:"]
    clang = ["In file included from drivers/a.c:2:", "In file included from include/b.h:1:"]
    error = "include/c.h:3:5: error: no"
    assert parse_only(_STEP, *gcc, error).included_from == parse_only(_STEP, *clang, error).included_from


def test_an_excerpt_without_line_numbers_is_recognised_by_its_carets() -> None:
    found = parse_only(_STEP, _ERROR, "foo bar;", "^~~", "something else", "   indented")
    assert found.excerpt == ("foo bar;", "^~~")


def test_the_excerpt_of_a_note_is_not_the_messages_own() -> None:
    found = parse_only(
        _STEP, _ERROR, "    3 | foo bar;", "drivers/b.h:1:1: note: here", "    1 | struct foo;"
    )
    assert found.excerpt == ("    3 | foo bar;",)
    assert found.notes == ("drivers/b.h:1: here",)


def test_a_message_within_anothers_excerpt_begins_a_new_diagnostic() -> None:
    found = parse_lines(_STEP, _ERROR, "    3 | foo bar;", _WARNING, "      | ^~~")
    assert [len(diagnostic.excerpt) for diagnostic in found] == [1, 1]
    assert [diagnostic.severity for diagnostic in found] == ["error", "warning"]


def test_who_compiles_is_told_by_what_only_one_compiler_prints() -> None:
    assert parse_only(_STEP, _ERROR, "1 error generated.").tool == "clang"
    assert parse_only(_STEP, "drivers/a.c: In function 'f':", _ERROR).tool == "gcc"


def test_a_log_has_one_compiler_where_an_object_does_not_tell() -> None:
    warned = [_STEP, _WARNING, "1 warning generated.", "  CC      drivers/b.o", "drivers/b.c:1:1: error: no"]
    assert [diagnostic.tool for diagnostic in parse_lines(*warned)] == ["clang", "clang"]


def test_an_internal_compiler_error_is_an_error_that_says_so() -> None:
    found = parse_only(
        _STEP,
        "during RTL pass: expand",
        "drivers/a.c: In function 'f':",
        "drivers/a.c:3:1: internal compiler error: in expand_expr, at expr.cc:12",
        "0x7f1e7d046d09 __libc_start_main",
        "Please submit a full bug report, with preprocessed source.",
    )
    assert found.message == "internal compiler error: in expand_expr, at expr.cc:12"
    assert (found.severity, found.tool, found.line) == ("error", "gcc", 3)


def test_llvm_dying_is_clangs_error() -> None:
    found = parse_only(_STEP, "LLVM ERROR: Cannot select: intrinsic %llvm.nope")
    assert (found.tool, found.message) == ("clang", "Cannot select: intrinsic %llvm.nope")


def test_a_compilers_message_without_a_source_is_recognised_while_it_compiles() -> None:
    line = "warning: unknown warning option '-Wnope' [-Wunknown-warning-option]"
    found = parse_only(_STEP, line, "1 warning generated.")
    assert (found.tool, found.flag) == ("clang", "-Wunknown-warning-option")


# Objects


@pytest.mark.parametrize(
    ("step", "made"),
    [
        ("  CC      drivers/a.o", "drivers/a.o"),
        ("  CC [M]  drivers/a.o", "drivers/a.o"),
        ("# CC [M]  drivers/a.o", "drivers/a.o"),
        ("  HOSTCC  drivers/a", "drivers/a"),
        ("  CHECK   /src/drivers/a.c", "drivers/a.o"),
        ("  CC      /build/drivers/a.o", "drivers/a.o"),
        ("  CC      arch/powerpc/kvm/../../../drivers/a.o", "drivers/a.o"),
        (
            "  gcc -Wp,-MMD,drivers/.a.o.d -c -o drivers/a.o /src/drivers/a.c  ; ./scripts/fixdep",
            "drivers/a.o",
        ),
    ],
)
def test_a_step_names_the_object(step: str, made: str) -> None:
    assert _object(step, _ERROR) == made


def test_a_silent_makes_errors_get_the_object_that_failed() -> None:
    failed = [
        "make[4]: *** [scripts/Makefile.build:229: drivers/a.o] Error 1",
        "make[3]: *** [scripts/Makefile.build:478: drivers] Error 2",
    ]
    assert _object(_ERROR, *failed) == "drivers/a.o"


def test_a_silent_makes_objects_are_told_apart() -> None:
    def failed(name: str) -> list[str]:
        return [f"drivers/{name}.c:1:1: error: no", f"make[4]: *** [Makefile:2: drivers/{name}.o] Error 1"]

    assert [made for _, made in parse_diagnostics([*failed("a"), *failed("b")])] == [
        "drivers/a.o",
        "drivers/b.o",
    ]


def test_an_error_in_a_header_belongs_to_the_object_whose_source_includes_it() -> None:
    chain = "In file included from drivers/a.c:2:"
    lines = [_STEP, "  CC      drivers/b.o", chain, "include/c.h:3:5: error: no"]
    assert _object(*lines) == "drivers/a.o"


def test_the_sources_name_counts_more_than_another_jobs_step() -> None:
    assert _object(_STEP, "  CC      drivers/b.o", _ERROR) == "drivers/a.o"


def test_the_same_diagnostic_counts_once_for_each_object() -> None:
    header = "include/h.h:3:5: warning: unused variable 'x' [-Wunused-variable]"
    found = parse_diagnostics([_STEP, header, header, "  CC      drivers/b.o", header])
    assert [made for _, made in found] == ["drivers/a.o", "drivers/b.o"]
    assert len({diagnostic.key for diagnostic, _ in found}) == 1


# Anything at all

_TOKENS = """
make [1] *** error: warning: note: CC a.o /src/ ../ fatal ld: ld.lld: >>> modpost: objtool: :1: :99999999999:
[-Werror= [-Wx] Kconfig:3: ERROR: (.text+0x1): Killed sh: LLVM ² ٣ .c:3:5: Makefile:3: :(f) [a.ko] -o -c
"""
_PHRASES = [
    "In file included from ",
    "In function '",
    "undefined reference to `",
    "At top level",
    "    inlined from ",
]
_PIECES = st.sampled_from(
    [*"[]{}()'`‘’\": >.^|~-\t", "\x1b[1m", "\ud800", "  CC      ", *_TOKENS.split(), *_PHRASES]
)


@pytest.mark.parametrize("path", [".", "..", "/", "//", "../..", "/src", "/build/", "a/", "-", "[ch]"])
def test_no_path_makes_it_raise(path: str) -> None:
    steps = [f"  {step}      {path}" for step in ("CC", "CHECK", "LD")]
    rest = [f"make: *** [Makefile:1: {path}] Error 1", f"{path}:1:1: error: no", f"  gcc -c -o {path} x"]
    silence = "Error 1: nothing that its command printed says why"
    assert {d.message for d, _ in parse_diagnostics([*rest, *steps, *rest])} <= {"no", silence}


@pytest.mark.parametrize(
    "before", ["", "ERROR: modpost: ", "WARNING: ", "make: *** ", "  from ", f"{_ERROR} "]
)
@pytest.mark.parametrize("again", ["1", " ", "a", "a ", "[a", "a(", "reference: a ("])
def test_a_line_without_end_takes_time_as_it_is_long_and_no_more(before: str, again: str) -> None:
    line = before + again * (MAX_LOG_LINE_LENGTH // len(again))
    with limit_cpu(2):  # one expression that goes back and forth takes ten times that
        parse_diagnostics([_ERROR, line, "      | ^", *[line, _ERROR, f"  1 | {line}", "      | ^"] * 4])


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (_ERROR, "drivers/b.h:1:1: note: and here"),
        (_ERROR, "   more of the source"),
        ("ld.lld: error: undefined symbol: g", ">>>   goes on"),
        ("ld.lld: error: undefined symbol: g", ">>> referenced by a.c"),
        ("In file included from drivers/a.c:1:", "In file included from include/b.h:1:"),
    ],
)
def test_no_message_grows_without_end(first: str, more: str) -> None:
    for one, _ in parse_diagnostics([first, *[more] * 5000, _ERROR]):
        assert len(one.model_dump_json()) < 60_000


def test_a_diagnostic_keeps_no_more_of_a_line_than_a_line_can_be() -> None:
    assert len(parse_only(_STEP, f"{_ERROR} {'x' * 10**6}").message) < MAX_LOG_LINE_LENGTH


@given(st.lists(st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join))))
def test_no_text_makes_it_raise(lines: list[str]) -> None:
    found = parse_diagnostics([_STEP, _ERROR, *lines])
    assert found[0].diagnostic.message == "unknown type name 'foo'"
    assert all(diagnostic.key for diagnostic, _ in found)
    assert all(diagnostic.key for diagnostic, _ in parse_build_log(lines, failed=True).occurrences)


# Inlining

_FORTIFY = (
    "include/linux/fortify-string.h:507:25: error: call to '__overflow' declared with attribute error: x"
)


def test_callers_are_sites_from_the_inside_out_and_before_those_of_notes() -> None:
    found = parse_only(
        _STEP,
        "In function 'memset_chk',",
        "    inlined from 'clear' at include/linux/b.h:12:2,",
        "    inlined from 'probe.part.0' at /src/drivers/a.c:17:2:",
        _FORTIFY,
        "drivers/a.c:5:1: note: destination object 'x' of size 4",
    )
    assert found.function == "memset_chk"
    assert [(site.file, site.line, site.caller) for site in found.sites] == [
        ("include/linux/fortify-string.h", 507, False),
        ("include/linux/b.h", 12, True),
        ("drivers/a.c", 17, True),
        ("drivers/a.c", 5, False),
    ]
    assert found.notes[0] == "include/linux/b.h:12: inlined from 'clear'"


def test_callers_hold_until_another_function_is_named() -> None:
    found = parse_lines(
        _STEP,
        "In function 'memset_chk',",
        "    inlined from 'probe' at drivers/a.c:17:2:",
        _FORTIFY,
        _FORTIFY.replace("507", "509"),
        "drivers/a.c: In function 'other':",
        _ERROR,
        "In function 'memset_chk',",
        "    inlined from 'remove' at drivers/a.c:40:2:",
        _FORTIFY,
        "drivers/a.c: At top level:",
        _WARNING,
        "  CC      drivers/b.o",
        _FORTIFY,
    )
    callers = [[site.line for site in diagnostic.sites if site.caller] for diagnostic in found]
    assert callers == [[17], [17], [], [40], [], []]
    assert [diagnostic.function for diagnostic in found] == [
        "memset_chk", "memset_chk", "other", "memset_chk", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "notes",
    [
        ["note: called by function 'clear'", "drivers/a.c:17:2: note: inlined by function 'probe'"],
        [
            "include/linux/b.h:12:2: note: called by function 'clear'",
            "drivers/a.c:17:2: note: inlined by function 'probe'",
        ],
        ["note: In function 'clear'", "drivers/a.c:17:2: note: \twhich inlined function 'probe'"],
    ],
)
def test_clangs_notes_on_inlining_are_callers(notes: list[str]) -> None:
    found = parse_only(_STEP, _FORTIFY, *notes, "1 error generated.")
    callers = [(site.file, site.line) for site in found.sites if site.caller]
    assert callers[-1] == ("drivers/a.c", 17)
    assert len(found.notes) == 2
    assert found.function == ("clear" if "called" in notes[0] else None)


def test_the_function_of_another_jobs_source_is_not_a_messages_own() -> None:
    found = parse_lines(
        "  CC      drivers/a.o",
        "  CC      drivers/b.o",
        "drivers/a.c: In function 'f':",
        "drivers/b.c:3:5: error: of the other job",
        "drivers/a.c:3:5: error: of this one",
        "include/c.h:3:5: error: of a macro of a header",
    )
    assert [diagnostic.function for diagnostic in found] == [None, "f", "f"]


def test_a_source_that_another_includes_has_its_functions() -> None:
    found = parse_only(
        _STEP,
        "In file included from drivers/a.c:3:",
        "drivers/part.c: In function 'clear',",
        "    inlined from 'probe' at drivers/a.c:17:2:",
        "drivers/part.c:7:1: error: wrong",
    )
    assert found.function == "clear"
    assert [site.line for site in found.sites] == [7, 17]


def test_a_header_with_inlined_code_belongs_to_its_callers_object() -> None:
    lines = ["  CC      drivers/a.o", "  CC      drivers/b.o", "In function 'memset_chk',"]
    assert _object(*lines, "    inlined from 'probe' at drivers/a.c:17:2:", _FORTIFY) == "drivers/a.o"


@pytest.mark.parametrize(
    "text",
    [
        "stack frame size (2208) exceeds limit (2048) in 'f' [-Wframe-larger-than]",
        "stack frame size of 2208 bytes in function 'f' [-Wframe-larger-than=]",
    ],
)
def test_clang_names_the_function_of_a_large_frame(text: str) -> None:
    assert parse_only(_STEP, f"drivers/a.c:9:2: warning: {text}").function == "f"


def test_both_compilers_name_the_same_symbols_of_a_call_that_must_not_be() -> None:
    texts = ("attribute warning: x [-Wattribute-warning]", "'warning' attribute: x [-Wattribute-warning]")
    found = [parse_only(_STEP, f"a.c:1:1: warning: call to 'f' declared with {text}") for text in texts]
    assert [diagnostic.symbols for diagnostic in found] == [("f",), ("f",)]


def test_what_bindgen_hands_on_is_clangs() -> None:
    line = "/src/include/linux/init.h:142:6: error: variable has incomplete type 'void'"
    assert parse_only("  BINDGEN rust/bindings/generated.rs", line).tool == "clang"
