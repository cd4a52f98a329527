"""What kind of problem a diagnostic tells of: names that hold across lines, arches, compilers and runs.

A construct is a warning's flag, or else its message with quoted names and numbers taken out, so that no
message of a known problem need be spelled out anywhere.
"""

import posixpath
import re
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.diagnostics.text import WORDS_OF_C, without_guess

_QUOTED = re.compile(r"['‘`\"][^'’\"`]*['’\"]")
# Offsets and sizes change with every edit; so do the preprocessor's counters (__COUNTER__), with which the
# kernel makes names like __compiletime_assert_12. The numbers of other names tell them apart: sha224, sha256.
_NUMBER = re.compile(r"\b0x[0-9a-fA-F]+\b|(?<![A-Za-z0-9])[0-9]+")
_COUNTED = re.compile(r"(?<=_)[0-9]+(?=_|$)|(?<=\D)[0-9]+$")
_COUNTING = ("__compiletime_assert_", "__UNIQUE_ID_", "__initcall_")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{2,}")
_WORD = re.compile(r"[A-Za-z_]\w*")
# These name a symbol for the whole kernel; the object only happens to want it.
GLOBAL_TOOLS = frozenset({"ld", "lld", "modpost"})
_SOURCES = (".c", ".S", ".s", ".rs")


class Kind(NamedTuple):
    """Diagnostics of one tool that say the same of the same thing."""

    tool: str
    home: str
    symbols: tuple[str, ...]
    construct: str


def construct(diagnostic: Diagnostic) -> str:
    """``ignored-attributes``, or ``weak declaration of _ being applied to a already existing, …``."""
    if diagnostic.flag:
        return diagnostic.flag.removeprefix("-W")
    return _NUMBER.sub("N", _QUOTED.sub("_", without_guess(diagnostic.message)))


def symbols(diagnostic: Diagnostic) -> tuple[str, ...]:
    """The names that the message quotes, without counters; in its order."""
    counted = (_COUNTED.sub("N", n) if n.startswith(_COUNTING) else n for n in diagnostic.symbols)
    return tuple(dict.fromkeys(counted))


def kind(diagnostic: Diagnostic, target: str | None) -> Kind:
    """The kind of a diagnostic that came up while ``target`` was made."""
    home = "" if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols else _home(diagnostic, target)
    return Kind(diagnostic.tool, home, symbols(diagnostic), construct(diagnostic))


def used_at(diagnostic: Diagnostic) -> Site | None:
    """The place that is to blame: the message's own, or where the macro is used that it lies in."""
    own = own_sites(diagnostic)
    return next((site for site in own if not site.macro), own[0] if own else None)


def own_sites(diagnostic: Diagnostic) -> tuple[Site, ...]:
    """A diagnostic's sites; of a record that has none, what its fields and notes say."""
    if diagnostic.sites or diagnostic.file is None:
        return diagnostic.sites
    found = (_NOTED.match(note) for note in diagnostic.notes)
    noted = (Site(file=m["file"], line=int(m["line"]), macro=_IN_MACRO in m["text"]) for m in found if m)
    return (Site(file=diagnostic.file, line=diagnostic.line), *noted)


_NOTED = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]+): (?P<text>.*)")
_IN_MACRO = "macro '"


def _home(diagnostic: Diagnostic, target: str | None) -> str:
    """The header that is to blame, wherever it is included, or else the object."""
    site = used_at(diagnostic)
    if site is not None and not site.file.endswith(_SOURCES):
        return site.file
    return target or (site.file if site else diagnostic.tool)


def keys_of(diagnostic: Diagnostic, target: str | None) -> frozenset[str]:
    """What the kind of this diagnostic is called in any run: ``OBJECT SYMBOLS CONSTRUCT``.

    No line, arch or severity is in it. Another compiler words the problem differently, and another run
    includes the header elsewhere: so there are further keys for the header that is to blame, for the line of
    source that is (where it says something), and for what is named at the places pointed at. What a linker
    misses is the same whatever it calls it after its first word.
    """
    place, home = target or diagnostic.file or diagnostic.tool, _home(diagnostic, target)
    named, said = "+".join(symbols(diagnostic)) or "-", construct(diagnostic)
    keys = {f"{place} {named} {said}", f"{home} {named} {said}"}
    if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols:
        keys.add(f"{place} {named} {said.partition(' ')[0]} …")
    used = used_at(diagnostic)
    if used is not None and used.code and len(set(_WORD.findall(used.code)) - WORDS_OF_C) > 1:
        keys.add(f"{home} `{used.code}`")
    return frozenset(keys | _pointed(diagnostic, place))


def _pointed(diagnostic: Diagnostic, place: str) -> set[str]:
    return {
        f"{place} {site.symbol} `{site.code}`"
        for site in own_sites(diagnostic)
        if not site.macro and site.symbol and site.code and _tells(site.code, site.symbol)
    }


def _tells(code: str, symbol: str) -> bool:
    """Whether a line of source says more than the one short name that it holds."""
    return len(set(_IDENTIFIER.findall(code)) | {symbol}) > 1


def title(diagnostic: Diagnostic, target: str | None) -> str:
    """A problem in one line of at most 200 characters: its object, and what is wrong."""
    site = used_at(diagnostic)
    where = target or (site.file if site else diagnostic.tool)
    inside = site.file if site and not _same(site.file, where) else ""
    flag = f" [{diagnostic.flag}]" if diagnostic.flag else ""
    told = f"{where}: {f'{inside}: ' if inside else ''}{diagnostic.message}{flag}"
    return told if len(told) <= 200 else f"{told[:199]}…"


def _same(source: str, made: str) -> bool:
    return posixpath.splitext(source)[0] == posixpath.splitext(made)[0] or source == made
