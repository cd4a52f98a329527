"""Parse the log of a kernel build into diagnostics. Pure: lines in, values out; no input makes it raise.

The log is `make -k` with the tools' own messages, best with ``--output-sync=target``. Each line is offered
to the readers of one tool family after the other, and the first that recognises it takes it. A line that
none recognises ends the current diagnostic.
"""

import re
from collections.abc import Iterable, Sequence

from matrix.diagnostics.compiler import read_compiler, read_excerpt
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.diagnostics.internal_error import is_crash_report
from matrix.diagnostics.kbuild import read_continuation, read_kbuild, read_other_tool
from matrix.diagnostics.linker import read_linker
from matrix.diagnostics.make_output import read_make
from matrix.diagnostics.parser_state import BuildRoots, ParserState, clean_log_line, read_with_first

_READERS = (
    read_make,
    read_kbuild,
    read_linker,
    read_compiler,
    read_continuation,
    read_excerpt,
    read_other_tool,
)
# What is left of a failing log when make's own bookkeeping is taken away.
_BOOKKEEPING = re.compile(
    r"\S*make(?:\[[0-9]+\])?: (?:Entering|Leaving|Target|Nothing|\*\*\* (?:\[|Waiting))"
    r"|  [A-Z][A-Z0-9_]+ .*|\$ |[\s*#]*$"
)
_COMPILE_STEPS = frozenset({"CC", "AS", "CXX"})
_EMPTY_LOG = "the build failed and its log is empty"


def parse_diagnostics(
    lines: Iterable[str], source_root: str = "/src", build_root: str = "/build"
) -> list[Occurrence]:
    """Every error and warning of a build log, in its order, each once per object.

    ``source_root`` and ``build_root`` are where the tree and ``O=`` were for the tools that wrote the log;
    files are given relative to them. Objects are relative to the build directory.
    """
    log = ParserState(BuildRoots(source_root, build_root))
    for line in map(clean_log_line, lines):
        log.crashed = log.crashed or is_crash_report(line)
        if not read_with_first(_READERS, log, line):
            log.end_continuation()
    return log.collect_occurrences()


def parse_compiled_objects(
    lines: Iterable[str], source_root: str = "/src", build_root: str = "/build"
) -> frozenset[str]:
    """The objects whose compiling or assembling the log shows, whatever came of it."""
    log = ParserState(BuildRoots(source_root, build_root))
    objects = set()
    for line in map(clean_log_line, lines):
        if read_make(log, line) and log.object and log.object.endswith(".o") and log.step in _COMPILE_STEPS:
            objects.add(log.object)
    return frozenset(objects)


def summarize_unrecognized_log(lines: Sequence[str], count: int = 10) -> Diagnostic:
    """A failing log in which nothing was recognised, as one error: its last meaningful line.

    ``notes`` are the last ``count`` lines that are not blank, make's bookkeeping included.
    """
    nonblank = [line.strip() for line in map(clean_log_line, lines) if line.strip()]
    meaningful = [line for line in map(clean_log_line, lines) if not _BOOKKEEPING.match(line)]
    message = next(reversed(meaningful or nonblank), _EMPTY_LOG).strip()
    notes = tuple(nonblank[-count:]) if count > 0 else ()
    return Diagnostic(severity="error", tool="make", message=message, notes=notes)
