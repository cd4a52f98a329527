"""Which errors are a tool's own breaking, and which only look like it."""

import pytest

from matrix.diagnostics.log_parser import parse_diagnostics

PLEASE = "PLEASE submit a bug report to https://example.org/issues/ and include the crash backtrace."
BROKEN = {
    "cc1": [
        "x86_64-linux-gnu-gcc-14: internal compiler error: Segmentation fault signal terminated program cc1"
    ],
    "located": ["/src/a.c:7:1: internal compiler error: in expand_expr_real_1, at expr.cc:11363"],
    "pass": ["during GIMPLE pass: vect", "/src/a.c:7:1: internal compiler error: Segmentation fault"],
    "lto1": ["lto1: internal compiler error: in lto_read_decls, at lto/lto-common.cc:1970"],
    "frontend": ["clang: error: clang frontend command failed with exit code 139 (use -v to see invocation)"],
    "signal": [
        PLEASE,
        "clang: error: clang frontend command failed due to signal (use -v to see invocation)",
    ],
    "link": [
        "clang: error: unable to execute command: Segmentation fault (core dumped)",
        "clang: error: linker command failed due to signal (use -v to see invocation)",
    ],
    "backend": ["fatal error: error in backend: Cannot select: 0x55d0: ch = store"],
    "llvm": ["LLVM ERROR: Broken module found, compilation aborted!"],
    "lld": [PLEASE, "Stack dump:", "0.\tProgram arguments: ld.lld -r", "Segmentation fault (core dumped)"],
    "lld's make": [PLEASE, "make[3]: *** [/src/scripts/Makefile.build:501: a.o] Segmentation fault"],
    "lld's words": ["ld.lld: error: internal linker error: wrong section"],
    "collect2": ["collect2: fatal error: ld terminated with signal 11 [Segmentation fault], core dumped"],
    "bfd": ["ld: BFD (GNU Binutils) 2.44 internal error, aborting at ../../bfd/elf.c:123 in f"],
    "bfd's assertion": ["ld: BFD (GNU Binutils) 2.44 assertion fail ../../bfd/elflink.c:2987"],
    "as": ["/src/b.S:7: Fatal error: Internal error in md_apply_fix at ../../gas/config/tc-i386.c:9."],
}
OTHERS = {
    "killed": ["gcc: fatal error: Killed signal terminated program cc1"],
    "killed, older": ["gcc: internal compiler error: Killed (program cc1)"],
    "terminated": ["gcc: fatal error: Terminated signal terminated program cc1"],
    "clang killed": [
        "clang: error: unable to execute command: Killed",
        "clang: error: clang frontend command failed due to signal (use -v to see invocation)",
    ],
    "ld killed": ["collect2: fatal error: ld terminated with signal 9 [Killed]"],
    "file size": ["gcc: internal compiler error: File size limit exceeded signal terminated program as"],
    "memory": ["LLVM ERROR: out of memory"],
    "no processes": ["clang: error: unable to execute command: fork: Resource temporarily unavailable"],
    "no tool": ["clang: error: unable to execute command: Executable \"ld\" doesn't exist!"],
    "exit code": ["clang: error: linker command failed with exit code 1 (use -v to see invocation)"],
    "a host's tool": ["Segmentation fault"],
    "#error": ["/src/a.c:3:2: error: #error internal compiler error"],
    "a warning": ["/src/a.c:3:2: warning: internal compiler error in a comment"],
    "plain": ["/src/a.c:3:2: error: 'x' undeclared"],
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_tool_that_broke_is_marked(case: str) -> None:
    found = parse_diagnostics(["  CC      a.o", *BROKEN[case]])
    assert found
    assert all(item.diagnostic.internal for item in found)


@pytest.mark.parametrize("case", OTHERS)
def test_a_tool_that_was_ended_or_refused_the_source_is_not(case: str) -> None:
    found = parse_diagnostics(["  CC      a.o", *OTHERS[case]])
    assert not any(item.diagnostic.internal for item in found)


def test_a_crash_says_nothing_of_the_next_object() -> None:
    lines = ["  CC      a.o", PLEASE, "  CC      b.o", "Segmentation fault"]
    [found] = parse_diagnostics(lines)
    assert not found.diagnostic.internal


def test_the_mark_is_in_the_record_only_where_it_holds() -> None:
    [broken] = parse_diagnostics(BROKEN["located"])
    [plain] = parse_diagnostics(OTHERS["plain"])
    assert broken.diagnostic.model_dump(mode="json")["internal"] is True
    assert "internal" not in plain.diagnostic.model_dump(mode="json")
