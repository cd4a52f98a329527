"""One error or warning out of a build log, as a value."""

import hashlib
import re
from operator import not_
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["error", "warning"]
SILENT_FAILURE = "nothing that its command printed says why"
"""The end of the message of a target that failed for no reason that is known."""


class Site(BaseModel):
    """A place that a diagnostic or one of its notes points at.

    ``symbol`` is the identifier at the caret, ``code`` the quoted line of source with single blanks and no
    margin. ``macro``: it only shows the macro that the code came out of. ``caller``: the code was inlined
    into this place.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    line: int | None = None
    symbol: str | None = None
    code: str | None = None
    macro: bool = False
    # It came later: where it says nothing it is left out, as of a diagnostic.
    caller: bool = Field(default=False, exclude_if=not_)


class Diagnostic(BaseModel):
    """A message of a tool, with as many fields as its log gave.

    ``file`` is normalised and relative to the source tree (``virt/kvm/vfio.c``, never
    ``arch/powerpc/kvm/../../../virt/kvm/vfio.c``), or to the build directory for generated files.
    ``included_from`` runs outward, ``file:line`` each. ``excerpt`` is the tool's own quotation of the
    source, caret lines included. ``sites`` are the places that the message and its notes point at, the
    message's own first. ``promoted``: -Werror made the error of a warning. ``internal``: the tool itself
    broke, by its own words, and not the source. ``summary``: it only sums up warnings that were printed
    before, and makes an error of them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    severity: Severity
    tool: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    message: str
    flag: str | None = None
    function: str | None = None
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    included_from: tuple[str, ...] = ()
    excerpt: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    promoted: bool = False
    # It came later: where it says nothing it is left out, so that older records and keys stay as they are.
    internal: bool = Field(default=False, exclude_if=not_)
    summary: bool = Field(default=False, exclude_if=not_)

    @property
    def location(self) -> str:
        """``virt/kvm/vfio.c:89:7``, as far as it is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def is_silent_failure(self) -> bool:
        """Whether it only reports that a command failed: the message is in no log."""
        return self.tool == "make" and self.message.endswith(SILENT_FAILURE)

    @property
    def key(self) -> str:
        """A name for this exact diagnostic: equal values, equal keys."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Occurrence(NamedTuple):
    """A diagnostic and the object (relative to the build directory) during whose making it was printed."""

    diagnostic: Diagnostic
    object: str | None


class FailedTarget(NamedTuple):
    """A target that make failed to make by its own recipe, and the diagnostic that is the reason.

    ``target`` is relative to the build directory where it is a file, and then it is the ``object`` too; a
    goal (``oldconfig``) has none.
    """

    target: str
    object: str | None
    cause: Occurrence | None

    @property
    def known_cause(self) -> Diagnostic | None:
        """The reason why it failed; None where nothing that was printed does."""
        if self.cause is None or self.cause.diagnostic.is_silent_failure:
            return None
        return self.cause.diagnostic


class BuildLog(NamedTuple):
    """What a build log shows: its diagnostics in order, each once per object; what make failed to make; the
    objects whose compiling or assembling it shows, whatever came of it."""

    occurrences: tuple[Occurrence, ...]
    failed_targets: tuple[FailedTarget, ...]
    compiled_objects: frozenset[str]

    @property
    def has_error(self) -> bool:
        """Whether any of its diagnostics is an error."""
        return any(item.diagnostic.severity == "error" for item in self.occurrences)


_QUOTED_IDENTIFIER = re.compile(r"['‘`\"](?:(?:struct|union|enum) )?([A-Za-z_$][\w.$]*)['’\"]")
_SUGGESTION = re.compile(r"[;,] did you mean .*")
# Types, words of C, and clang's attributes 'error' and 'warning' stand in the same quotes as the symbols that
# a message is about.
C_KEYWORDS = frozenset(
    word
    for words in (
        "auto bool break case char const continue default do double else enum error extern float for goto",
        "if inline int long register return short signed sizeof static struct switch typedef typeof union",
        "unsigned void volatile warning while",
    )
    for word in words.split()
)


def strip_suggestion(message: str) -> str:
    """A message without the compiler's guess of the name that was meant: it depends on what is declared."""
    return _SUGGESTION.sub("", message)


def find_quoted_identifiers(message: str) -> tuple[str, ...]:
    """The identifiers that a message quotes, in order, each once: ``'x'``, ``‘x’``, ```x'``, ``"x"``."""
    names = (name for name in _QUOTED_IDENTIFIER.findall(strip_suggestion(message)) if name not in C_KEYWORDS)
    return tuple(dict.fromkeys(names))
