"""What ld.lld prints, and mold in its words.

ld.lld: error: undefined symbol: g
>>> referenced by a.c:7 (/src/drivers/a.c:7)
>>>               vmlinux.o:(f)
ld.lld: error: arch/arm/built-in.a(kernel/a.o):(function f: .text+0x18): relocation R_ARM_CALL out of range: …
ld.lld: error: /src/drivers/a.c:12:(.text.f+0x600): relocation R_AARCH64_CALL26 out of range: …
ld.lld: warning: drivers/a.o:(.x) is being placed in '.x'
"""

import posixpath
import re

from matrix.diagnostics.drafts import MAX_MESSAGE_PARTS, DiagnosticDraft, Position
from matrix.diagnostics.linker_forms import build_linker_message, name_input, read_linker_text
from matrix.diagnostics.message_forms import parse_severity
from matrix.diagnostics.parser_state import MAX_LOG_LINE_LENGTH, ParserState
from matrix.kernel_files import COMPILED_SUFFIXES

_LLD = re.compile(
    r"(?:\S*/)?(?:(?P<lld>ld\.lld|lld)|ld\.mold|mold)(?:-[0-9]+)?: "
    r"(?P<kind>error|warning|fatal): (?P<text>.+)"
)
_PLACE = re.compile(
    r"(?P<place>[^\s:]+):(?=[0-9(])(?:(?P<line>[0-9]{1,9}):(?:[0-9]{1,9}:)?)?"
    r"(?:\((?:function (?P<function>[^\s():]+): )?(?P<section>[^()\s]*)\):)? (?P<text>.+)"
)
# What compilers put into sections by themselves, and no function's name.
_FUNCTION_SECTION = re.compile(
    r"\.text\.(?:(?:unlikely|hot|startup|exit)\.)?"
    r"(?!(?:unlikely|hot|startup|exit|fixup|split|unknown|cold|asan|tsan|kcsan|kprobes)\b)"
    r"(?P<name>[A-Za-z_]\w*)"
)
_IN_FUNCTION = re.compile(r".*\bin function '(?P<name>[^']+)'")
_SOURCE = re.compile(r"(?P<text>.+?) \S+ \((?P<file>[^():]+):(?P<line>[0-9]{1,9})\)$")
_SOURCE_NAME = re.compile(
    r"referenced by (?P<file>[^\s:()/]+\.\w+)(?::(?P<line>[0-9]{1,9}))? (?P<object>[^\s:]+):\([^()]*\)"
    r"(?: in archive (?P<archive>\S+))?"
)
_FUNCTION = re.compile(r"\s\S+:\((?P<name>[A-Za-z_][\w.$]*)\)")


def read_lld(log: ParserState, line: str) -> bool:
    """Take a line of lld or mold; False when it is none."""
    if line.startswith(">>>"):
        return _read_continuation(log, line[3:])
    head = line.partition(": ")[0]
    match = _LLD.match(line) if "lld" in head or "mold" in head else None
    if match is None:
        return False
    if not read_linker_text(log, match["text"]):
        _add_message(log, match)
    return True


def _add_message(log: ParserState, match: re.Match[str]) -> None:
    text, position, function, notes = match["text"], Position(), None, []
    if place := _PLACE.match(text):
        text, position = place["text"], _parse_place(log, place)
        function = place["function"] or _find_function(place["section"] or "")
        is_named = position.file is not None or place["place"].startswith("<")
        notes = [] if is_named else [f"in {name_input(place['place'])}"]
    if named := _IN_FUNCTION.match(text):
        function = named["name"]
    tool = "lld" if match["lld"] else "mold"
    draft = build_linker_message(tool, parse_severity(match["kind"]), text, position, function)
    draft.notes += notes
    log.add_draft(draft)


def _parse_place(log: ParserState, match: re.Match[str]) -> Position:
    """The source; without a line it is one only by its name, and by its last name alone it is not known."""
    path, line = match["place"], match["line"]
    if line is None and not (path.endswith(COMPILED_SUFFIXES) and "/" in path):
        return Position()
    return Position(log.roots.normalize_file(path), int(line) if line else None)


def _find_function(section: str) -> str | None:
    """The function that has a section of its own."""
    match = _FUNCTION_SECTION.match(section)
    return match["name"] if match else None


def _read_continuation(log: ParserState, text: str) -> bool:
    """Take what follows ``>>>``: a use or definition of the symbol; an indented line continues the last."""
    draft = log.current_draft
    if draft is None or draft.tool not in ("lld", "mold"):
        return False
    if len(draft.notes) >= MAX_MESSAGE_PARTS:
        return True
    if text.startswith("  ") and draft.notes and len(draft.notes[-1]) < MAX_LOG_LINE_LENGTH:
        draft.notes[-1] += f" {text.strip()}"
    elif source := _SOURCE.match(text.strip()):
        position = Position(log.roots.normalize_file(source["file"]), int(source["line"]))
        draft.position = draft.position if draft.position.file else position
        draft.notes.append(position.format_note(source["text"]))
    else:
        draft.notes.append(text.strip())
    if draft.notes and "referenced by" in draft.notes[-1]:
        _place_use(log, draft, text)
    return True


def _place_use(log: ParserState, draft: DiagnosticDraft, text: str) -> None:
    """The function and the source of the first use, where the message does not name them."""
    function = _FUNCTION.search(text)
    # What refers to a discarded section is nearly always a table.
    if function and draft.function is None and "discarded section" not in draft.message:
        draft.function = function["name"]
    source = _SOURCE_NAME.match(draft.notes[-1])
    if source is None or draft.position.file is not None:
        return
    # Without debug information lld prints the last part of the name only; the object has the rest, and lies
    # where its archive does.
    archive = posixpath.dirname(source["archive"] or "")
    directory = posixpath.dirname(posixpath.join(archive, name_input(source["object"])))
    if directory:
        file = log.roots.normalize_file(posixpath.join(directory, source["file"]))
        draft.position = Position(file, int(source["line"]) if source["line"] else None)
