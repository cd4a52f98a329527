"""Problems that several tools, or versions of one, word differently: one table. Pure.

A row says whose messages it is for, what they have in common, and what in them tells two problems apart. A
further wording is a change of a row, and a log in tests/logs/foreign.
"""

import posixpath
import re
from collections.abc import Callable
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic

_LINKERS = frozenset({"ld", "lld", "modpost"})
_COMPILERS = frozenset({"gcc", "clang", "sparse"})
Names = tuple[str, ...]


NameFinder = Callable[[Diagnostic], Names]


def _find_name(pattern: str) -> NameFinder:
    """Finds what a message is about, by its groups; else it is the first symbol that the parser gave."""
    compiled = re.compile(pattern)

    def find_name(diagnostic: Diagnostic) -> Names:
        found = compiled.search(diagnostic.message)
        return tuple(filter(None, found.groups())) if found else diagnostic.symbols[:1]

    return find_name


def _list_symbols(diagnostic: Diagnostic) -> Names:
    return diagnostic.symbols


def _name_nothing(_: Diagnostic) -> Names:
    return ()


_HEADER = re.compile(r"(?P<name>[^\s:]+): No such|[^'‘]*['‘](?P<quoted>[^'’]+)['’]")


def _find_header(diagnostic: Diagnostic) -> Names:
    """A header that is included by a path is one for the whole tree, another one for its directory."""
    found = _HEADER.match(diagnostic.message)
    name = next(filter(None, found.groups()), "") if found else ""
    directory = posixpath.dirname(diagnostic.file or "")
    is_local = "/" not in name or name.startswith(".")
    return (posixpath.normpath(posixpath.join(directory, name)) if is_local else name,)


_DEPENDENCY = re.compile(r"\bsymbol ([A-Z0-9]\w*)|\b(?:on|by|contains|requires) ([A-Z0-9]\w*)")


def _list_loop(diagnostic: Diagnostic) -> Names:
    """The symbols of a recursive dependency; where the loop is entered differs from arch to arch."""
    noted = (name for note in diagnostic.notes for pair in _DEPENDENCY.findall(note) for name in pair if name)
    return tuple(sorted({*diagnostic.symbols, *noted}))


class ProblemForm(NamedTuple):
    """What several tools, or versions of one, word differently.

    ``construct`` is its name, or empty where it is the words that ``pattern`` finds. ``tools`` say it, all
    where it is None; ``speaker`` stands for those of them that agree on it, empty where any may be the first
    to say it. ``find_names`` finds what the problem is of. ``is_whole``: it is of the whole kernel, whatever
    object was being made. ``needs_file``: it is said of a place in the source.
    """

    construct: str
    tools: frozenset[str] | None
    speaker: str
    pattern: re.Pattern[str]
    find_names: NameFinder
    is_whole: bool = True
    needs_file: bool = False


UNDEFINED, DUPLICATE, MISMATCH = "undefined symbol", "multiple definition", "section mismatch"
OUT_OF_RANGE, DISCARDED = "relocation out of range", "discarded section"
SYMBOL_CONSTRUCTS = frozenset({UNDEFINED, DUPLICATE, DISCARDED})
"""They are of a symbol of what is linked, and not of how it is linked."""
_UNDEFINED_TEXT = r"undefined (?:[a-z-]+ ){0,3}(?:reference to|symbol:)"
_find_referenced = _find_name(
    r"(?:against |references )(?:(?:undefined|hidden|local|symbol|section) ){0,3}[`'‘\"]?([^\s`'’\";]+)"
)
FORMS = (
    ProblemForm(
        "",
        None,
        "",
        re.compile(
            r"No space left on device|Disk quota exceeded|Read-only file system|Input/output error"
            r"|Too many open files"
        ),
        _name_nothing,
    ),
    ProblemForm(
        UNDEFINED,
        _LINKERS,
        "linker",
        re.compile(rf"{_UNDEFINED_TEXT}|\] (?:is )?undefined"),
        _find_name(rf"{_UNDEFINED_TEXT} ?[`'‘\"]?([^\s`'’\"]+)|\"([^\"]+)\" \["),
    ),
    ProblemForm(
        DUPLICATE,
        _LINKERS,
        "linker",
        re.compile(r"multiple definition of|duplicate symbol"),
        _find_name(r"(?:multiple definition of|duplicate symbol:?) ?[`'‘\"]?([^\s`'’\";]+)"),
    ),
    ProblemForm(
        DISCARDED,
        _LINKERS,
        "linker",
        re.compile(r"(?:in|to) (?:a )?discarded section"),
        _find_name(r"[`'‘]([^`'’\s]+)['’] referenced in section|discarded section: [`'‘]?([^\s`'’]+)"),
    ),
    ProblemForm(
        OUT_OF_RANGE,
        _LINKERS,
        "linker",
        re.compile(r"relocation truncated to fit|relocation R_\w+ out of range"),
        _find_referenced,
    ),
    ProblemForm(
        "position-dependent relocation",
        _LINKERS,
        "linker",
        re.compile(r"recompile with -f(?:PIC|PIE)"),
        _find_referenced,
    ),
    ProblemForm(
        "orphan section",
        _LINKERS,
        "linker",
        re.compile(r"orphan section|\) is being placed in "),
        _find_name(r"orphan section:? [`'‘\"]?([^\s`'’\"]+)|:\(([^()\s]+)\) is being placed"),
    ),
    ProblemForm(
        "missing library",
        _LINKERS,
        "linker",
        re.compile(r"(?:cannot find|unable to find library) -l"),
        _find_name(r" -l([^\s:]+)"),
    ),
    ProblemForm(
        "memory region overflow",
        _LINKERS,
        "linker",
        re.compile(r"will not fit in region|^region .* overflowed by"),
        _find_name(r"region [`'‘\"]?([^`'’\"\s]+)"),
    ),
    ProblemForm(
        "namespace that is not imported",
        frozenset({"modpost"}),
        "modpost",
        re.compile(r"module \S+ uses symbol \S+ from namespace"),
        _find_name(r"module (\S+) uses symbol \S+ from namespace ([^\s,]+)"),
    ),
    ProblemForm(
        MISMATCH,
        _LINKERS,
        "modpost",
        re.compile(r"[Ss]ection mismatch in reference"),
        _list_symbols,
        is_whole=False,
    ),
    ProblemForm(
        "gcc plugin of another version",
        frozenset({"gcc"}),
        "gcc",
        re.compile(r"incompatible gcc/plugin versions|fail(?:ed)? to initialize plugin"),
        _name_nothing,
    ),
    ProblemForm(
        "missing header",
        _COMPILERS,
        "compiler",
        re.compile(
            r"^[^\s:]+: No such file or directory|^['‘][^'’]+['’] file not found|^unable to open ['‘]"
        ),
        _find_header,
        needs_file=True,
    ),
    ProblemForm(
        "static assertion",
        _COMPILERS,
        "compiler",
        re.compile(r"^static(?:_assert| assertion) failed"),
        _find_name(r"failed(?: due to requirement '[^']*')?:? \"?([^\"]+)"),
        is_whole=False,
        needs_file=True,
    ),
    ProblemForm(
        "program that is not installed",
        frozenset({"sh", "make"}),
        "sh",
        re.compile(r"^[\w./+-]+: (?:(?:command )?not found|No such file or directory)$"),
        _find_name(r"^([\w./+-]+): "),
    ),
    ProblemForm(
        "no rule to make it",
        frozenset({"make"}),
        "make",
        re.compile(r"No rule to make target "),
        _find_name(r"target ['‘`\"]([^'’\"]+)"),
    ),
    ProblemForm(
        "syntax of a Kconfig file",
        frozenset({"kconfig"}),
        "kconfig",
        re.compile(r"^syntax error|^(?:unknown|invalid|unexpected) (?:statement|option|end)"),
        _name_nothing,
        is_whole=False,
        needs_file=True,
    ),
    ProblemForm(
        "recursive dependency",
        frozenset({"kconfig"}),
        "kconfig",
        re.compile(r"recursive dependency detected"),
        _list_loop,
    ),
)


class RecognizedProblem(NamedTuple):
    """A diagnostic's form, the construct, and the names that tell two problems of it apart."""

    form: ProblemForm
    construct: str
    names: Names


def recognize_problem(diagnostic: Diagnostic) -> RecognizedProblem | None:
    """The form that a diagnostic has; None where it is worded as its tool words it alone."""
    for form in FORMS:
        if form.tools is not None and diagnostic.tool not in form.tools:
            continue
        found = form.pattern.search(diagnostic.message)
        if found is None or diagnostic.internal or (form.needs_file and not diagnostic.file):
            continue
        names = form.find_names(diagnostic)
        if names or form.find_names is _name_nothing:
            return RecognizedProblem(form, form.construct or found[0], names)
    return None


def find_missing_symbols(diagnostic: Diagnostic) -> frozenset[str]:
    """The symbols of which a link says that nothing defines them; none for any other message."""
    problem = recognize_problem(diagnostic)
    return frozenset(problem.names if problem and problem.construct == UNDEFINED else ())


_FILE = re.compile(r"(?<![\w./+-])([\w./+-]+)\.(?:[cSo]|ko|rs)\b")


def find_named_stems(diagnostic: Diagnostic) -> frozenset[str]:
    """The objects and sources that a linker's message and notes name, without their suffixes; not vmlinux."""
    texts = [diagnostic.file or "", diagnostic.message, *diagnostic.notes]
    stems = (stem for text in texts for stem in _FILE.findall(text))
    return frozenset(stem.removeprefix("./") for stem in stems) - {"vmlinux"}
