"""Which lines of an output are signs of something else than the tree, and which only look like it."""

import pytest

from matrix.resolve.output_signs import Sign, SignReader

SIGNS = {
    Sign.CLOCK: [
        "make[2]: warning:  Clock skew detected.  Your build may be incomplete.",
        "make[3]: Warning: File 'drivers/vfio/group.o' has modification time 86399 s in the future",
    ],
    Sign.DISK_FULL: [
        "/src/a.c:10:1: fatal error: error writing to /tmp/ccX.s: No space left on device",
        "/tmp/ccX.s: Fatal error: can't write 39 bytes to section .text of a.o: 'No space left on device'",
        "ar: drivers/vfio/built-in.a: No space left on device",
        "powerpc64le-linux-gnu-ld: final link failed: No space left on device",
        "LLVM ERROR: IO failure on output stream: No space left on device",
        "clang: error: unable to open output file 'a.o': 'No space left on device'",
        "OSError: [Errno 28] No space left on device: '/tmp/x'",
        "cat: write error: No space left on device",
        "Cannot write to modules.order: No space left on device at scripts/x.pl line 3.",
        "fixdep: error fstat'ing file: a.d: Disk quota exceeded",
        "sh: 1: cannot create a.o: No space left on device",
    ],
    Sign.NOT_WRITTEN: [
        "sh: 1: printf: printf: I/O error",
        "/bin/sh: 1: echo: echo: I/O error",
        "make: write error: stdout",
        "ld: final close failed: file truncated",
        "error: cannot close a.o",
        "objcopy: a.o: short write",
        "cp: error writing 'a.o': Input/output error",
        "ar: a.o: Stale file handle",
    ],
    Sign.FILE_SIZE: [
        "File size limit exceeded (core dumped)",
        "gcc: internal compiler error: File size limit exceeded signal terminated program as",
        "dd: error writing '/build/x': File too large",
        "OSError: [Errno 27] File too large",
        "make: *** [Makefile:3: x] Error 153",
    ],
    Sign.OPEN_FILES: ["ld: cannot open a.o: Too many open files", "OSError: [Errno 24] Too many open files"],
    Sign.PROCESSES: [
        "sh: 1: Cannot fork",
        "/bin/bash: fork: retry: Resource temporarily unavailable",
        "make[3]: vfork: Resource temporarily unavailable",
        "gcc: fatal error: cannot execute 'cc1': vfork: Resource temporarily unavailable",
        "LLVM ERROR: pthread_create failed: Resource temporarily unavailable",
        "RuntimeError: can't start new thread",
        "Can't fork, trying again in 5 seconds at scripts/x.pl line 3.",
    ],
    Sign.MEMORY: [
        "cc1: out of memory allocating 1048576 bytes after a total of 1234 bytes",
        "LLVM ERROR: out of memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "virtual memory exhausted: Cannot allocate memory",
        "MemoryError",
    ],
    Sign.KILLED: [
        "x86_64-linux-gnu-gcc-14: fatal error: Killed signal terminated program cc1",
        "gcc: internal compiler error: Killed (program cc1)",
        "gcc: fatal error: Terminated signal terminated program cc1plus",
        "clang: error: unable to execute command: Killed",
        "collect2: fatal error: ld terminated with signal 9 [Killed]",
        "make[3]: *** [/src/scripts/Makefile.build:229: drivers/vfio/group.o] Killed",
        "make[3]: *** [/src/scripts/Makefile.build:229: drivers/vfio/group.o] Error 137",
        "make: *** [Makefile:3: x] Error 143",
        "Killed",
        "/bin/bash: line 1:  4711 Killed                  gcc -c a.c",
        "sh: line 1: 4711 Terminated",
        "subprocess.CalledProcessError: Command 'x' died with <Signals.SIGKILL: 9>.",
    ],
    Sign.CRASHED: [
        "x86_64-linux-gnu-gcc-14: internal compiler error: Segmentation fault signal terminated program cc1",
        "clang: error: unable to execute command: Segmentation fault (core dumped)",
        "collect2: fatal error: ld terminated with signal 11 [Segmentation fault], core dumped",
        "make[3]: *** [/src/scripts/Makefile.build:229: a.o] Segmentation fault",
        "make[3]: *** [/src/scripts/Makefile.build:229: a.o] Error 139",
        "Segmentation fault (core dumped)",
        "Aborted",
        "/bin/bash: line 1:  4711 Bus error               (core dumped) ld -r",
    ],
}  # fmt: skip
HARMLESS = [
    "",
    "  CC      mm/oom_kill.o",
    "  CC      drivers/char/mem.o",
    "/src/a.c:3:2: error: #error No space left on device",
    "/src/a.c:3:2: warning: Clock skew detected",
    '  305 |         pr_err("fork: Resource temporarily unavailable");',
    '      |         pr_err("x: No space left on device")',
    "yes: standard output: Broken pipe",
    "cat: write error: Broken pipe",
    "make[3]: *** [/src/scripts/Makefile.build:229: a.o] Error 1",
    "make[3]: *** [/src/scripts/Makefile.build:229: a.o] Error 2",
    "make[3]: *** [/src/scripts/Makefile.build:229: a.o] Error 1371",
    "gcc: fatal error: no input files",
    "Killed by death is a song",
    "ld: a.o: in function `close':",
    "scripts/x.sh: line 3: interrupted is a word",
    "WARNING: modpost: memory leak in section",
]  # fmt: skip


def read(*lines: str) -> dict[Sign, str]:
    reader = SignReader()
    for line in lines:
        reader.read_line(line)
    return reader.found


@pytest.mark.parametrize(("sign", "line"), [(sign, line) for sign, lines in SIGNS.items() for line in lines])
def test_a_sign_is_read(sign: Sign, line: str) -> None:
    assert read(line).get(sign) == line


@pytest.mark.parametrize("line", HARMLESS)
def test_what_only_looks_like_a_sign_is_none(line: str) -> None:
    assert read(line) == {}


def test_the_first_line_of_a_sign_is_kept_and_cut() -> None:
    long = f"a: {'b' * 1000}: No space left on device"
    found = read("x: No space left on device", long)
    assert found == {Sign.DISK_FULL: "x: No space left on device"}
    assert len(read(long)[Sign.DISK_FULL]) == 200


def test_a_compiler_that_was_killed_did_not_crash() -> None:
    for line in SIGNS[Sign.KILLED]:
        assert Sign.CRASHED not in read(line)
    for line in SIGNS[Sign.CRASHED]:
        assert Sign.KILLED not in read(line)
