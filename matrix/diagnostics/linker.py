"""What GNU ld and ld.lld print.

    powerpc64le-linux-gnu-ld: drivers/a.o: in function `f':
    drivers/a.c:7:(.text+0x20): undefined reference to `g'
    s390x-linux-gnu-ld: drivers/b.o:/src/b.c:1: multiple definition of `x'; drivers/a.o: first defined here
    ld.lld: error: undefined symbol: g
    >>> referenced by a.c:7 (/src/drivers/a.c:7)
    >>>               vmlinux.o:(f)

An address is no part of the message: the same reference at two addresses is one diagnostic.
"""

import posixpath
import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.drafts import MAX_MESSAGE_PARTS, DiagnosticDraft, Position
from matrix.diagnostics.parser_state import MAX_LOG_LINE_LENGTH, ParserState

_GNU = re.compile(r"(?:\S*[/-])?ld(?:\.bfd|\.gold)?: ?(?P<text>.+)")
_WITHOUT_PREFIX = re.compile(
    r"\S*: ?(?:multiple definition of|undefined reference to|relocation truncated |dangerous relocation: "
    r"|more undefined references ).*"
)
_IN_FUNCTION = re.compile(r"(?P<object>\S+): in function [`'](?P<name>[^']+)':$")
_LOCATION = re.compile(
    r"(?:(?P<object>[^\s:]+\.[oa](?:\([^()]*\))?):)?(?:(?P<file>[^\s:()]+):)?(?:(?P<line>[0-9]{1,9}):)?"
    r"(?:\([^)\s]+\):)? (?P<text>.+)"
)
_LLD = re.compile(
    r"(?:\S*/)?(?:ld\.lld|lld)(?:-[0-9]+)?: (?P<kind>error|warning): "
    r"(?:(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}): )?(?P<text>.+)"
)
_LLD_SYMBOL = re.compile(r"(?:undefined|duplicate) .*?symbol: (?P<name>\S+)")
_LLD_SOURCE = re.compile(r"(?P<text>.+?) \S+ \((?P<file>[^():]+):(?P<line>[0-9]{1,9})\)$")
_LLD_FUNCTION = re.compile(r"\s\S+:\((?P<name>[A-Za-z_][\w.$]*)\)")


def read_linker(log: ParserState, line: str) -> bool:
    """Take a line of a linker; False when it is none."""
    if line.startswith(">>>"):
        return _read_lld_continuation(log, line[3:])
    if lld := _LLD.match(line):
        _add_lld_message(log, lld)
        return True
    if gnu := _GNU.match(line):
        return _read_gnu_ld(log, gnu["text"])
    return _WITHOUT_PREFIX.match(line) is not None and _read_gnu_ld(log, line)


def _read_gnu_ld(log: ParserState, text: str) -> bool:
    if match := _IN_FUNCTION.match(text):
        log.linked_object, log.function = match["object"], match["name"]
    elif text.startswith("NOTE: "):
        log.add_note(text.removeprefix("NOTE: "))
    elif not _is_summary(log, text):
        _add_gnu_message(log, text)
    return True


def _is_summary(log: ParserState, text: str) -> bool:
    """Whether this only sums up earlier messages."""
    follows_ld = log.current_draft is not None and log.current_draft.tool == "ld"
    return "more undefined references to" in text or (follows_ld and text.startswith("final link failed"))


def _add_gnu_message(log: ParserState, text: str) -> None:
    severity, text = _split_severity(text)
    position, notes = Position(), []
    if match := _LOCATION.match(text):
        if match["object"]:
            log.linked_object, log.function = match["object"], None
        position = _parse_gnu_position(log, match)
        notes = [f"in {log.linked_object}"] if log.linked_object and position.file is None else []
        severity, text = _split_severity(match["text"], severity)
    message, _, first = text.partition("; ")
    notes += [_format_first_definition(log, first)] if first else []
    log.add_draft(DiagnosticDraft(severity, "ld", message, position, function=log.function, notes=notes))


def _split_severity(text: str, otherwise: Severity = "error") -> tuple[Severity, str]:
    """The severity word before a text, and the text without it; ld puts none before an error."""
    kind, separator, rest = text.partition(": ")
    if not separator or kind not in ("warning", "error"):
        return otherwise, text
    return ("warning" if kind == "warning" else "error"), rest


def _parse_gnu_position(log: ParserState, match: re.Match[str]) -> Position:
    file, line = match["file"], match["line"]
    if file and "/" not in file:
        # Without debug information ld prints the last part of the name only; the object has the rest.
        directory = posixpath.dirname(log.linked_object or "")
        file = posixpath.join(directory, file) if directory else None
    return Position(log.roots.normalize_file(file), int(line) if line else None) if file else Position()


def _format_first_definition(log: ParserState, text: str) -> str:
    match = _LOCATION.match(text)
    if match is None or not match["file"]:
        return text
    return Position(log.roots.normalize_file(match["file"]), int(match["line"] or 0) or None).format_note(
        match["text"]
    )


def _add_lld_message(log: ParserState, match: re.Match[str]) -> None:
    position = (
        Position(log.roots.normalize_file(match["file"]), int(match["line"])) if match["file"] else Position()
    )
    severity: Severity = "warning" if match["kind"] == "warning" else "error"
    symbol = _LLD_SYMBOL.match(match["text"])
    symbols = (symbol["name"],) if symbol else None
    log.add_draft(DiagnosticDraft(severity, "lld", match["text"], position, symbols=symbols))


def _read_lld_continuation(log: ParserState, text: str) -> bool:
    """Take what follows ``>>>``: a use or definition of the symbol; an indented line continues the last."""
    draft = log.current_draft
    if draft is None or draft.tool != "lld":
        return False
    if len(draft.notes) >= MAX_MESSAGE_PARTS:
        return True
    if text.startswith("  ") and draft.notes and len(draft.notes[-1]) < MAX_LOG_LINE_LENGTH:
        draft.notes[-1] += f" {text.strip()}"
    elif source := _LLD_SOURCE.match(text.strip()):
        position = Position(log.roots.normalize_file(source["file"]), int(source["line"]))
        draft.position = draft.position if draft.position.file else position
        draft.notes.append(position.format_note(source["text"]))
    else:
        draft.notes.append(text.strip())
    function = _LLD_FUNCTION.search(text)
    if function and draft.function is None and draft.message.startswith("undefined"):
        draft.function = function["name"]
    return True
