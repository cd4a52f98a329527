"""What GNU ld prints.

    powerpc64le-linux-gnu-ld: drivers/a.o: in function `f':
    drivers/a.c:7:(.text+0x20): undefined reference to `g'
    drivers/a.o: in function `f':                          older ones give no name before most messages
    s390x-linux-gnu-ld: drivers/b.o:/src/b.c:1: multiple definition of `x'; drivers/a.o: first defined here
    `f' referenced in section `.data' of drivers/a.o: defined in discarded section `.exit.text' of drivers/a.o

An address is no part of the message: the same reference at two addresses is one diagnostic.
"""

import posixpath
import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.drafts import DiagnosticDraft, Position
from matrix.diagnostics.linker_forms import (
    build_linker_message,
    name_input,
    read_linker_text,
    split_severity,
)
from matrix.diagnostics.parser_state import ParserState

_NAMED = re.compile(r"(?:\S*[/-])?ld(?:\.bfd|\.gold)?(?:-[0-9.]+)?: ?(?P<text>.+)")
_NAME_END = re.compile(r"ld(?:\.bfd|\.gold)?(?:-[0-9.]+)?$")
_HINTS = (
    "undefined reference",
    "multiple definition",
    " relocation",
    "n function `",
    "defined in discarded section",
    "first defined here",
)
_UNNAMED = re.compile(
    r"\S*: ?(?:multiple definition of|undefined reference to|relocation truncated |dangerous relocation: "
    r"|more undefined references |additional relocation overflows |first defined here).*"
    r"|`\S+' referenced in section `.*: defined in discarded section .*"
    r"|\S+\.(?:o|a|ko)(?:\([^\s()]*\))*: [Ii]n function `[^']+':$"
)
_IN_FUNCTION = re.compile(r"(?P<object>\S+): [Ii]n function [`'](?P<name>[^']+)':$")
_LOCATION = re.compile(
    r"(?:(?P<object>[^\s:]+\.(?:o|a|ko|so)(?:\([^()]*\))?):)?(?:(?P<file>[^\s:()]+):)?"
    r"(?:(?P<line>[0-9]{1,9}):)?(?:\([^)\s]+\):)? (?P<text>.+)"
)
_SECTION = re.compile(r"\(\.[^()]*\)$")
_DISCARDED_FROM = re.compile(r"`\S+' referenced in section `[^']*' of (?P<object>\S+): defined in discarded ")
_HIDDEN = re.compile(r"\S+: (?:hidden|internal) symbol `(?P<symbol>[^']+)' isn't defined$")
_MAX_RECENT = 50
"""Messages of one link that are looked through for what another one repeats."""
_FIRST_DEFINED = "first defined here"
_DEFINED_BEFORE = "; "


def read_gnu_ld(log: ParserState, line: str) -> bool:
    """Take a line of GNU ld; False when it is none."""
    if _NAME_END.search(line.partition(":")[0][-16:]) and (named := _NAMED.match(line)):
        return _read_text(log, named["text"])
    # A loop: as in read_with_first.
    for hint in _HINTS:
        if hint in line:
            return _UNNAMED.match(line) is not None and _read_text(log, line)
    return False


def _read_text(log: ParserState, text: str) -> bool:
    if match := _IN_FUNCTION.match(text):
        log.linked_object, log.function = _name_object(match["object"]), match["name"]
    elif not _follows_from_error(log, text) and not read_linker_text(log, text):
        _add_message(log, text)
    return True


def _follows_from_error(log: ParserState, text: str) -> bool:
    """Whether this only reports that the link failed, or names a symbol again, after the error itself."""
    recent = [draft for draft in log.drafts[-_MAX_RECENT:] if (draft.tool, draft.severity) == ("ld", "error")]
    if hidden := _HIDDEN.match(text):
        return any(draft.symbols == (hidden["symbol"],) for draft in recent)
    has_failed = bool(recent) and recent[-1] is log.drafts[-1]
    return has_failed and text.startswith("final link failed")


def _add_message(log: ParserState, text: str) -> None:
    severity, text = split_severity(text)
    place = _LOCATION.match(text)
    if place is None:
        log.add_draft(_build_unplaced_message(log, severity, text))
        return
    if place["text"] == _FIRST_DEFINED:
        log.add_note(_format_definition(log, text))
        return
    position = _parse_position(log, place)
    severity, text = split_severity(place["text"], severity)
    if read_linker_text(log, text):
        return
    text, _, definition = text.partition(_DEFINED_BEFORE) if _FIRST_DEFINED in text else (text, "", "")
    draft = build_linker_message("ld", severity, text, position, log.function)
    draft.notes += [f"in {log.linked_object}"] if log.linked_object and not position.file else []
    draft.notes += [_format_definition(log, definition)] if definition else []
    log.add_draft(draft)


def _build_unplaced_message(log: ParserState, severity: Severity, text: str) -> DiagnosticDraft:
    draft = build_linker_message("ld", severity, text, Position(), None)
    if discarded := _DISCARDED_FROM.match(text):
        log.linked_object, log.function = _name_object(discarded["object"]), None
        draft.notes.append(f"in {log.linked_object}")
    return draft


def _name_object(path: str) -> str:
    """The object without the section that older linkers put behind it."""
    return name_input(_SECTION.sub("", path))


def _parse_position(log: ParserState, match: re.Match[str]) -> Position:
    """The source of a message; its object is noted for the lines below it, which may not name it again."""
    file, input_name = match["file"], match["object"]
    if file and not posixpath.splitext(file)[1]:
        file, input_name = None, file
    if input_name:
        log.linked_object, log.function = _name_object(input_name), None
    return _name_source(log, file, match["line"], log.linked_object)


def _name_source(log: ParserState, file: str | None, line: str | None, object_name: str | None) -> Position:
    if file and "/" not in file:
        # Without debug information ld prints the last part of the name only; the object has the rest.
        directory = posixpath.dirname(object_name or "")
        file = posixpath.join(directory, file) if directory else None
    return Position(log.roots.normalize_file(file), int(line) if line else None) if file else Position()


def _format_definition(log: ParserState, text: str) -> str:
    match = _LOCATION.match(text)
    if match is None or not match["file"]:
        return text
    object_name = _name_object(match["object"]) if match["object"] else None
    position = _name_source(log, match["file"], match["line"], object_name)
    return position.format_note(match["text"]) if position.file else text
