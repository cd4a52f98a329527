"""The kind of a diagnostic, and a problem's keys: names that hold across lines, arches, compilers and runs.

A construct is a warning's flag, or else its message with quoted names and numbers taken out, so that no
message of a known problem need be spelled out anywhere. What several tools word differently, and is one
problem all the same, is in `problem_forms`.
"""

import posixpath
import re
from collections.abc import Hashable
from typing import NamedTuple

from matrix.diagnostics.diagnostic import C_KEYWORDS, Diagnostic, strip_suggestion
from matrix.findings.blame import (
    find_blamed_site,
    find_outer_function,
    is_compiled,
    is_forbidden_call,
    is_unnamed_caller,
    list_sites,
    strip_attribute,
    strip_clone_suffixes,
)
from matrix.findings.problem_forms import (
    DUPLICATE,
    OUT_OF_RANGE,
    SYMBOL_CONSTRUCTS,
    UNDEFINED,
    find_named_stems,
    recognize_problem,
)

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
_DRIVERS = frozenset({"gcc", "clang", "ld", "lld", "collect2", "rustc"})
# Assembly in C has no place in the source either: of the assembler, only what is said of how it was called.
_ASSEMBLER_CALL = re.compile(
    r"(?i:can't |(?:un)?(?:recogni[sz]ed|known|supported|valid|bad)\b.*?(?:option|argument|architecture|-m))"
)
_CHECKERS = frozenset(
    {"modpost", "objtool", "kconfig", "bindgen", "dtc", "dt-schema", "kernel-doc", "sparse", "smatch"}
    | {"fdtoverlay", "coccinelle", "yamllint", "sphinx", "resolve_btfids"}
)
_LINKED_FUNCTION = re.compile(r"\(function (?P<name>[^\s:()]+)")
_TARGET_TRIPLET = re.compile(r" (?:for|on) target ['‘][\w.-]{1,100}['’]")
# They are about a whole function; some compilers name it in the message, and some before it.
_STACK_FLAGS = frozenset({"frame-larger-than", "stack-usage", "stack-protector"})
_FUNCTION_FLAGS = _STACK_FLAGS | {"return-type"}
# They are about a local variable, and many functions have one of that name.
_VARIABLE_FLAGS = frozenset(
    {"unused-variable", "unused-but-set-variable", "unused-but-set-parameter", "unused-parameter", "shadow"}
    | {"uninitialized", "maybe-uninitialized", "sometimes-uninitialized", "conditional-uninitialized"}
)
# The kernel has none on purpose: whoever divides 64 bits by them is at fault, and each for himself.
_DIVISION = re.compile(r"__(?:u?(?:div|mod|divmod)[dt]i[34]|aeabi_u?ldivmod)$")
# Where gcc broke, in its own source; its lines are others in each version.
_BREAKING_PLACE = re.compile(r"\bin (?P<function>[A-Za-z_]\w*), at [\w./+-]+:[0-9]+")


class ProblemKind(NamedTuple):
    """What diagnostics have in common that report the same of the same thing.

    ``location`` is empty for what is of the whole kernel. ``place``: what tells two such problems of one
    location apart even where they come up together.
    """

    tool: str
    location: str
    symbols: tuple[str, ...]
    construct: str
    is_internal: bool = False
    place: str = ""

    @property
    def is_global(self) -> bool:
        """Whether it is the same problem in whatever object it comes up."""
        return not self.location


def extract_construct(diagnostic: Diagnostic) -> str:
    """``ignored-attributes``, or ``weak declaration of _ being applied to a already existing, …``."""
    if diagnostic.flag:
        name = diagnostic.flag.removeprefix("-W").rstrip("=")
        return "cpp" if name == "#warnings" else name
    return _mask_details(strip_clone_suffixes(strip_attribute(diagnostic.message)))


def _extract_older_construct(diagnostic: Diagnostic) -> str:
    """The construct of keys that were made before gcc's and clang's were one."""
    if diagnostic.flag:
        return diagnostic.flag.removeprefix("-W")
    return _mask_details(diagnostic.message)


def _mask_details(message: str) -> str:
    return _NUMBER.sub("N", _QUOTED.sub("_", strip_suggestion(message)))


def extract_quoted_symbols(diagnostic: Diagnostic) -> tuple[str, ...]:
    """The names that the message quotes, without counters, functions as in the source; in its order."""
    return tuple(dict.fromkeys(map(strip_clone_suffixes, _list_older_symbols(diagnostic))))


def _list_older_symbols(diagnostic: Diagnostic) -> tuple[str, ...]:
    """The names of keys that were made before clones of a function were one."""
    names = (
        _COUNTER_NUMBER.sub("N", n) if n.startswith(_COUNTER_PREFIXES) else n for n in diagnostic.symbols
    )
    return tuple(dict.fromkeys(names))


def classify_diagnostic(diagnostic: Diagnostic, target: str | None) -> ProblemKind:
    """The kind of a diagnostic that came up while ``target`` was made."""
    problem = recognize_problem(diagnostic)
    if problem is not None:
        is_of_program = problem.construct in SYMBOL_CONSTRUCTS and _is_host_program(target)
        is_whole = problem.form.is_whole and not is_of_program
        if is_whole and problem.construct == UNDEFINED and _DIVISION.match(problem.names[0]):
            return _classify_division(diagnostic, target)
        location = "" if is_whole else _find_location(diagnostic, target)
        names = tuple(map(strip_clone_suffixes, problem.names))
        return ProblemKind(problem.form.speaker, location, names, problem.construct)
    if is_driver_message(diagnostic):
        return ProblemKind(diagnostic.tool, "", *_describe_call(diagnostic, target))
    if _has_unknown_cause(diagnostic):
        return ProblemKind(diagnostic.tool, _name_target_kind(target), *_describe_call(diagnostic, target))
    broken = _BREAKING_PLACE.search(diagnostic.message) if diagnostic.internal else None
    if broken is not None:
        return ProblemKind(diagnostic.tool, "", (broken["function"],), "internal compiler error", True)
    is_global = diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols
    return ProblemKind(
        "compiler" if extract_construct(diagnostic) in _STACK_FLAGS else diagnostic.tool,
        "" if is_global else _find_location(diagnostic, target),
        _name_subjects(diagnostic),
        extract_construct(diagnostic),
        diagnostic.internal,
        _find_place(diagnostic, target),
    )


def _classify_division(diagnostic: Diagnostic, target: str | None) -> ProblemKind:
    """A division that the kernel lacks is of what divides, whatever the arch calls it."""
    stems = sorted(find_named_stems(diagnostic), key=lambda stem: ("/" not in stem, stem))
    return ProblemKind(
        "linker", stems[0] if stems else target or diagnostic.tool, (_LONG_DIVISION,), UNDEFINED
    )


_LONG_DIVISION = "64-bit division"


def find_spot(diagnostic: Diagnostic, kind: ProblemKind, target: str | None) -> Hashable:
    """What distinguishes two diagnostics of one kind, unless they come up in the very same cells.

    A message that names nothing ("control reaches end of non-void function") fits many places: only the line
    does. A call that reaches too far does so from a function, and what is of a section is of an object.
    """
    if kind.construct == OUT_OF_RANGE or (kind.tool == "linker" and kind.symbols[0].startswith(".")):
        named = _LINKED_FUNCTION.search(diagnostic.message)
        return named["name"] if named else diagnostic.function or target
    if kind.symbols or kind.is_global or _has_unknown_cause(diagnostic):
        return None
    site = find_blamed_site(diagnostic, target)
    return (site.file, site.line) if site is not None and site.line else None


def is_driver_message(diagnostic: Diagnostic) -> bool:
    """Whether a compiler or linker complains of how it was called, which holds for all objects."""
    has_place = diagnostic.file or diagnostic.line or diagnostic.function or diagnostic.sites
    of_object = diagnostic.excerpt or any(note.startswith("in ") for note in diagnostic.notes)
    # A #warning is of what was read, which may be a script's stdin and no file.
    is_directive = extract_construct(diagnostic) == "cpp"
    if has_place or of_object or diagnostic.internal or is_directive:
        return False
    if diagnostic.tool == "as":
        return _ASSEMBLER_CALL.match(diagnostic.message) is not None
    return diagnostic.tool in _DRIVERS and not (diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols)


def _has_unknown_cause(diagnostic: Diagnostic) -> bool:
    """Whether nothing is known but the last words of a command that failed."""
    is_known = diagnostic.tool in _DRIVERS | _CHECKERS | {"as"}
    return not (
        is_known or diagnostic.is_silent_failure or diagnostic.file or diagnostic.sites or diagnostic.internal
    )


def _describe_call(diagnostic: Diagnostic, target: str | None) -> tuple[tuple[str, ...], str]:
    """(the options and files that a message of a program quotes, the construct), without the object's own."""
    message = _TARGET_TRIPLET.sub("", strip_suggestion(diagnostic.message))
    message = message.replace(target, "_") if target else message
    quoted = (text[1:-1] for text in _QUOTED.findall(message))
    names = dict.fromkeys(text for text in quoted if text != "_" and not text.startswith("/tmp/"))  # noqa: S108
    return tuple(names), diagnostic.flag.removeprefix("-W") if diagnostic.flag else _mask_details(message)


def _name_target_kind(target: str | None) -> str:
    """``*.dtb``; a target without a suffix is of a kind of its own."""
    suffix = posixpath.splitext(target or "")[1]
    return f"*{suffix}" if suffix else posixpath.basename(target or "make")


def _is_host_program(target: str | None) -> bool:
    """Whether what is linked is a program of the build, which has no symbol in common with the kernel."""
    return target is not None and target.startswith(("scripts/", "tools/", "usr/", "certs/"))


def _name_subjects(diagnostic: Diagnostic) -> tuple[str, ...]:
    # clang quotes the attribute of a function that must not be called as it quotes the function.
    attribute = {"error", "warning"} if is_forbidden_call(diagnostic) else set()
    named = tuple(name for name in extract_quoted_symbols(diagnostic) if name not in attribute)
    is_of_function = extract_construct(diagnostic) in _FUNCTION_FLAGS and diagnostic.function
    return named if named or not is_of_function else (str(diagnostic.function),)


def _find_location(diagnostic: Diagnostic, target: str | None) -> str:
    """The header that is to blame, wherever it is included, or else the object."""
    site = find_blamed_site(diagnostic, target)
    if site is not None and not is_compiled(site) and not is_unnamed_caller(diagnostic, target):
        return site.file
    return target or (site.file if site else diagnostic.tool)


def _find_place(diagnostic: Diagnostic, target: str | None) -> str:
    """Where a caller does what it must not; whose a local variable is; the file of a Rust crate, which is one
    object of many files."""
    if extract_construct(diagnostic) in _VARIABLE_FLAGS:
        return _find_variable_owner(diagnostic)
    site = find_blamed_site(diagnostic, target)
    if site is not None and diagnostic.tool == "rustc":
        return site.file
    if site is None or not (site.caller or is_forbidden_call(diagnostic)):
        return ""
    if is_unnamed_caller(diagnostic, target) or not site.line:
        return find_outer_function(diagnostic) or ""
    return f"{site.file}:{site.line}"


def _find_variable_owner(diagnostic: Diagnostic) -> str:
    """The function; clang names none, and ends with a note on where the variable is declared."""
    if diagnostic.function:
        return strip_clone_suffixes(diagnostic.function)
    lines = [site for site in list_sites(diagnostic) if not site.macro and not site.caller and site.line]
    return f"{lines[-1].file}:{lines[-1].line}" if lines else ""


def compute_finding_keys(diagnostic: Diagnostic, target: str | None) -> frozenset[str]:
    """The names of this diagnostic's kind in any run: ``OBJECT SYMBOLS CONSTRUCT``, and others.

    No line, arch or severity is in them. Another compiler words the problem differently, and another run
    includes the header elsewhere. So there are further keys: of the header that is to blame, of the line of
    source that is (where it is distinctive), of what is named at the sites, and of what is of the whole
    kernel.
    """
    object_name, location = target or diagnostic.file or diagnostic.tool, _find_location(diagnostic, target)
    listed = {_format_names(find(diagnostic)) for find in (extract_quoted_symbols, _list_older_symbols)}
    constructs = {extract_construct(diagnostic), _extract_older_construct(diagnostic)}
    keys = {
        f"{where} {symbols} {what}"
        for where in (object_name, location)
        for symbols in listed
        for what in constructs
    }
    keys |= _compute_kind_keys(diagnostic, target, object_name)
    if diagnostic.internal:
        # The line of source that a tool broke on is no trait of its own fault, nor are names there.
        return frozenset(keys)
    site = find_blamed_site(diagnostic, target)
    if site is not None and site.code and len(set(_WORD.findall(site.code)) - C_KEYWORDS) > 1:
        keys.add(f"{location} `{site.code}`")
    return frozenset(keys | _compute_site_keys(diagnostic, object_name))


def _compute_kind_keys(diagnostic: Diagnostic, target: str | None, object_name: str) -> set[str]:
    """The keys of what is told apart by more than the object: a tool's word, an option, a caller."""
    kind = classify_diagnostic(diagnostic, target)
    names = _format_names(kind.symbols)
    keys = set()
    if diagnostic.tool in GLOBAL_TOOLS and diagnostic.symbols:
        # Linkers agree on the first word only: "undefined reference to", "undefined symbol:".
        first_word = _extract_older_construct(diagnostic).partition(" ")[0]
        keys.add(f"{object_name} {_format_names(extract_quoted_symbols(diagnostic))} {first_word} …")
    if kind.is_global and (kind.symbols or is_driver_message(diagnostic) or not kind.tool):
        keys.add(f"{kind.tool or 'any tool'} {names} {kind.construct}")
    elif kind.symbols != extract_quoted_symbols(diagnostic):
        keys.add(f"{object_name} {names} {kind.construct}")
    if kind.tool == "linker" and kind.location:
        keys.add(f"{kind.tool} {kind.location} {names} {kind.construct}")
    # A local variable is told apart by its line of source, so that older records keep their keys.
    is_of_call = kind.place and kind.construct not in _VARIABLE_FLAGS
    is_unnamed = diagnostic.flag and not kind.symbols and not kind.is_global
    if (is_of_call or is_unnamed) and (function := find_outer_function(diagnostic)):
        keys.add(f"{object_name} {function} {names} {kind.construct}")
    spot = find_spot(diagnostic, kind, target) if kind.tool == "linker" else None
    if spot is not None:
        keys.add(f"{kind.tool} {names} {kind.construct} {spot}")
    if kind.construct == DUPLICATE:
        keys |= {f"{kind.tool} {names} {kind.construct} {stem}" for stem in find_named_stems(diagnostic)}
    return keys


def _format_names(names: tuple[str, ...]) -> str:
    return "+".join(names) or "-"


def _compute_site_keys(diagnostic: Diagnostic, object_name: str) -> set[str]:
    return {
        f"{object_name} {site.symbol} `{site.code}`"
        for site in list_sites(diagnostic)
        if not site.macro and site.symbol and site.code and _is_distinctive(site.code, site.symbol)
    }


def _is_distinctive(code: str, symbol: str) -> bool:
    """Whether a line of source has more than one name, so that it is not found in many places."""
    return len(set(_IDENTIFIER.findall(code)) | {symbol}) > 1


_MAX_TITLE = 200


def format_problem_title(diagnostic: Diagnostic, target: str | None, object_count: int = 1) -> str:
    """A problem in one line of at most 200 characters: its object, and what is wrong.

    What is said of every object is not named after the first of them: the title counts them.
    """
    flag = f" [{diagnostic.flag}]" if diagnostic.flag else ""
    if object_count > 1 and classify_diagnostic(diagnostic, target).is_global:
        subject = _describe_whole_problem(diagnostic, target)
        speaker = f"{diagnostic.tool} broke" if diagnostic.internal else diagnostic.tool
        return shorten_title(f"{speaker}: {subject}{flag}", f", in {object_count} objects")
    object_name = (target if object_count == 1 else None) or _name_source(diagnostic, target)
    broke = f"{diagnostic.tool} broke: " if diagnostic.internal else ""
    source = _name_other_source(diagnostic, target, object_name)
    return shorten_title(f"{object_name}: {broke}{source}{diagnostic.message}{flag}{_list_loop(diagnostic)}")


def _describe_whole_problem(diagnostic: Diagnostic, target: str | None) -> str:
    """The message; of one that names the first object, what it has in common with those of the others."""
    problem = recognize_problem(diagnostic)
    if problem is None or not (problem.form.speaker == "linker" or not problem.names):
        return diagnostic.message.replace(target, "…") if target else diagnostic.message
    return f"{problem.construct} {', '.join(problem.names)}".strip()


def _list_loop(diagnostic: Diagnostic) -> str:
    """The symbols of a recursive dependency, which its message does not name."""
    problem = recognize_problem(diagnostic) if diagnostic.tool == "kconfig" else None
    return f" {', '.join(problem.names)}" if problem else ""


def _name_source(diagnostic: Diagnostic, target: str | None) -> str:
    site = find_blamed_site(diagnostic, target)
    return site.file if site else diagnostic.tool


def _name_other_source(diagnostic: Diagnostic, target: str | None, object_name: str) -> str:
    """``include/a.h: ``, where the place that is to blame is not in the object's own source."""
    site = find_blamed_site(diagnostic, target)
    is_other = site is not None and not _is_same_source(site.file, object_name)
    return f"{site.file}: " if site and is_other and not is_unnamed_caller(diagnostic, target) else ""


def shorten_title(title: str, end: str = "") -> str:
    """A title of at most 200 characters, whose end is kept."""
    room = _MAX_TITLE - len(end)
    return f"{title if len(title) <= room else f'{title[: room - 1]}…'}{end}"


def _is_same_source(source: str, object_name: str) -> bool:
    return posixpath.splitext(source)[0] == posixpath.splitext(object_name)[0] or source == object_name
