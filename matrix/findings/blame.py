"""The place that is to blame for a diagnostic: where the source is to be mended, not where it came to light.

A compiler refuses code where it ends up after macros and inlining. So a call of memcpy that writes too much
is refused in a header, in every driver with such a call, and the header is right:

    In function 'fortify_memset_chk',
        inlined from 'f' at fs/smb/a.c:43:3:
    include/linux/fortify-string.h:507:25: error: call to '__write_overflow_field' declared with attribute …
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.kernel_files import COMPILED_SUFFIXES

_NOTE = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]+): (?P<text>.*)")
_IN_MACRO = "macro '"
_INLINED = "inlined from "
_CALLER = re.compile(r"(?:inlined from|inlined by function|called by function) ['‘]?(?P<name>[^\s'’]+)")
_FORBIDDEN_CALL = re.compile(
    r"(?P<call>call to \S+) declared with (?:attribute )?['‘]?(?:error|warning)['’]?(?: attribute)?: "
)
# gcc and clang make clones of a function, or split one; it is still the function of the source.
_CLONE = re.compile(
    r"(?<=\w)(?:\.(?:isra|constprop|part|cold|llvm|lto_priv)(?:\.[0-9]{1,20}){0,2}){1,4}+(?![\w.])"
)
# A condition of sizes and constants alone is as wrong in every place that it is inlined into.
_ASSERTION = re.compile(r"BUILD_BUG_ON failed: (?P<condition>.*)")
_MEASURE = re.compile(r"\b(?:sizeof|offsetof|typeof|__typeof__|_?_?[Aa]lignof(?:__)?) ?\([^()]*\)")
_VARIABLE = re.compile(r"\b[a-z_]\w*")


def find_blamed_site(diagnostic: Diagnostic, target: str | None) -> Site | None:
    """The place that is to blame for a diagnostic that came up while ``target`` was made.

    It is the message's own; for a message in a macro, where the macro is used. For one in a header whose code
    was inlined, it is the outermost caller, as far as the log names it.
    """
    sites = list_sites(diagnostic)
    own = next((site for site in sites if not site.macro and not site.caller), None)
    if own is not None and (is_compiled(own) or is_same_everywhere(diagnostic)):
        return own
    return _pick_caller(sites, target) or own or (sites[0] if sites else None)


def list_sites(diagnostic: Diagnostic) -> tuple[Site, ...]:
    """A diagnostic's sites; of an older record, which lacks some, also those in its fields and notes."""
    if diagnostic.sites or diagnostic.file is None:
        is_complete = not diagnostic.notes or any(site.caller for site in diagnostic.sites)
        callers = () if is_complete else (site for site in _list_noted_sites(diagnostic) if site.caller)
        return (*diagnostic.sites, *callers)
    return (Site(file=diagnostic.file, line=diagnostic.line), *_list_noted_sites(diagnostic))


def _list_noted_sites(diagnostic: Diagnostic) -> Iterator[Site]:
    for note in diagnostic.notes:
        if match := _NOTE.match(note):
            text = match["text"]
            yield Site(
                file=match["file"],
                line=int(match["line"]),
                macro=_IN_MACRO in text,
                caller=text.startswith(_INLINED),
            )


def _pick_caller(sites: Sequence[Site], target: str | None) -> Site | None:
    """The outermost caller; of several in the object's own source the last."""
    callers = [site for site in sites if site.caller]
    stem = posixpath.splitext(target or "")[0]
    own = [site for site in callers if posixpath.splitext(site.file)[0] == stem]
    return next(reversed(own or callers), None)


def is_compiled(site: Site) -> bool:
    """Whether a place is in a source that is compiled, and not in what one includes."""
    return site.file.endswith(COMPILED_SUFFIXES)


def is_forbidden_call(diagnostic: Diagnostic) -> bool:
    """Whether it complains that a function is called that must not be: FORTIFY, BUILD_BUG_ON, FIELD_PREP.

    Then something is wrong with the code that makes the call come about, and not with the call.
    """
    return _FORBIDDEN_CALL.match(diagnostic.message) is not None


def strip_attribute(message: str) -> str:
    """A message on a call that must not be, without the words in which compilers differ."""
    match = _FORBIDDEN_CALL.match(message)
    return f"{match['call']}: {message[match.end() :]}" if match else message


def is_same_everywhere(diagnostic: Diagnostic) -> bool:
    """Whether it is an assertion on sizes and constants alone, which no caller can make wrong."""
    match = _ASSERTION.search(diagnostic.message)
    return match is not None and not _VARIABLE.search(_MEASURE.sub("", match["condition"]))


def is_unnamed_caller(diagnostic: Diagnostic, target: str | None) -> bool:
    """Whether a caller is to blame, and the compiler does not show where it is."""
    site = find_blamed_site(diagnostic, target)
    is_located = site is None or is_compiled(site) or site.caller or is_same_everywhere(diagnostic)
    return is_forbidden_call(diagnostic) and not is_located


def find_outer_function(diagnostic: Diagnostic) -> str | None:
    """The function that all of the code was inlined into in the end, or else that the message is in."""
    callers = [match["name"] for note in diagnostic.notes if (match := _CALLER.search(note))]
    name = callers[-1] if callers else diagnostic.function
    return strip_clone_suffixes(name) if name else None


def strip_clone_suffixes(text: str) -> str:
    """A text that names functions as the source does: ``f`` for ``f.constprop.0.isra.0``."""
    return _CLONE.sub("", text)
