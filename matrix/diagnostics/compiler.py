"""What gcc, clang and sparse print of a place in the source.

    In file included from include/a.h:1,              what includes what: gcc from the inside out, clang
                     from drivers/b.c:2:              from the outside in, each with the first words
    drivers/b.c: In function 'f':
    In function 'clear',                              gcc: the code was inlined, from the inside out
        inlined from 'f' at drivers/b.c:9:2:
    drivers/b.c:6:13: error: unused variable 'x' [-Werror=unused-variable]
        6 |         int x;                            the source, quoted; older ones give no numbers
    drivers/d.c:7:18:    expected int *q              sparse, second line

gcc prints where code was inlined once for all messages on it that follow. A note belongs to the message
before it. What has no place is `compiler_driver`'s, and GNU as has `assembler`.
"""

import re

from matrix.diagnostics.assembler import read_assembler
from matrix.diagnostics.compiler_driver import KIND, parse_message, read_consequence, read_driver
from matrix.diagnostics.diagnostic import Site
from matrix.diagnostics.drafts import CARETS, MAX_MESSAGE_PARTS, UNKNOWN_COMPILER, DiagnosticDraft
from matrix.diagnostics.driver_options import find_missing_header
from matrix.diagnostics.message_forms import parse_position
from matrix.diagnostics.parser_state import LineReader, ParserState, read_with_first
from matrix.kernel_files import COMPILED_SUFFIXES

_INCLUDE_CHAIN = re.compile(
    r"(?P<first>In file included|\s+) from (?P<file>[^:]+)(?::(?P<line>[0-9]{1,9}))?(?::[0-9]+)*[:,]$"
)
_FUNCTION = re.compile(
    r"(?:(?P<file>[^\s:]+): )?"
    r"(?:In (?:[a-z]+ )*(?:function|constructor|destructor) ['‘`](?P<name>[^'’]+)['’]"
    r"|At (?:top level|global scope)|In lambda function)[:,]$"
)
_INLINED = re.compile(
    r"\s+inlined from (?P<name>\S+) at (?P<file>[^:]+):(?P<line>[0-9]{1,9})(?::[0-9]+)?[:,]$"
)
_NOTE_KINDS = ("note", "remark", "info")
_LOCATED = re.compile(
    rf"(?P<file>[^\s:][^:]*):(?P<line>[0-9]{{1,9}}):(?:(?P<column>[0-9]{{1,9}}):)? {KIND}: (?P<text>.+)"
)
_CONTINUATION = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}):[0-9]{1,9}:\s{2,}(?P<text>\S.*)")
# The function, where clang's words name it and gcc has a line above.
_STACK_FRAME = re.compile(
    r"stack frame size (?:\([0-9]+\) exceeds limit \([0-9]+\)|of [0-9]+ bytes) in (?:function )?"
    r"['‘](?P<name>[^'’]+)['’]$"
)
_CLANG_ONLY = re.compile(
    r"[0-9]+ (?:warning|error)s?(?: and [0-9]+ errors?)? generated|.* note: expanded from |.*\[-Werror,-W"
    r"|(?:\S*/)?clang(?:-[0-9]+)?: |<instantiation>:|.* note: while in macro instantiation"
)
_GCC_ONLY = re.compile(
    r".*: (?:In function ['‘]|At top level:)|In function ['‘][^'’]+['’],$|\s+from \S+[,:]$"
    r"|(?:\S*-)?(?:gcc|cc1)[-0-9]*: |.* note: in (?:expansion|definition) of macro |.*\[-Werror="
)


def read_compiler(log: ParserState, line: str) -> bool:
    """Take a line of a compiler, an assembler or sparse; False when it is none of theirs."""
    # Most lines that come here are quoted source; all other lines of these tools but two kinds have a colon.
    if ":" not in line:
        return _read_context_without_place(log, line)
    if not log.has_known_compiler:
        _detect_compiler(log, line)
    return read_with_first(_READERS, log, line)


def _read_context_without_place(log: ParserState, line: str) -> bool:
    if line.startswith("In "):
        return _read_context(log, line)
    if line[:1].isspace() or not read_consequence(log, line):
        return False
    _detect_compiler(log, line)
    return True


def read_excerpt(log: ParserState, line: str) -> bool:
    """Take a quoted source line or its carets, when the current diagnostic may still have some."""
    if log.quotation is not None and log.quotation.accepts_line(line):
        log.quotation.lines.append(line)
        return True
    draft = log.current_draft
    if draft is None or draft.continuation != "excerpt":
        return False
    pointing = draft.position.column or draft.position.file is None
    if log.held_line is not None and CARETS.match(line):
        draft.excerpt.append(log.held_line)
    elif pointing and not draft.excerpt and log.held_line is None and line and not line[0].isspace():
        # A source line without number and indentation is recognised by the carets below it.
        log.held_line = line
        return True
    elif not line[:1].isspace():
        log.end_continuation()
        return False
    log.held_line = None
    draft.excerpt += [line] if len(draft.excerpt) < MAX_MESSAGE_PARTS else []
    return True


def _detect_compiler(log: ParserState, line: str) -> None:
    if _CLANG_ONLY.match(line):
        log.record_compiler("clang")
    elif _GCC_ONLY.match(line):
        log.record_compiler("gcc")


def _read_context(log: ParserState, line: str) -> bool:
    if not line.endswith((":", ",")):
        return False
    if chain := _INCLUDE_CHAIN.match(line):
        _add_include(log, chain)
    elif function := _FUNCTION.match(line):
        log.function = function["name"]
        log.source = log.roots.normalize_file(function["file"]) if function["file"] else log.source
        log.inlined_into = []
    elif inlined := _INLINED.match(line):
        _add_caller(log, inlined)
    else:
        return False
    log.end_continuation()
    return True


def _add_caller(log: ParserState, match: re.Match[str]) -> None:
    position = parse_position(log, match.groupdict())
    if len(log.inlined_into) < MAX_MESSAGE_PARTS:
        log.inlined_into.append((match["name"], position))
    # The outermost caller is in the source that is compiled, whatever file the message is of.
    log.source = position.file or log.source


def _add_include(log: ParserState, match: re.Match[str]) -> None:
    if match["line"] is None or match["file"].startswith("<") or len(log.include_chain) >= MAX_MESSAGE_PARTS:
        return
    link = f"{log.roots.make_relative(match['file'])}:{match['line']}"
    # clang starts at the outermost file and repeats the first words; gcc goes on with "from".
    log.include_chain.insert(0 if match["first"].strip() else len(log.include_chain), link)


def _read_located_message(log: ParserState, line: str) -> bool:
    match = _LOCATED.match(line)
    if match is None:
        return False
    position = parse_position(log, match.groupdict())
    chain = log.resolve_include_chain(position.file)
    if match["kind"] in _NOTE_KINDS:
        log.add_note(match["text"], position)
    elif not read_consequence(log, line):
        draft = parse_message(match["kind"], match["text"], _identify_tool(log))
        draft.position, draft.included_from, draft.continuation = position, chain, "excerpt"
        _name_function(log, draft)
        log.add_draft(_name_header(draft))
    return True


def _name_function(log: ParserState, draft: DiagnosticDraft) -> None:
    """Give a message the function that it is in, and those that this was inlined into."""
    if _is_in_context(log, draft):
        draft.function = log.function
        draft.notes = [position.format_note(f"inlined from {name}") for name, position in log.inlined_into]
        draft.callers = tuple(
            Site(file=position.file, line=position.line, caller=True)
            for _, position in log.inlined_into
            if position.file is not None
        )
    if draft.function is None and (frame := _STACK_FRAME.match(draft.message)):
        draft.function = frame["name"]


def _is_in_context(log: ParserState, draft: DiagnosticDraft) -> bool:
    """Whether the function that was named last is this message's, and not one of another job's source."""
    file = draft.position.file or ""
    if log.source in (None, file) or not file.endswith(COMPILED_SUFFIXES):
        return True
    around = [position.file for _, position in log.inlined_into]
    return file in around or any(link.partition(":")[0] == log.source for link in draft.included_from)


def _name_header(draft: DiagnosticDraft) -> DiagnosticDraft:
    if header := find_missing_header(draft.message):
        draft.symbols = (header,)
    return draft


def _identify_tool(log: ParserState) -> str:
    if log.step.startswith("CHECK"):
        return "sparse"
    # bindgen has clang read the headers.
    return "clang" if log.step.startswith("BINDGEN") else UNKNOWN_COMPILER


def _read_sparse_continuation(log: ParserState, line: str) -> bool:
    match = _CONTINUATION.match(line)
    if match is None or log.current_draft is None:
        return False
    log.add_note(match["text"], parse_position(log, match.groupdict()))
    return True


_READERS: tuple[LineReader, ...] = (
    _read_context,
    _read_located_message,
    read_consequence,
    read_assembler,
    read_driver,
    _read_sparse_continuation,
)
