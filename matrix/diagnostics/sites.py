"""The places that a diagnostic and its notes point at, out of the source lines that compilers quote.

    include/linux/vfio.h:305:35: note: previous definition is here
      305 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)
          |                                   ^~~~~~~~~~~~~~~~~~~~~

clang gives a message the place where a macro is used, gcc the one inside the macro's definition, with the
use at the end of a chain of notes; so the end of that chain is the site that both share.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matrix.diagnostics.diagnostic import Site

_MARGIN = re.compile(r"^\s*+(?:[0-9]+\s*+)?\| ?")
_CARETS = re.compile(r"(?=.*\^)[\s~^|]+$")
_WORD = re.compile(r"[A-Za-z_]\w*")
_EXPANSION = re.compile(r"in expansion of macro ")
_MACRO = re.compile(r"in expansion of macro |in definition of macro |expanded from (?:macro )?['‘`]")


@dataclass
class Quotation:
    """A note's (or the message's own) place and text, and the lines of source quoted below it."""

    file: str
    line: int | None
    text: str
    lines: list[str] = field(default_factory=list)

    def accepts_line(self, line: str) -> bool:
        """Whether a line of the log still belongs to the quotation."""
        wanted = len(self.lines) < 2 or _CARETS.match(line) is not None
        return wanted and (line[:1].isspace() or _CARETS.match(line) is not None)

    @property
    def source_site(self) -> Site:
        """The place, with what the caret points at."""
        symbol, code = _find_caret_target(self.lines)
        return Site(file=self.file, line=self.line, symbol=symbol, code=code, macro=self.in_macro)

    @property
    def in_macro(self) -> bool:
        """Whether it only tells which macro the code came out of."""
        return _MACRO.match(self.text) is not None


def collect_sites(own: Quotation | None, notes: Sequence[Quotation]) -> tuple[Site, ...]:
    """The message's own site first, then those of its notes, each once."""
    said = [note.source_site for note in notes]
    ends = [place for place, note in enumerate(notes) if _ends_macro_chain(notes, place)]
    for place in ends:
        said[place] = said[place].model_copy(update={"macro": False})
    first = [] if own is None else [own.source_site]
    if ends and first and (first[0].file, first[0].line) != (said[ends[0]].file, said[ends[0]].line):
        first[0] = first[0].model_copy(update={"macro": True})
    return tuple(dict.fromkeys(_strip_code(site) if site.macro else site for site in (*first, *said)))


def _strip_code(site: Site) -> Site:
    """A macro's definition says nothing about what is wrong where it is used."""
    return Site(file=site.file, line=site.line, macro=True)


def _ends_macro_chain(notes: Sequence[Quotation], place: int) -> bool:
    """Whether a note is the last of those that lead out of nested macros, to where the outermost is used."""
    after = notes[place + 1] if place + 1 < len(notes) else None
    inside = _EXPANSION.match(notes[place].text) is not None
    return inside and (after is None or not after.in_macro)


def _find_caret_target(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """(identifier at the caret, the quoted line with single blanks), as far as they are there."""
    for code, carets in pairwise(lines):
        margin = _MARGIN.match(carets)
        if _CARETS.match(carets[margin.end() :] if margin else carets):
            caret = carets.index("^")
            names = (word[0] for word in _WORD.finditer(code) if word.start() <= caret < word.end())
            return next(names, None), _normalize_code(code)
    return None, _normalize_code(lines[0]) if lines else None


def _normalize_code(code: str) -> str | None:
    return " ".join(_MARGIN.sub("", code, count=1).split()) or None
