"""One diagnostic while its lines come in, and the sites that its quotations of the source point at."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Severity, Site, find_quoted_identifiers
from matrix.diagnostics.internal_error import is_internal_error

_MARGIN = re.compile(r"^\s*+(?:[0-9]+\s*+)?\| ?")
CARETS = re.compile(r"(?=.*\^)[\s~^|]+$")
"""The line below quoted source that points into it."""
# rustc puts labels beside its carets, and other underlines before them.
_LABELLED_CARETS = re.compile(r"^\s*+\|[\s|_/~-]*+\^")
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPANSION = re.compile(r"in expansion of macro ")
_MACRO = re.compile(r"in expansion of macro |in definition of macro |expanded from (?:macro )?['‘`]")
# clang's words; gcc says "inlined from" before the message.
_CALLER = re.compile(r"(?:called|inlined) by function ['‘]|\s*which inlined function ['‘]")
_CALLED_BY = re.compile(r"called by function ['‘](?P<name>[^'’]+)['’]")


@dataclass
class Quotation:
    """The position and text of a note, or of the message itself, and the source lines quoted below it."""

    file: str
    line: int | None
    text: str
    lines: list[str] = field(default_factory=list)

    def accepts_line(self, line: str) -> bool:
        """Whether a line of the log still belongs to the quotation."""
        if len(self.lines) >= MAX_MESSAGE_PARTS:
            return False
        is_expected = len(self.lines) < 2 or CARETS.match(line) is not None
        return is_expected and (line[:1].isspace() or CARETS.match(line) is not None)

    @property
    def source_site(self) -> Site:
        """The place, with what the caret points at."""
        symbol, code = _find_caret_target(self.lines)
        caller = _CALLER.match(self.text) is not None
        return Site(
            file=self.file, line=self.line, symbol=symbol, code=code, macro=self.in_macro, caller=caller
        )

    @property
    def in_macro(self) -> bool:
        """Whether it only shows the macro that the code came out of."""
        return _MACRO.match(self.text) is not None


def collect_sites(
    own_quotation: Quotation | None, callers: Sequence[Site], notes: Sequence[Quotation]
) -> tuple[Site, ...]:
    """The message's own site, its callers from the inside out, then those of its notes; each once."""
    sites = [note.source_site for note in notes]
    ends = [index for index, note in enumerate(notes) if _ends_macro_chain(notes, index)]
    for index in ends:
        sites[index] = sites[index].model_copy(update={"macro": False})
    first = [] if own_quotation is None else [own_quotation.source_site]
    if ends and first and (first[0].file, first[0].line) != (sites[ends[0]].file, sites[ends[0]].line):
        first[0] = first[0].model_copy(update={"macro": True})
    listed = (*first, *callers, *sites)
    return tuple(dict.fromkeys(_strip_code(site) if site.macro else site for site in listed))


def _strip_code(site: Site) -> Site:
    """The site without symbol and code: a macro's definition does not show what is wrong where it is used."""
    return Site(file=site.file, line=site.line, macro=True)


def _ends_macro_chain(notes: Sequence[Quotation], index: int) -> bool:
    """Whether a note is the last of those that lead out of nested macros, to where the outermost is used."""
    following = notes[index + 1] if index + 1 < len(notes) else None
    is_expansion = _EXPANSION.match(notes[index].text) is not None
    return is_expansion and (following is None or not following.in_macro)


def _find_caret_target(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """(identifier at the caret, the quoted line with single blanks), as far as they are there."""
    for code, carets in pairwise(lines):
        margin = _MARGIN.match(carets)
        if CARETS.match(carets[margin.end() :] if margin else carets) or _LABELLED_CARETS.match(carets):
            caret = carets.index("^")
            names = (word[0] for word in _WORD.finditer(code) if word.start() <= caret < word.end())
            return next(names, None), _normalize_code(code)
    return None, _normalize_code(lines[0]) if lines else None


def _normalize_code(code: str) -> str | None:
    return " ".join(_MARGIN.sub("", code, count=1).split()) or None


UNKNOWN_COMPILER = ""
"""A draft's tool while the compiler is not known: gcc's and clang's messages look alike."""


class Position(NamedTuple):
    """Where in the source; everything may be unknown."""

    file: str | None = None
    line: int | None = None
    column: int | None = None

    def format_note(self, text: str) -> str:
        """A note's text with its place before it."""
        where = (str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(filter(None, (":".join(where), text)))


NO_POSITION = Position()
# No compiler prints as much; a damaged log must not grow one message without end.
MAX_MESSAGE_PARTS = 200
_MAX_TEXT_LENGTH = 4096
"""Characters of a message, or of a note or a line of code below it; those of compilers are shorter."""


def _shorten_text(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"


@dataclass
class DiagnosticDraft:
    """One diagnostic while its lines come in. ``continuation`` is what the lines after it are: ``spans`` of
    rustc, more ``text`` of the message, or a ``paragraph`` of notes up to an empty line; or else what
    indented ones are.

    ``callers``: where its code was inlined into, from the inside out.
    ``broke``: it reports that the tool itself broke. ``crashed``: a crash report came before it.
    """

    severity: Severity
    tool: str
    message: str
    position: Position = NO_POSITION
    object: str | None = None
    flag: str | None = None
    promoted: bool = False
    broke: bool = False
    summary: bool = False
    crashed: bool = False
    function: str | None = None
    symbols: tuple[str, ...] | None = None
    included_from: tuple[str, ...] = ()
    continuation: Literal["excerpt", "notes", "paragraph", "spans", "text", "nothing"] = "nothing"
    notes: list[str] = field(default_factory=list)
    excerpt: list[str] = field(default_factory=list)
    quotations: list[Quotation] = field(default_factory=list)
    callers: tuple[Site, ...] = ()
    printed_file: str | None = None
    """The file as the tool names it, be it but a compiler's temporary one."""
    by_step: bool = False
    """Its object is a guess, from the step before."""

    def add_note(self, text: str, position: Position) -> None:
        """Add a note. The function that one says a call is in is the message's own."""
        self.notes.append(position.format_note(text))
        if self.function is None and (called := _CALLED_BY.match(text)):
            self.function = called["name"]

    def add_symbols(self, names: Iterable[str]) -> None:
        """Add the symbols that a line below the message names, as far as there is room for them."""
        if self.symbols is not None and len(self.symbols) < MAX_MESSAGE_PARTS:
            self.symbols = tuple(dict.fromkeys((*self.symbols, *names)))

    def is_of_source(self, target: str) -> bool:
        """Whether it may be of a target, by the name of the source: `lib-a.o` is made of `a.c`."""
        names = (*(link.partition(":")[0] for link in self.included_from[-1:]), self.position.file)
        source, suffix = posixpath.splitext(posixpath.basename(next(filter(None, names), "")))
        own = posixpath.splitext(posixpath.basename(target))[0]
        return suffix not in (".c", ".S") or own.endswith(source)

    def to_occurrence(self, compiler: str) -> Occurrence:
        """The value; ``compiler`` is the tool where the message alone does not show it."""
        diagnostic = Diagnostic(
            severity=self.severity,
            tool=self.tool or compiler,
            file=self.position.file,
            line=self.position.line,
            column=self.position.column,
            message=_shorten_text(self.message),
            flag=self.flag,
            function=self.function,
            symbols=self._list_symbols()[:MAX_MESSAGE_PARTS],
            notes=tuple(dict.fromkeys(map(_shorten_text, self.notes))),
            included_from=self.included_from,
            excerpt=tuple(map(_shorten_text, self.excerpt)),
            sites=collect_sites(self._build_own_quotation(), self.callers, self.quotations),
            promoted=self.promoted,
            summary=self.summary,
            internal=self.severity == "error"
            and (self.broke or is_internal_error(self.message, reported=self.crashed)),
        )
        return Occurrence(diagnostic, self.object)

    def _list_symbols(self) -> tuple[str, ...]:
        if self.symbols is None:
            return find_quoted_identifiers(self.message[:_MAX_TEXT_LENGTH])
        return tuple(map(_shorten_text, self.symbols))

    def _build_own_quotation(self) -> Quotation | None:
        file, line, _ = self.position
        return None if file is None else Quotation(file, line, self.message, self.excerpt)
