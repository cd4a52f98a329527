"""A diagnostic in the making, and what the log has said so far that bears on the next one."""

import posixpath
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Severity
from matrix.diagnostics.sites import Quotation, sites_of
from matrix.diagnostics.text import Roots, quoted_symbols

COMPILER = ""
"""A draft's tool while it is open which compiler speaks: gcc's and clang's messages look alike."""


class Place(NamedTuple):
    """Where in the source; everything may be unknown."""

    file: str | None = None
    line: int | None = None
    column: int | None = None

    def says(self, text: str) -> str:
        """A note's text with its place before it."""
        where = (str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(filter(None, (":".join(where), text)))


_NOWHERE = Place()
# No compiler says as much; a damaged log must not grow one message without end.
MOST = 200


@dataclass
class Draft:
    """One diagnostic while its lines come in. ``tail`` says what indented lines after it are."""

    severity: Severity
    tool: str
    message: str
    place: Place = _NOWHERE
    object: str | None = None
    flag: str | None = None
    promoted: bool = False
    function: str | None = None
    symbols: tuple[str, ...] | None = None
    included_from: tuple[str, ...] = ()
    tail: Literal["excerpt", "notes", "nothing"] = "nothing"
    notes: list[str] = field(default_factory=list)
    excerpt: list[str] = field(default_factory=list)
    quoted: list[Quotation] = field(default_factory=list)

    def finished(self, compiler: str) -> Occurrence:
        """The value; ``compiler`` is who speaks where the message alone does not tell."""
        diagnostic = Diagnostic(
            severity=self.severity,
            tool=self.tool or compiler,
            file=self.place.file,
            line=self.place.line,
            column=self.place.column,
            message=self.message,
            flag=self.flag,
            function=self.function,
            symbols=quoted_symbols(self.message) if self.symbols is None else self.symbols,
            notes=tuple(dict.fromkeys(self.notes)),
            included_from=self.included_from,
            excerpt=tuple(self.excerpt),
            sites=sites_of(self._own(), self.quoted),
            promoted=self.promoted,
        )
        return Occurrence(diagnostic, self.object)

    def _own(self) -> Quotation | None:
        file, line, _ = self.place
        return None if file is None else Quotation(file, line, self.message, self.excerpt)


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


@dataclass
class Log:
    """The state of reading one log: readers put drafts into it, and look at what came before."""

    roots: Roots
    drafts: list[Draft] = field(default_factory=list)
    current: Draft | None = None
    step: str = ""
    object: str | None = None
    function: str | None = None
    source: str | None = None
    linked: str | None = None
    chain: list[str] = field(default_factory=list)
    inlined: list[str] = field(default_factory=list)
    held: str | None = None
    quotation: Quotation | None = None
    _made_from: dict[str, str] = field(default_factory=dict)
    _included: dict[str | None, tuple[str, ...]] = field(default_factory=dict)
    _compilers: dict[str | None, str] = field(default_factory=dict)
    _orphans: list[Draft] = field(default_factory=list)

    def turn_to(self, step: str, target: str | None) -> None:
        """Another object is being made from here on."""
        self.step, self.object = step, target
        self.current = self.function = self.source = self.linked = self.held = self.quotation = None
        self.chain, self.inlined, self._included = [], [], {}
        self._orphans = []
        if target is not None:
            self._made_from[_stem(target)] = target

    def begin(self, draft: Draft, *, made: bool = True) -> Draft:
        """Take in a new diagnostic; ``made`` tells that it came up while an object was being made."""
        if made and draft.object is None:
            draft.object = self._owner(draft)
            if draft.object is None:
                self._orphans.append(draft)
        self.current, self.held, self.quotation = draft, None, None
        self.drafts.append(draft)
        return draft

    def _owner(self, draft: Draft) -> str | None:
        # Without --output-sync the last step line may be another job's; the source's name knows better.
        outermost = draft.included_from[-1].partition(":")[0] if draft.included_from else None
        named = (outermost, draft.place.file, self.source)
        made = (self._made_from.get(_stem(name)) for name in named if name)
        return next(filter(None, made), self.object)

    def included_from(self, file: str | None) -> tuple[str, ...]:
        """Who includes ``file``: as just printed, or as before, since tools print a chain only once.

        Both compilers come back to a header, when they have said something of another file, without it.
        """
        if self.chain:
            self._included[file] = tuple(self.chain)
            self.chain = []
        return self._included.get(file, ())

    def note(self, text: str, place: Place = _NOWHERE) -> None:
        """Something more about the current diagnostic; about nothing, it is dropped.

        What lies in no file of anybody's (a macro of the assembler, say) is where the first note is.
        """
        draft = self.current
        if draft is None or len(draft.notes) >= MOST:
            return
        if draft.tool == COMPILER and draft.place.file is None:
            draft.place = place
        draft.notes.append(place.says(text))
        if draft.tail == "excerpt":
            self.quiet()
        self.quotation = None if place.file is None else Quotation(place.file, place.line, text)
        draft.quoted += [] if self.quotation is None else [self.quotation]

    def quiet(self) -> None:
        """Nothing more of the current diagnostic but notes: what follows goes on with something else."""
        self.held = self.quotation = None
        if self.current is not None:
            self.current.tail = "nothing"

    def failed(self, target: str) -> None:
        """make gave up on ``target``: what had no object until now came up while it was made."""
        for draft in self._orphans:
            draft.object = target
        self._orphans.clear()

    def spoken_by(self, compiler: str) -> None:
        """The current object's messages can only come from this compiler."""
        self._compilers.setdefault(self.object, compiler)

    def occurrences(self) -> list[Occurrence]:
        """Everything found, in the log's order, each once per object."""
        usual = Counter(self._compilers.values()).most_common(1)
        default = usual[0][0] if usual else "gcc"
        found = (draft.finished(self._compilers.get(draft.object, default)) for draft in self.drafts)
        return list(dict.fromkeys(found))
