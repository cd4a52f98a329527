"""The kind of a diagnostic, and a problem's keys: names that hold across lines, arches, compilers and runs.

A construct is a warning's flag, or else its message with quoted names and numbers taken out, so that no
message of a known problem need be spelled out anywhere.
"""

import posixpath
import re
from typing import NamedTuple

from matrix.diagnostics.diagnostic import C_KEYWORDS, Diagnostic, Site, strip_suggestion
from matrix.kernel_files import COMPILED_SUFFIXES

_QUOTED = re.compile(r"['‘`\"][^'‘’\"`]*+['’\"]")
# Offsets and sizes change with every edit; so do the preprocessor's counters (__COUNTER__), with which the
# kernel makes names like __compiletime_assert_12. The numbers of other names tell them apart: sha224, sha256.
_NUMBER = re.compile(r"\b0x[0-9a-fA-F]+\b|(?<![A-Za-z0-9])[0-9]+")
_COUNTER_NUMBER = re.compile(r"(?<=_)[0-9]+(?=_|$)|(?<=\D)[0-9]+$")
_COUNTER_PREFIXES = ("__compiletime_assert_", "__UNIQUE_ID_", "__initcall_")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{2,}")
_WORD = re.compile(r"[A-Za-z_]\w*")
# Their messages are about a symbol of the whole kernel; the object only happens to use it.
GLOBAL_TOOLS = frozenset({"ld", "lld", "modpost"})


class ProblemKind(NamedTuple):
    """What diagnostics of one tool have in common that report the same of the same thing."""

    tool: str
    location: str
    symbols: tuple[str, ...]
    construct: str
    is_internal: bool = False


def extract_construct(diagnostic: Diagnostic) -> str:
    """``ignored-attributes``, or ``weak declaration of _ being applied to a already existing, …``."""
    if diagnostic.flag:
        return diagnostic.flag.removeprefix("-W")
    return _NUMBER.sub("N", _QUOTED.sub("_", strip_suggestion(diagnostic.message)))


def extract_quoted_symbols(diagnostic: Diagnostic) -> tuple[str, ...]:
    """The names that the message quotes, without counters; in its order."""
    names = (
        _COUNTER_NUMBER.sub("N", n) if n.startswith(_COUNTER_PREFIXES) else n for n in diagnostic.symbols
    )
    return tuple(dict.fromkeys(names))


def classify_diagnostic(diagnostic: Diagnostic, target: str | None) -> ProblemKind:
    """The kind of a diagnostic that came up while ``target`` was made."""
    is_global = diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols
    location = "" if is_global else _find_location(diagnostic, target)
    return ProblemKind(
        diagnostic.tool,
        location,
        extract_quoted_symbols(diagnostic),
        extract_construct(diagnostic),
        diagnostic.internal,
    )


def find_blamed_site(diagnostic: Diagnostic) -> Site | None:
    """The place that is to blame: the message's own; for a message in a macro, where the macro is used."""
    sites = list_sites(diagnostic)
    return next((site for site in sites if not site.macro), sites[0] if sites else None)


def list_sites(diagnostic: Diagnostic) -> tuple[Site, ...]:
    """A diagnostic's sites; of an older record, which has none, those in its fields and notes."""
    if diagnostic.sites or diagnostic.file is None:
        return diagnostic.sites
    matches = (_NOTE.match(note) for note in diagnostic.notes)
    noted = (Site(file=m["file"], line=int(m["line"]), macro=_IN_MACRO in m["text"]) for m in matches if m)
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
    """The names of this diagnostic's kind in any run: ``OBJECT SYMBOLS CONSTRUCT``, and others.

    No line, arch or severity is in them. Another compiler words the problem differently, and another run
    includes the header elsewhere. So there are further keys: of the header that is to blame, of the line of
    source that is (where it is distinctive), and of what is named at the sites.
    """
    object_name, location = target or diagnostic.file or diagnostic.tool, _find_location(diagnostic, target)
    symbols, construct = "+".join(extract_quoted_symbols(diagnostic)) or "-", extract_construct(diagnostic)
    keys = {f"{object_name} {symbols} {construct}", f"{location} {symbols} {construct}"}
    if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols:
        # Linkers agree on the first word only: "undefined reference to", "undefined symbol:".
        keys.add(f"{object_name} {symbols} {construct.partition(' ')[0]} …")
    if diagnostic.internal:
        # The line of source that a tool broke on is no trait of its own fault, nor are names there.
        return frozenset(keys)
    site = find_blamed_site(diagnostic)
    if site is not None and site.code and len(set(_WORD.findall(site.code)) - C_KEYWORDS) > 1:
        keys.add(f"{location} `{site.code}`")
    return frozenset(keys | _compute_site_keys(diagnostic, object_name))


def _compute_site_keys(diagnostic: Diagnostic, object_name: str) -> set[str]:
    return {
        f"{object_name} {site.symbol} `{site.code}`"
        for site in list_sites(diagnostic)
        if not site.macro and site.symbol and site.code and _is_distinctive(site.code, site.symbol)
    }


def _is_distinctive(code: str, symbol: str) -> bool:
    """Whether a line of source has more than one name, so that it is not found in many places."""
    return len(set(_IDENTIFIER.findall(code)) | {symbol}) > 1


def format_problem_title(diagnostic: Diagnostic, target: str | None) -> str:
    """A problem in one line of at most 200 characters: its object, and what is wrong."""
    site = find_blamed_site(diagnostic)
    object_name = target or (site.file if site else diagnostic.tool)
    source = f"{site.file}: " if site and not _is_same_source(site.file, object_name) else ""
    flag = f" [{diagnostic.flag}]" if diagnostic.flag else ""
    broke = f"{diagnostic.tool} broke: " if diagnostic.internal else ""
    title = f"{object_name}: {broke}{source}{diagnostic.message}{flag}"
    return title if len(title) <= 200 else f"{title[:199]}…"


def _is_same_source(source: str, object_name: str) -> bool:
    return posixpath.splitext(source)[0] == posixpath.splitext(object_name)[0] or source == object_name
