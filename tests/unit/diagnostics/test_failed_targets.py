"""The targets that make failed to make, each with its cause."""

import pytest

from matrix.diagnostics.diagnostic import BuildLog, Diagnostic
from matrix.diagnostics.log_parser import parse_build_log

_UNDECLARED = "/src/drivers/net/a.c:7:2: error: 'foo' undeclared (first use in this function)"


def _parse(*lines: str, failed: bool | None = None) -> BuildLog:
    return parse_build_log(lines, failed=failed)


def _list_causes(*lines: str) -> list[tuple[str, str | None]]:
    return [
        (failed.target, failed.cause and failed.cause.diagnostic.message)
        for failed in _parse(*lines).failed_targets
    ]


def _find_only_error(*lines: str) -> Diagnostic:
    [(diagnostic, _)] = _parse(*lines, failed=True).occurrences
    assert diagnostic.severity == "error"
    return diagnostic


@pytest.mark.parametrize("is_first", [True, False])
def test_an_error_found_elsewhere_never_excuses_a_target(is_first: bool) -> None:
    image = [
        "  OBJCOPY arch/arm64/boot/Image",
        "aarch64-linux-gnu-objcopy: Unable to recognise the format of the input file `vmlinux'",
        "make[2]: *** [/src/arch/arm64/boot/Makefile:29: arch/arm64/boot/Image] Error 1",
    ]
    driver = [
        "  CC [M]  drivers/net/a.o",
        _UNDECLARED,
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1",
    ]
    causes = dict(_list_causes(*(image + driver if is_first else driver + image)))
    assert list(causes) == ["arch/arm64/boot/Image", "drivers/net/a.o"][:: 1 if is_first else -1]
    assert causes["drivers/net/a.o"] == "'foo' undeclared (first use in this function)"
    assert "Unable to recognise" in str(causes["arch/arm64/boot/Image"])


def test_a_failure_without_a_known_cause_has_its_own_last_lines() -> None:
    log = _parse(
        "  HOSTCC  scripts/a",
        "chatter of another",
        "  POLICY  security/b.h",
        "reading the policy",
        "policy: cannot go on with 3",
        "make[2]: *** [/src/security/Makefile:3: security/b.h] Error 1",
    )
    [(diagnostic, made)] = log.occurrences
    assert (diagnostic.tool, diagnostic.message, made) == (
        "policy",
        "policy: cannot go on with 3",
        "security/b.h",
    )
    assert diagnostic.notes == ("reading the policy", "policy: cannot go on with 3")
    assert log.failed_targets[0].cause == log.occurrences[0]


def test_a_command_that_printed_nothing_is_said_to_have_printed_nothing() -> None:
    error = _find_only_error("  GEN     a.h", "make[1]: *** [Makefile:3: a.h] Error 1")
    assert (error.tool, error.message) == ("make", "Error 1: nothing that its command printed says why")


def test_lines_of_another_job_are_not_the_last_words() -> None:
    causes = _list_causes(
        "  GEN     a.h",
        "a: no memory for the table",
        "  GEN     b.h",
        "b: all is well here",
        "make[1]: *** [Makefile:3: a.h] Error 1",
    )
    assert causes == [("a.h", "a: no memory for the table")]


def test_what_came_after_its_step_is_taken_where_another_step_came_between() -> None:
    causes = _list_causes(
        "  GEN     a.h",
        "  CC      drivers/b.o",
        "the table of a is empty",
        "make[1]: *** [Makefile:3: a.h] Error 1",
    )
    assert causes == [("a.h", "the table of a is empty")]


@pytest.mark.parametrize(
    "passed_up",
    [
        "make[3]: *** [/src/scripts/Makefile.build:485: drivers/net] Error 2",
        "make[2]: *** [/src/scripts/Makefile.build:485: drivers] Error 2",
        "make[1]: *** [/src/Makefile:1934: .] Error 2",
        "make: *** [Makefile:234: __sub-make] Error 2",
        "make[1]: *** [arch/x86/Makefile:316: bzImage] Error 2",
        "make[1]: *** [/src/arch/x86/boot/Makefile:112: arch/x86/boot/compressed/vmlinux] Error 2",
        "make: *** [sub-make] Error 2",
        "make[1]: *** [/src/Makefile:1284: prepare] Error 2",
    ],
)
def test_what_make_only_passes_up_is_no_failure_of_its_own(passed_up: str) -> None:
    below = "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1"
    log = _parse("  CC      drivers/net/a.o", _UNDECLARED, below, passed_up)
    assert [failed.target for failed in log.failed_targets] == ["drivers/net/a.o"]
    assert len(log.occurrences) == 1


def test_a_program_in_tools_passes_up_what_failed_below_it() -> None:
    log = _parse(
        "  CC      /build/tools/objtool/check.o",
        "/src/tools/objtool/check.c:3:1: error: unknown type name 'x'",
        "make[5]: *** [/src/tools/build/Makefile.build:105: /build/tools/objtool/check.o] Error 1",
        "make[4]: *** [Makefile:65: /build/tools/objtool/objtool-in.o] Error 2",
        "make[3]: *** [Makefile:73: objtool] Error 2",
    )
    assert [failed.target for failed in log.failed_targets] == ["tools/objtool/check.o"]


def test_a_silent_makes_object_fails_for_itself_where_its_command_printed_something() -> None:
    log = _parse(
        "/src/drivers/net/a.c:7:2: error: 'foo' undeclared (first use in this function)",
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1",
        "fixdep: error opening file: drivers/.b.o.d: No such file or directory",
        "make[3]: *** [/src/scripts/Makefile.build:229: drivers/b.o] Error 2",
        "make[2]: *** [/src/scripts/Makefile.build:478: drivers] Error 2",
    )
    assert [failed.target for failed in log.failed_targets] == ["drivers/net/a.o", "drivers/b.o"]


def test_words_that_name_a_target_are_its_own_whichever_step_came_last() -> None:
    causes = _list_causes(
        "  CC      kernel/range.o",
        "  CC      kernel/smpboot.o",
        "fixdep: error opening file: kernel/.range.o.d: No such file or directory",
        "fixdep: error opening file: kernel/.smpboot.o.d: No such file or directory",
        "make[4]: *** [/src/scripts/Makefile.build:234: kernel/range.o] Error 2",
        "make[4]: *** Deleting file 'kernel/range.o'",
        "make[4]: *** [/src/scripts/Makefile.build:234: kernel/smpboot.o] Error 2",
    )
    missing = "fixdep: error opening file: kernel/.{}.o.d: No such file or directory"
    assert causes == [
        ("kernel/range.o", missing.format("range")),
        ("kernel/smpboot.o", missing.format("smpboot")),
    ]


def test_a_line_that_names_the_target_is_not_preferred_where_all_are_its_own() -> None:
    causes = _list_causes(
        "  ERROR: the configuration is invalid.",
        "         include/config/auto.conf is missing.",
        "make[1]: *** [/src/Makefile:700: include/config/auto.conf] Error 1",
    )
    assert causes == [("include/config/auto.conf", "ERROR: the configuration is invalid.")]


def test_a_makefile_that_a_sub_make_could_not_remake_is_a_consequence() -> None:
    log = _parse(
        "  SYNC    include/config/auto.conf",
        "  HOSTCC  scripts/basic/fixdep",
        "/bin/sh: 1: nocc: not found",
        "make[4]: *** [/src/scripts/Makefile.host:116: scripts/basic/fixdep] Error 127",
        "make[3]: *** [/src/Makefile:641: scripts_basic] Error 2",
        "make[2]: *** [/src/Makefile:802: include/config/auto.conf] Error 2",
        "make[2]: *** [include/config/auto.conf] Deleting file 'include/generated/rustc_cfg'",
        "/src/Makefile:751: Failed to remake makefile 'include/config/auto.conf'.",
        "make[1]: *** [/src/Makefile:236: __sub-make] Error 2",
    )
    assert [failed.target for failed in log.failed_targets] == ["scripts/basic/fixdep"]
    assert [item.diagnostic.message for item in log.occurrences] == ["nocc: not found"]


def test_the_errors_of_one_target_explain_no_other() -> None:
    crash = [
        "PLEASE submit a bug report to https://example.org/",
        "Stack dump:",
        "clang: error: clang frontend command failed with exit code 132 (use -v to see invocation)",
        "make: *** [Makefile:27: go] Error 1",
    ]
    log = _parse("$ make", *crash, "$ make", *crash)
    assert [item.diagnostic.internal for item in log.occurrences] == [True]


def test_what_no_rule_makes_is_a_failed_target() -> None:
    log = _parse(
        "make[3]: *** No rule to make target 'drivers/net/b.o', needed by 'drivers/net/built-in.a'.  Stop.",
        "make[2]: *** [/src/scripts/Makefile.build:478: drivers/net] Error 2",
    )
    [failed] = log.failed_targets
    assert (failed.target, failed.cause) == ("drivers/net/built-in.a", log.occurrences[0])


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-27T10:00:00.1234567Z ",
        "[2026-11-27T10:00:00.123Z] ",
        "2026-11-27 10:00:00,123 ",
        "10:00:00 ",
        "[10:00:00] ",
        "[   12.345678] ",
        "[12.345] ",
    ],
)
def test_a_timestamp_before_each_line_changes_nothing(stamp: str) -> None:
    lines = [
        "  CC      drivers/net/a.o",
        _UNDECLARED,
        "    7 |  foo();",
        "      |  ^~~",
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1",
    ]
    assert _parse(*(f"{stamp}{line}" for line in lines)) == _parse(*lines)


def test_two_directories_pass_up_what_failed_in_each() -> None:
    log = _parse(
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1",
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/usb/b.o] Error 1",
        "make[3]: *** [/src/scripts/Makefile.build:485: drivers/net] Error 2",
        "make[3]: *** [/src/scripts/Makefile.build:485: drivers/usb] Error 2",
    )
    assert [failed.target for failed in log.failed_targets] == ["drivers/net/a.o", "drivers/usb/b.o"]


def test_an_object_whose_command_ends_with_2_fails_for_itself() -> None:
    causes = _list_causes(
        "  CC      drivers/net/a.o",
        _UNDECLARED,
        "make[4]: *** [/src/scripts/Makefile.build:229: drivers/net/a.o] Error 1",
        "  CC      drivers/b.o",
        "fixdep: error opening file: drivers/.b.o.d: No such file or directory",
        "make[3]: *** [/src/scripts/Makefile.build:229: drivers/b.o] Error 2",
    )
    assert [target for target, _ in causes] == ["drivers/net/a.o", "drivers/b.o"]
    assert "fixdep" in str(causes[1][1])


def test_the_steps_of_the_last_link_fail_as_vmlinux() -> None:
    log = _parse(
        "  LD      .tmp_vmlinux1",
        "ld: drivers/a.o: in function `f':",
        "a.c:(.text+0x2): undefined reference to `gone'",
        "make[1]: *** [/src/scripts/Makefile.vmlinux:35: vmlinux] Error 1",
        "make: *** [/src/Makefile:1167: vmlinux] Error 2",
    )
    [failed] = log.failed_targets
    assert failed.target == "vmlinux"
    assert failed.cause is not None
    assert failed.cause.diagnostic.tool == "ld"
    assert len(log.occurrences) == 1


def test_a_target_without_a_file_has_no_object() -> None:
    log = _parse("what is this", "make[1]: *** [/src/scripts/kconfig/Makefile:85: oldconfig] Error 1")
    assert [(failed.target, failed.object) for failed in log.failed_targets] == [("oldconfig", None)]
    assert log.occurrences[0].object is None


# The last words


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Inconsistent data", "Try make KALLSYMS_EXTRA_PASS=1 as a workaround"], "Inconsistent data"),
        (["the header is broken", "make[1]: *** Deleting file 'a.h'"], "the header is broken"),
        (["no key", "Please set CONFIG_KEY and try again."], "no key"),
        (["no key", "  hint: openssl req makes one"], "no key"),
        (["no key", "gen: failed (use -v to see invocation)"], "no key"),
        (["gen: bad input", "Command exited with status 1"], "gen: bad input"),
        (["  ERROR: the .config is invalid.", "   auto.conf is missing."], "ERROR: the .config is invalid."),
        (
            ["Traceback (most recent call last):", '  File "a.py", line 3', "KeyError: 'row'"],
            "KeyError: 'row'",
        ),
        (["FAILED: load BTF from vmlinux", "libbpf: goodbye"], "FAILED: load BTF from vmlinux"),
        (["Run 'make oldconfig'"], "Run 'make oldconfig'"),
    ],
)
def test_advice_and_bookkeeping_are_no_cause(lines: list[str], words: str) -> None:
    assert _list_causes("  GEN     a.h", *lines, "make[1]: *** [Makefile:3: a.h] Error 255") == [
        ("a.h", words)
    ]


@pytest.mark.parametrize(
    ("line", "tool"),
    [
        ("objcopy:arch/x86/boot/vmlinux.bin[.rodata..compressed]: No space left on device", "objcopy"),
        ("s390x-linux-gnu-nm: vmlinux: no symbols", "nm"),
        ("llvm-objcopy: error: 'a': No such file", "llvm-objcopy"),
        ("/src/scripts/gen_x.sh: line 34: bc: command not found", "gen_x.sh"),
        ("arch/x86/entry/vdso/vdso64.so.dbg: undefined symbols found", "make"),
        ("it is over", "make"),
    ],
)
def test_the_tool_is_the_program_that_speaks(line: str, tool: str) -> None:
    assert _find_only_error("  GEN     a.h", line, "make[1]: *** [Makefile:3: a.h] Error 1").tool == tool


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_failed_build_without_a_word_is_said_to_be_that(lines: list[str]) -> None:
    assert _find_only_error(*lines).message == "the build failed and its log is empty"


def test_a_failed_build_that_blames_no_target_has_its_last_words() -> None:
    error = _find_only_error("$ make -k", "  GEN     a.h", "gen: I am lost")
    assert (error.tool, error.message) == ("gen", "gen: I am lost")


def test_a_log_that_does_not_fail_has_no_last_words() -> None:
    assert _parse("gen: I am lost").occurrences == ()
    assert _parse("gen: I am lost", failed=False).occurrences == ()


def test_what_a_shell_prints_before_any_step_is_the_failed_target_s() -> None:
    """A recipe whose first command fails has announced nothing yet; the step above it is another's."""
    log = parse_build_log(
        [
            "  CC      virt/kvm/kvm_main.o",
            "/bin/sh: 1: ./no-such-tool: not found",
            "make[3]: *** [scripts/Makefile.build:43: virt/kvm/vfio.o] Error 127",
            "make[3]: *** [scripts/Makefile.build:43: virt/kvm/kvm_main.o] Error 1",
        ]
    )
    assert [(item.object, item.diagnostic.tool) for item in log.occurrences] == [
        ("virt/kvm/vfio.o", "sh"),
        ("virt/kvm/kvm_main.o", "make"),
    ]
    assert [target.object for target in log.failed_targets] == ["virt/kvm/vfio.o", "virt/kvm/kvm_main.o"]


def test_a_silent_make_leaves_the_warning_of_another_source_to_no_target() -> None:
    log = parse_build_log(
        [
            "net/ipv4/a.c:5:6: warning: unused variable 'x' [-Wunused-variable]",
            "mm/b.c:9:2: error: 'y' undeclared (first use in this function)",
            "make[3]: *** [scripts/Makefile.build:243: mm/b.o] Error 1",
        ]
    )
    assert [made for _, made in log.occurrences] == [None, "mm/b.o"]


def test_what_two_jobs_print_of_no_place_is_each_target_s_own() -> None:
    steps = [f"  CC      drivers/{name}.o" for name in "abc"]
    words = "gcc-13: fatal error: Killed signal terminated program cc1"
    failures = [f"make[4]: *** [scripts/Makefile.build:243: drivers/{name}.o] Error 1" for name in "ab"]
    log = parse_build_log([*steps, words, failures[0], words, failures[1]])
    assert [made for _, made in log.occurrences] == ["drivers/a.o", "drivers/b.o"]


def test_what_a_command_printed_last_is_rather_its_cause_than_another_job_s_error() -> None:
    log = parse_build_log(
        [
            "  GEN     a.h",
            "no good",
            "  CC      b.o",
            "cc1: error: code model kernel does not support PIC mode",
            "make[1]: *** [Makefile:2: a.h] Error 1",
        ]
    )
    assert [item.cause and item.cause.diagnostic.message for item in log.failed_targets] == ["no good"]
