"""What linkers print, as a table for all of them: what is of no account, and which symbol a message names.

A text is a message without the linker's name and the place before it. ld and lld word a problem differently;
one row has the words of both, so that its symbols are the same.
"""

import posixpath
import re
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Severity, find_quoted_identifiers
from matrix.diagnostics.drafts import DiagnosticDraft, Position
from matrix.diagnostics.message_forms import Makes, list_symbols, parse_severity
from matrix.diagnostics.parser_state import ParserState

_QUOTE = "[`'‘]?"
_SYMBOL = rf"{_QUOTE}(?P<symbol>[^\s`'’;:,]+)"
_MEMBER = re.compile(r"(?P<archive>[^\s()]+)\((?P<member>[^\s()]+\.\w+)\)$")
_OBJECT_NAME = re.compile(r".*\.(?:o|a|ko|so|lds)$")


class LinkerText(NamedTuple):
    """One wording: what it makes, and its pattern, whose groups ``symbol``… are its symbols."""

    makes: Makes
    pattern: re.Pattern[str]


def _compile_rows(makes: Makes, *patterns: str) -> tuple[LinkerText, ...]:
    return tuple(LinkerText(makes, re.compile(pattern)) for pattern in patterns)


_TEXTS = (
    *_compile_rows(
        "nothing",
        r"skipping incompatible ",
        r"more undefined references to ",
        r"additional relocation overflows omitted",
        r"too many errors emitted, stopping now",
        r"failed to merge target specific data of file ",
    ),
    *_compile_rows(
        "note",
        r"NOTE: (?P<text>.*)",
        r"note to link with |have you installed |use the --help option|[Pp]lease report this bug",
    ),
    *_compile_rows(
        "message",
        rf"undefined (?:[a-z-]+ )*(?:reference to|symbol:) {_SYMBOL}",
        rf"(?:multiple definition of|duplicate symbol:) {_SYMBOL}",
        rf"(?:unplaced )?orphan section:? {_SYMBOL}",
        r"\S+:\((?P<symbol>[^()\s]+)\) is being placed in ",
        rf"{_QUOTE}(?:(?P<symbol>[A-Za-z_$][^\s`'’]*)|[^'’]*)['’] referenced in section ",
        r"relocation refers to a symbol in a discarded section: (?P<symbol>\S+)",
        r"relocation refers to a discarded section: ",
        rf"relocation (?:truncated to fit: )?\S+ against (?:undefined |hidden |local )*(?:symbol:? )?"
        rf"{_QUOTE}(?P<symbol>[A-Za-z_$][^\s`'’;]*)",
        rf"(?:relocation|improper alignment) [^;]*; references (?:section )?+{_QUOTE}"
        r"(?P<symbol>[A-Za-z_$][\w.$]*)",
        rf"(?:relocation|can't create dynamic relocation) \S+ (?:cannot be used )?against symbol:? {_SYMBOL}",
        r"(?:cannot find|unable to find library) (?P<symbol>-l[^\s:]+)",
        rf"cannot find entry symbol {_SYMBOL}",
    ),
)


def read_linker_text(log: ParserState, text: str) -> bool:
    """Take a text that makes no message: it only repeats another, or is a note to it."""
    form, match = _find_form(text)
    if form is None or match is None or form.makes == "message":
        return False
    if form.makes == "note":
        log.add_note(match.groupdict().get("text") or text)
    return True


def build_linker_message(
    tool: str, severity: Severity, text: str, position: Position, function: str | None
) -> DiagnosticDraft:
    """A linker's message; its symbols are those of its form, or else what it quotes but for objects."""
    _, match = _find_form(text)
    quoted = (name for name in find_quoted_identifiers(text) if not _OBJECT_NAME.match(name))
    symbols = tuple(quoted) if match is None else list_symbols(match.groupdict())
    return DiagnosticDraft(severity, tool, text, position, function=function, symbols=symbols)


def _find_form(text: str) -> tuple[LinkerText | None, re.Match[str] | None]:
    for form in _TEXTS:
        if match := form.pattern.match(text):
            return form, match
    return None, None


def name_input(path: str) -> str:
    """An input of the link: the object in an archive by its own path, as the archive is where it lies."""
    match = _MEMBER.match(path)
    if match is None:
        return path
    return posixpath.join(posixpath.dirname(match["archive"]), match["member"])


def split_severity(text: str, otherwise: Severity = "error") -> tuple[Severity, str]:
    """The severity word before a text, and the text without it; ld puts none before most errors."""
    kind, separator, rest = text.partition(": ")
    if not separator or kind not in ("warning", "error"):
        return otherwise, text
    return parse_severity(kind), rest
