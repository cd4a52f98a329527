"""What gcc, clang, GNU as, clang's assembler and sparse print.

    In file included from include/a.h:1,              what includes what: gcc from the inside out, clang
                     from drivers/b.c:2:              from the outside in, each with the first words
    drivers/b.c: In function 'f':
    drivers/b.c:6:13: error: unused variable 'x' [-Werror=unused-variable]
        6 |         int x;                            the source, quoted; older ones give no numbers
    drivers/c.S:3: Error: unrecognized opcode: `nope'
    drivers/d.c:7:18:    expected int *q              sparse, second line
    clang: error: unknown argument: '-mnonsense'

A message without a source belongs to the last step; a note belongs to the message before it.
"""

import re

from matrix.diagnostics.diagnostic import Severity, find_quoted_identifiers
from matrix.diagnostics.drafts import CARETS, MAX_MESSAGE_PARTS, UNKNOWN_COMPILER, DiagnosticDraft, Position
from matrix.diagnostics.parser_state import LineReader, ParserState, read_with_first
from matrix.kernel_files import ASSEMBLY_SUFFIXES

_INCLUDE_CHAIN = re.compile(
    r"(?P<first>In file included|\s+) from (?P<file>[^:]+)(?::(?P<line>[0-9]{1,9}))?(?::[0-9]+)*[:,]$"
)
_FUNCTION = re.compile(
    r"(?:(?P<file>[^\s:]+): )?"
    r"(?:In (?:[a-z]+ )*(?:function|constructor|destructor) ['‘`](?P<name>[^'’]+)['’]|At top level)[:,]$"
)
_INLINED = re.compile(
    r"\s+inlined from (?P<name>\S+) at (?P<file>[^:]+):(?P<line>[0-9]{1,9})(?::[0-9]+)?[:,]$"
)
_KIND = "(?P<kind>fatal error|error|warning|internal compiler error|sorry, unimplemented|note|remark|info)"
_NOTE_KINDS = ("note", "remark", "info")
_LOCATED = re.compile(
    rf"(?P<file>[^\s:][^:]*):(?P<line>[0-9]{{1,9}}):(?:(?P<column>[0-9]{{1,9}}):)? {_KIND}: (?P<text>.+)"
)
_ASSEMBLER = re.compile(
    r"(?P<file>[^\s:][^:]*):(?:(?P<line>[0-9]{1,9}):)? +(?P<kind>Fatal error|Error|Warning|Info): "
    r"(?P<text>.+)"
)
# GNU as quotes an instruction with its operands, where clang's assembler names the mnemonic only.
_MNEMONIC = re.compile(r"`([A-Za-z_][\w.]*)\s[^`']*'")
_DRIVER = re.compile(
    r"(?:\S*[/-])?(?P<program>gcc|g\+\+|cc1\w*|lto1|lto-wrapper|collect2|clang(?:\+\+)?)(?:-[0-9.]+)?: "
    rf"(?:{_KIND}: |(?=out of memory))(?P<text>.+)"
)
_BARE = re.compile(rf"{_KIND}: (?P<text>.+)")
_CONTINUATION = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}):[0-9]{1,9}:\s{2,}(?P<text>\S.*)")
_FLAG = re.compile(r"(?<!\s)\s*\[(?P<flag>-[Wf][^\[\]\s]+)\]$")
_COMPILE_STEP = re.compile(r"(?:HOST)?(?:CC|CXX|AS|CPP)\b|VDSO|LDS|LTO")
_GENERATED = r"[0-9]+ (?:warning|error)s?(?: and [0-9]+ errors?)? generated"
_CONSEQUENCE = re.compile(
    rf"compilation terminated|{_GENERATED}|.*: (?:all|some) warnings being treated as errors"
    r"|.*[0-9] warnings?, treating warnings as errors|.*: too many errors emitted, stopping now"
    r"|.*: Assembler messages:|collect2: error: ld returned|.*: linker command failed with exit code"
)
_CLANG_ONLY = re.compile(rf"{_GENERATED}|.* note: expanded from |.*\[-Werror,-W|(?:\S*/)?clang(?:-[0-9]+)?: ")
_GCC_ONLY = re.compile(
    r".*: (?:In function ['‘]|At top level:)|\s+from \S+[,:]$|(?:\S*-)?(?:gcc|cc1)[-0-9]*: "
    r"|.* note: in (?:expansion|definition) of macro |.*\[-Werror="
)


def read_compiler(log: ParserState, line: str) -> bool:
    """Take a line of a compiler, an assembler or sparse; False when it is none of theirs."""
    _detect_compiler(log, line)
    if _CONSEQUENCE.match(line):
        log.end_continuation()
        return True
    return read_with_first(_READERS, log, line)


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
    if chain := _INCLUDE_CHAIN.match(line):
        _add_include(log, chain)
    elif function := _FUNCTION.match(line):
        log.function = function["name"]
        log.source = log.roots.normalize_file(function["file"]) if function["file"] else log.source
        log.inlining_notes = []
    elif inlined := _INLINED.match(line):
        if len(log.inlining_notes) < MAX_MESSAGE_PARTS:
            note = _parse_position(log, inlined).format_note(f"inlined from {inlined['name']}")
            log.inlining_notes.append(note)
    else:
        return False
    log.end_continuation()
    return True


def _add_include(log: ParserState, match: re.Match[str]) -> None:
    if match["line"] is None or match["file"].startswith("<") or len(log.include_chain) >= MAX_MESSAGE_PARTS:
        return
    link = f"{log.roots.make_relative(match['file'])}:{match['line']}"
    # clang starts at the outermost file and repeats the first words; gcc goes on with "from".
    log.include_chain.insert(0 if match["first"].strip() else len(log.include_chain), link)


def _parse_position(log: ParserState, match: re.Match[str]) -> Position:
    file = log.roots.normalize_file(match["file"])
    numbers = (match.groupdict().get(name) for name in ("line", "column"))
    return Position(None) if file is None else Position(file, *(int(n) if n else None for n in numbers))


def _read_located_message(log: ParserState, line: str) -> bool:
    match = _LOCATED.match(line)
    if match is None:
        return False
    position = _parse_position(log, match)
    chain = log.resolve_include_chain(position.file)
    if match["kind"] in _NOTE_KINDS:
        log.add_note(match["text"], position)
        return True
    draft = _parse_message(match, _identify_tool(log))
    draft.position, draft.included_from, draft.function = position, chain, log.function
    draft.notes, log.inlining_notes = log.inlining_notes, []
    draft.continuation = "excerpt"
    log.add_draft(draft)
    return True


def _identify_tool(log: ParserState) -> str:
    if log.step.startswith("CHECK"):
        return "sparse"
    # bindgen has clang read the headers.
    return "clang" if log.step.startswith("BINDGEN") else UNKNOWN_COMPILER


def _parse_message(match: re.Match[str], tool: str) -> DiagnosticDraft:
    kind, text = match["kind"] or "error", match["text"]
    severity: Severity = "warning" if kind.lower() == "warning" else "error"
    if kind.startswith("internal"):
        text = f"{kind}: {text}"
    flag = _FLAG.search(text)
    if flag is None:
        return DiagnosticDraft(severity, tool, text)
    promoted = flag["flag"].startswith(("-Werror=", "-Werror,"))
    name = re.sub(r"^-Werror(?:=|,-W)", "-W", flag["flag"]).partition(",")[0]
    return DiagnosticDraft(severity, tool, text[: flag.start()], flag=name, promoted=promoted)


def _read_assembler_message(log: ParserState, line: str) -> bool:
    match = _ASSEMBLER.match(line)
    if match is None or not (match["line"] or match["file"].endswith(ASSEMBLY_SUFFIXES)):
        return False
    if match["kind"] == "Info":
        log.add_note(match["text"], _parse_position(log, match))
        return True
    draft = _parse_message(match, "as")
    draft.position = _parse_position(log, match)
    named = (*_MNEMONIC.findall(draft.message), *find_quoted_identifiers(draft.message))
    draft.symbols = tuple(dict.fromkeys(named))
    log.add_draft(draft)
    return True


def _read_driver_message(log: ParserState, line: str) -> bool:
    match = _DRIVER.match(line)
    if match is None:
        bare = _COMPILE_STEP.match(log.step) is not None
        return _add_driver_message(log, _BARE.match(line) if bare else None, UNKNOWN_COMPILER)
    return _add_driver_message(log, match, "clang" if match["program"].startswith("clang") else "gcc")


def _add_driver_message(log: ParserState, match: re.Match[str] | None, tool: str) -> bool:
    if match is None:
        return False
    if match["kind"] not in _NOTE_KINDS:
        log.add_draft(_parse_message(match, tool))
    elif not match["text"].startswith("diagnostic msg:"):  # names of temporary files
        log.add_note(match["text"])
    return True


def _read_sparse_continuation(log: ParserState, line: str) -> bool:
    match = _CONTINUATION.match(line)
    if match is None or log.current_draft is None:
        return False
    log.add_note(match["text"], _parse_position(log, match))
    return True


_READERS: tuple[LineReader, ...] = (
    _read_context,
    _read_located_message,
    _read_assembler_message,
    _read_driver_message,
    _read_sparse_continuation,
)
