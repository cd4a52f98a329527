"""What kind of problem a diagnostic tells of: names that hold across lines, arches, compilers and runs.

A construct is a warning's flag, or else its message with quoted names and numbers taken out, so that no
message of a known problem need be spelled out anywhere.
"""

import posixpath
import re
from typing import NamedTuple

from matrix.diagnostics.diagnostic import C_KEYWORDS, Diagnostic, Site, strip_suggestion
from matrix.kernel_files import COMPILED_SUFFIXES

_QUOTED = re.compile(r"['‘`\"][^'’\"`]*['’\"]")
# Offsets and sizes change with every edit; so do the preprocessor's counters (__COUNTER__), with which the
# kernel makes names like __compiletime_assert_12. The numbers of other names tell them apart: sha224, sha256.
_NUMBER = re.compile(r"\b0x[0-9a-fA-F]+\b|(?<![A-Za-z0-9])[0-9]+")
_COUNTER_NUMBER = re.compile(r"(?<=_)[0-9]+(?=_|$)|(?<=\D)[0-9]+$")
_COUNTER_PREFIXES = ("__compiletime_assert_", "__UNIQUE_ID_", "__initcall_")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{2,}")
_WORD = re.compile(r"[A-Za-z_]\w*")
# These name a symbol for the whole kernel; the object only happens to want it.
GLOBAL_TOOLS = frozenset({"ld", "lld", "modpost"})


class ProblemKind(NamedTuple):
    """Diagnostics of one tool that say the same of the same thing."""

    tool: str
    location: str
    symbols: tuple[str, ...]
    construct: str


def extract_construct(diagnostic: Diagnostic) -> str:
    """``ignored-attributes``, or ``weak declaration of _ being applied to a already existing, …``."""
    if diagnostic.flag:
        return diagnostic.flag.removeprefix("-W")
    return _NUMBER.sub("N", _QUOTED.sub("_", strip_suggestion(diagnostic.message)))


def extract_quoted_symbols(diagnostic: Diagnostic) -> tuple[str, ...]:
    """The names that the message quotes, without counters; in its order."""
    counted = (
        _COUNTER_NUMBER.sub("N", n) if n.startswith(_COUNTER_PREFIXES) else n for n in diagnostic.symbols
    )
    return tuple(dict.fromkeys(counted))


def classify_diagnostic(diagnostic: Diagnostic, target: str | None) -> ProblemKind:
    """The kind of a diagnostic that came up while ``target`` was made."""
    home = (
        "" if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols else _find_location(diagnostic, target)
    )
    return ProblemKind(
        diagnostic.tool, home, extract_quoted_symbols(diagnostic), extract_construct(diagnostic)
    )


def find_blamed_site(diagnostic: Diagnostic) -> Site | None:
    """The place that is to blame: the message's own, or where the macro is used that it lies in."""
    own = list_sites(diagnostic)
    return next((site for site in own if not site.macro), own[0] if own else None)


def list_sites(diagnostic: Diagnostic) -> tuple[Site, ...]:
    """A diagnostic's sites; of a record that has none, what its fields and notes say."""
    if diagnostic.sites or diagnostic.file is None:
        return diagnostic.sites
    found = (_NOTE.match(note) for note in diagnostic.notes)
    noted = (Site(file=m["file"], line=int(m["line"]), macro=_IN_MACRO in m["text"]) for m in found if m)
    return (Site(file=diagnostic.file, line=diagnostic.line), *noted)


_NOTE = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]+): (?P<text>.*)")
_IN_MACRO = "macro '"


def _find_location(diagnostic: Diagnostic, target: str | None) -> str:
    """The header that is to blame, wherever it is included, or else the object."""
    site = find_blamed_site(diagnostic)
    if site is not None and not site.file.endswith(COMPILED_SUFFIXES):
        return site.file
    return target or (site.file if site else diagnostic.tool)


def compute_finding_keys(diagnostic: Diagnostic, target: str | None) -> frozenset[str]:
    """What the kind of this diagnostic is called in any run: ``OBJECT SYMBOLS CONSTRUCT``.

    No line, arch or severity is in it. Another compiler words the problem differently, and another run
    includes the header elsewhere: so there are further keys for the header that is to blame, for the line of
    source that is (where it says something), and for what is named at the places pointed at. What a linker
    misses is the same whatever it calls it after its first word.
    """
    place, home = target or diagnostic.file or diagnostic.tool, _find_location(diagnostic, target)
    named, said = "+".join(extract_quoted_symbols(diagnostic)) or "-", extract_construct(diagnostic)
    keys = {f"{place} {named} {said}", f"{home} {named} {said}"}
    if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols:
        keys.add(f"{place} {named} {said.partition(' ')[0]} …")
    used = find_blamed_site(diagnostic)
    if used is not None and used.code and len(set(_WORD.findall(used.code)) - C_KEYWORDS) > 1:
        keys.add(f"{home} `{used.code}`")
    return frozenset(keys | _compute_site_keys(diagnostic, place))


def _compute_site_keys(diagnostic: Diagnostic, place: str) -> set[str]:
    return {
        f"{place} {site.symbol} `{site.code}`"
        for site in list_sites(diagnostic)
        if not site.macro and site.symbol and site.code and _is_distinctive(site.code, site.symbol)
    }


def _is_distinctive(code: str, symbol: str) -> bool:
    """Whether a line of source says more than the one short name that it holds."""
    return len(set(_IDENTIFIER.findall(code)) | {symbol}) > 1


def format_problem_title(diagnostic: Diagnostic, target: str | None) -> str:
    """A problem in one line of at most 200 characters: its object, and what is wrong."""
    site = find_blamed_site(diagnostic)
    where = target or (site.file if site else diagnostic.tool)
    inside = site.file if site and not _is_same_source(site.file, where) else ""
    flag = f" [{diagnostic.flag}]" if diagnostic.flag else ""
    told = f"{where}: {f'{inside}: ' if inside else ''}{diagnostic.message}{flag}"
    return told if len(told) <= 200 else f"{told[:199]}…"


def _is_same_source(source: str, made: str) -> bool:
    return posixpath.splitext(source)[0] == posixpath.splitext(made)[0] or source == made
