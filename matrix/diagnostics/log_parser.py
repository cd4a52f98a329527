"""Parse the log of a kernel build into diagnostics. Pure: lines in, values out; no input makes it raise.

The log is `make -k` with the tools' own messages, best with ``--output-sync=target``. Each line is offered
to the readers of one tool family after the other, and the first that recognises it takes it. A line that
none recognises ends the current diagnostic.
"""

import re
from collections.abc import Iterable, Iterator

from matrix.diagnostics.checkers import read_checkers
from matrix.diagnostics.compiler import read_compiler, read_excerpt
from matrix.diagnostics.devicetree import read_devicetree
from matrix.diagnostics.diagnostic import BuildLog, Occurrence
from matrix.diagnostics.gnu_ld import read_gnu_ld
from matrix.diagnostics.internal_error import is_crash_report
from matrix.diagnostics.kbuild import read_continuation, read_kbuild, read_other_tool, read_paragraph
from matrix.diagnostics.lld import read_lld
from matrix.diagnostics.make_output import read_make
from matrix.diagnostics.parser_state import (
    BuildRoots,
    ParserState,
    clean_log_line,
    read_with_first,
    split_joined_line,
)
from matrix.diagnostics.rust import read_rust
from matrix.diagnostics.rust_toolchain import read_rust_toolchain

_READERS = (
    read_rust_toolchain,
    read_make,
    read_rust,
    read_devicetree,
    read_checkers,
    read_kbuild,
    read_lld,
    read_gnu_ld,
    read_compiler,
    read_continuation,
    read_excerpt,
    read_other_tool,
    read_paragraph,
)
_ROBOT_TITLE = "prefixed by >>):"
_ROBOT_MARGIN = "   "
# The steps that make an object out of a source file; CC32 and others are for 32-bit compatibility.
_COMPILE_STEP = re.compile(
    r"(?:(?:CC|AS|CXX)(?:32|_COMPAT)?|RUSTC|CLIPPY|BOOT(?:CC|AS)|SPU_(?:CC|AS)|M68KAS"
    r"|VDSO(?:CC|AS|32C|32A|64C|64A)?)(?: |$)"
)


def parse_build_log(
    lines: Iterable[str],
    source_root: str = "/src",
    build_root: str = "/build",
    *,
    failed: bool | None = None,
) -> BuildLog:
    """A build log: its errors and warnings, the targets that failed with their causes, what was compiled.

    ``source_root`` and ``build_root`` are where the tree and ``O=`` were for the tools that wrote the log;
    files are given relative to them. Objects are relative to the build directory. ``failed`` is how make
    ended, where that is known: then a log in which nothing else is recognised has one error.
    """
    log = ParserState(BuildRoots(source_root, build_root))
    for line in _clean_lines(lines):
        log.crashed = log.crashed or is_crash_report(line)
        if not read_with_first(_READERS, log, line):
            log.keep_unread_line(line)
        elif log.object and log.object.endswith(".o") and _COMPILE_STEP.match(log.step):
            log.compiled_objects.add(log.object)
    if failed and not any(draft.severity == "error" for draft in log.drafts):
        log.fail_without_target()
    return log.collect_log()


def _clean_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines as the tools wrote them: the robot's mails indent them, but for those it marks as new."""
    margin = ""
    for line in map(clean_log_line, lines):
        if line.endswith(_ROBOT_TITLE):
            margin = _ROBOT_MARGIN
        if margin:
            line = line.removeprefix(margin)  # noqa: PLW2901 - millions of lines have none
        # The plain search comes first: nearly all lines are whole.
        if ": *** " in line:
            yield from split_joined_line(line)
        else:
            yield line


def parse_diagnostics(
    lines: Iterable[str], source_root: str = "/src", build_root: str = "/build"
) -> list[Occurrence]:
    """Every error and warning of a build log, as `parse_build_log` finds them."""
    return list(parse_build_log(lines, source_root, build_root).occurrences)
