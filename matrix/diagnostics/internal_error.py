"""Messages of a tool that broke by itself: gcc's internal compiler error, the crash of clang, lld, ld or as.

    gcc-14: internal compiler error: Segmentation fault signal terminated program cc1
    drivers/a.c:7:1: internal compiler error: in expand_expr_real_1, at expr.cc:11363
    clang: error: clang frontend command failed with exit code 139 (use -v to see invocation)
    clang: error: linker command failed due to signal (use -v to see invocation)
    fatal error: error in backend: Cannot select: 0x55d0: ch = store
    collect2: fatal error: ld terminated with signal 11 [Segmentation fault]
    ld: BFD (GNU Binutils) 2.44 internal error, aborting at ../../bfd/elf.c:123 in elf_fake_sections
    a.s: Fatal error: Internal error in md_apply_fix at ../../gas/config/tc-i386.c:9.

A tool that was killed, or met a limit, did not break.
"""

import re

_CRASH = "(?:Segmentation fault|Aborted|Bus error|Illegal instruction|Floating point exception)"
_BROKE = re.compile(
    r"(?i:internal (?:compiler |linker |assembler )?error)\b"
    r"|BFD (?:\([^)]*\) )?[^:]{0,100}(?:internal error|assertion fail)"
    rf"|clang frontend command failed with exit code |unable to execute command: {_CRASH}"
    r"|error in backend: |\S{1,100} terminated with signal "
)
_SUMMARY = re.compile(rf"\S{{1,100}}(?: frontend)? command failed |{_CRASH}$")
_WAS_ENDED = re.compile(
    r"\b(?:Killed|Terminated|Hangup|Interrupt|(?:File size|CPU time) limit exceeded|[Oo]ut of memory"
    r"|No space left on device|Disk quota exceeded|Too many open files|File too large"
    r"|Resource temporarily unavailable|No such file or directory|Permission denied)\b"
    r"|terminated with signal (?:1|2|9|15|24|25)\b|exit code (?:129|130|137|143|152|153)\b"
)
_CRASH_REPORT = re.compile(
    rf"PLEASE submit a bug report to |Stack dump:$|\S{{1,100}}: error: unable to execute command: {_CRASH}"
)


def is_internal_error(message: str, *, reported: bool = False) -> bool:
    """Whether a message says that the tool itself broke.

    ``reported``: a crash report came before, which makes the driver's summary, or the shell's, one of them.
    """
    broke = _BROKE.match(message) or (reported and _SUMMARY.match(message))
    return bool(broke) and _WAS_ENDED.search(message) is None


def is_crash(message: str) -> bool:
    """Whether a message, of the shell or of make, is the name of the signal of a program that broke."""
    return re.match(_CRASH, message) is not None


def is_crash_report(line: str) -> bool:
    """Whether a line begins what a tool prints of its own crash."""
    # Nearly every line of a log is none: the cheapest test comes first.
    if not line.startswith(("PLEASE ", "Stack dump")) and ": error: unable to execute" not in line:
        return False
    return _CRASH_REPORT.match(line) is not None and _WAS_ENDED.search(line) is None
