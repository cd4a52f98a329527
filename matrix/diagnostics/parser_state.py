"""The state of a parser between two lines: the diagnostic that is being read, and the context of the next.

Lines and paths are made comparable here: no colours, one name for each file.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Severity, Site, find_quoted_identifiers
from matrix.diagnostics.internal_error import is_internal_error

# Colours, and the hyperlinks that GCC puts around its flags.
_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
# Longer than any compiler's command line; what a damaged log has in one line must not fill a record.
MAX_LOG_LINE_LENGTH = 32_768


def clean_log_line(line: str) -> str:
    """A line without escapes, line end or anything that is no valid Unicode text; cut where it is endless."""
    valid = line[:MAX_LOG_LINE_LENGTH].encode("utf-8", "replace").decode("utf-8")
    return _ESCAPES.sub("", valid).rstrip("\r\n")


@dataclass(frozen=True)
class BuildRoots:
    """Where the tree and the build directory are for the tools: ``/src`` and ``/build`` in every cell."""

    source: str = "/src"
    build: str = "/build"

    @cached_property
    def _prefixes(self) -> tuple[re.Pattern[str], ...]:
        return tuple(
            re.compile(rf"^(?:{re.escape(root)}|(?:\.\./)++{re.escape(posixpath.basename(root))})/++")
            for root in (self.source, self.build)
        )

    def make_relative(self, path: str) -> str:
        """A path relative to the tree, or to the build directory, without detours."""
        for prefix in self._prefixes:
            path = prefix.sub("", path)
        return posixpath.normpath(path) if path else path

    def normalize_file(self, path: str) -> str | None:
        """As `make_relative`; None for what is no file of the build: ``<stdin>``, a compiler's temporary."""
        return None if path.startswith(("<", "{", "/tmp/")) else self.make_relative(path)  # noqa: S108


_MARGIN = re.compile(r"^\s*+(?:[0-9]+\s*+)?\| ?")
CARETS = re.compile(r"(?=.*\^)[\s~^|]+$")
"""The line below quoted source that points into it."""
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPANSION = re.compile(r"in expansion of macro ")
_MACRO = re.compile(r"in expansion of macro |in definition of macro |expanded from (?:macro )?['‘`]")


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
        return Site(file=self.file, line=self.line, symbol=symbol, code=code, macro=self.in_macro)

    @property
    def in_macro(self) -> bool:
        """Whether it only shows the macro that the code came out of."""
        return _MACRO.match(self.text) is not None


def collect_sites(own_quotation: Quotation | None, notes: Sequence[Quotation]) -> tuple[Site, ...]:
    """The message's own site first, then those of its notes, each once."""
    sites = [note.source_site for note in notes]
    ends = [index for index, note in enumerate(notes) if _ends_macro_chain(notes, index)]
    for index in ends:
        sites[index] = sites[index].model_copy(update={"macro": False})
    first = [] if own_quotation is None else [own_quotation.source_site]
    if ends and first and (first[0].file, first[0].line) != (sites[ends[0]].file, sites[ends[0]].line):
        first[0] = first[0].model_copy(update={"macro": True})
    return tuple(dict.fromkeys(_strip_code(site) if site.macro else site for site in (*first, *sites)))


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
        if CARETS.match(carets[margin.end() :] if margin else carets):
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


_NO_POSITION = Position()
# No compiler prints as much; a damaged log must not grow one message without end.
MAX_MESSAGE_PARTS = 200
_MAX_TEXT_LENGTH = 4096
"""Characters of a message, or of a note or a line of code below it; those of compilers are shorter."""


def _shorten_text(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"


@dataclass
class DiagnosticDraft:
    """One diagnostic while its lines come in. ``continuation`` is what indented lines after it are.

    ``broke``: it says that the tool itself broke. ``crashed``: a crash report came before it.
    """

    severity: Severity
    tool: str
    message: str
    position: Position = _NO_POSITION
    object: str | None = None
    flag: str | None = None
    promoted: bool = False
    broke: bool = False
    crashed: bool = False
    function: str | None = None
    symbols: tuple[str, ...] | None = None
    included_from: tuple[str, ...] = ()
    continuation: Literal["excerpt", "notes", "nothing"] = "nothing"
    notes: list[str] = field(default_factory=list)
    excerpt: list[str] = field(default_factory=list)
    quotations: list[Quotation] = field(default_factory=list)

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
            sites=collect_sites(self._build_own_quotation(), self.quotations),
            promoted=self.promoted,
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


def _strip_suffix(path: str) -> str:
    return posixpath.splitext(path)[0]


@dataclass
class ParserState:
    """The state of parsing one log: readers add drafts to it, and use what was read before."""

    roots: BuildRoots
    drafts: list[DiagnosticDraft] = field(default_factory=list)
    current_draft: DiagnosticDraft | None = None
    step: str = ""
    crashed: bool = False
    object: str | None = None
    function: str | None = None
    source: str | None = None
    linked_object: str | None = None
    include_chain: list[str] = field(default_factory=list)
    inlining_notes: list[str] = field(default_factory=list)
    held_line: str | None = None
    quotation: Quotation | None = None
    _object_by_stem: dict[str, str] = field(default_factory=dict)
    _chain_by_file: dict[str | None, tuple[str, ...]] = field(default_factory=dict)
    _compiler_by_object: dict[str | None, str] = field(default_factory=dict)
    _drafts_without_object: list[DiagnosticDraft] = field(default_factory=list)

    def start_object(self, step: str, target: str | None) -> None:
        """Another object is being made from here on."""
        self.step, self.object, self.crashed = step, target, False
        self.current_draft = self.function = self.source = self.linked_object = self.held_line = (
            self.quotation
        ) = None
        self.include_chain, self.inlining_notes, self._chain_by_file = [], [], {}
        self._drafts_without_object = []
        if target is not None:
            self._object_by_stem[_strip_suffix(target)] = target

    def add_draft(self, draft: DiagnosticDraft, *, has_object: bool = True) -> DiagnosticDraft:
        """Add a new diagnostic. Without ``has_object`` it is of the build as a whole, as Kconfig's are."""
        if has_object and draft.object is None:
            draft.object = self._find_object(draft)
            if draft.object is None:
                self._drafts_without_object.append(draft)
        draft.crashed = self.crashed
        self.current_draft, self.held_line, self.quotation = draft, None, None
        self.drafts.append(draft)
        return draft

    def _find_object(self, draft: DiagnosticDraft) -> str | None:
        # Without --output-sync the last step line may be another job's; the source's name is a better guide.
        outermost = draft.included_from[-1].partition(":")[0] if draft.included_from else None
        names = (outermost, draft.position.file, self.source)
        objects = (self._object_by_stem.get(_strip_suffix(name)) for name in names if name)
        return next(filter(None, objects), self.object)

    def resolve_include_chain(self, file: str | None) -> tuple[str, ...]:
        """The files that include ``file``, outward: as just printed, or as before.

        Tools print a chain only once; after messages about another file they return to a header without it.
        """
        if self.include_chain:
            self._chain_by_file[file] = tuple(self.include_chain)
            self.include_chain = []
        return self._chain_by_file.get(file, ())

    def add_note(self, text: str, position: Position = _NO_POSITION) -> None:
        """Add a note to the current diagnostic; without one, the note is dropped.

        A diagnostic without a file (in an assembler macro, for example) gets the position of its first note.
        """
        draft = self.current_draft
        if draft is None or len(draft.notes) >= MAX_MESSAGE_PARTS:
            return
        if draft.tool == UNKNOWN_COMPILER and draft.position.file is None:
            draft.position = position
        draft.notes.append(position.format_note(text))
        if draft.continuation == "excerpt":
            self.end_continuation()
        self.quotation = None if position.file is None else Quotation(position.file, position.line, text)
        draft.quotations += [] if self.quotation is None else [self.quotation]

    def end_continuation(self) -> None:
        """End the current diagnostic, but for notes: what follows belongs to something else."""
        self.held_line = self.quotation = None
        if self.current_draft is not None:
            self.current_draft.continuation = "nothing"

    def assign_failed_object(self, target: str) -> None:
        """Give ``target``, which make failed to make, to the drafts of its recipe that had no object."""
        for draft in self._drafts_without_object:
            draft.object = target
        self._drafts_without_object.clear()

    def record_compiler(self, compiler: str) -> None:
        """Note that the current object's messages can only come from this compiler."""
        self._compiler_by_object.setdefault(self.object, compiler)

    def collect_occurrences(self) -> list[Occurrence]:
        """Everything found, in the log's order, each once per object."""
        most_common = Counter(self._compiler_by_object.values()).most_common(1)
        default = most_common[0][0] if most_common else "gcc"
        occurrences = (
            draft.to_occurrence(self._compiler_by_object.get(draft.object, default)) for draft in self.drafts
        )
        return list(dict.fromkeys(occurrences))


LineReader = Callable[[ParserState, str], bool]
"""Takes a line, or leaves it to the next reader."""


def read_with_first(readers: Sequence[LineReader], log: ParserState, line: str) -> bool:
    """Offer a line to each reader until one takes it; False where none does."""
    # A loop: millions of lines come through here, and a generator for each takes as long as the readers.
    for read in readers:  # noqa: SIM110
        if read(log, line):
            return True
    return False
