"""What GNU ld and ld.lld print.

    powerpc64le-linux-gnu-ld: drivers/a.o: in function `f':
    drivers/a.c:7:(.text+0x20): undefined reference to `g'
    s390x-linux-gnu-ld: drivers/b.o:/src/b.c:1: multiple definition of `x'; drivers/a.o: first defined here
    ld.lld: error: undefined symbol: g
    >>> referenced by a.c:7 (/src/drivers/a.c:7)
    >>>               vmlinux.o:(f)

An address is no part of the message: the same reference at two addresses is one diagnostic.
"""

import posixpath
import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.draft import MOST, Draft, Log, Place
from matrix.diagnostics.text import LONGEST

_GNU = re.compile(r"(?:\S*[/-])?ld(?:\.bfd|\.gold)?: ?(?P<text>.+)")
_PLAIN = re.compile(
    r"\S*: ?(?:multiple definition of|undefined reference to|relocation truncated |dangerous relocation: "
    r"|more undefined references ).*"
)
_IN_FUNCTION = re.compile(r"(?P<object>\S+): in function [`'](?P<name>[^']+)':$")
_WHERE = re.compile(
    r"(?:(?P<object>[^\s:]+\.[oa](?:\([^)]*\))?):)?(?:(?P<file>[^\s:()]+):)?(?:(?P<line>[0-9]{1,9}):)?"
    r"(?:\([^)\s]+\):)? (?P<text>.+)"
)
_LLD = re.compile(
    r"(?:\S*/)?(?:ld\.lld|lld)(?:-[0-9]+)?: (?P<kind>error|warning): "
    r"(?:(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}): )?(?P<text>.+)"
)
_LLD_SYMBOL = re.compile(r"(?:undefined|duplicate) .*?symbol: (?P<name>\S+)")
_LLD_SOURCE = re.compile(r"(?P<text>.+?) \S+ \((?P<file>[^():]+):(?P<line>[0-9]{1,9})\)$")
_LLD_FUNCTION = re.compile(r"\s\S+:\((?P<name>[A-Za-z_][\w.$]*)\)")


def read_linker(log: Log, line: str) -> bool:
    """Take a line of a linker; False when it is none of theirs."""
    if line.startswith(">>>"):
        return _lld_more(log, line[3:])
    if lld := _LLD.match(line):
        _lld(log, lld)
        return True
    if gnu := _GNU.match(line):
        return _gnu(log, gnu["text"])
    return _PLAIN.match(line) is not None and _gnu(log, line)


def _gnu(log: Log, text: str) -> bool:
    if found := _IN_FUNCTION.match(text):
        log.linked, log.function = found["object"], found["name"]
    elif text.startswith("NOTE: "):
        log.note(text.removeprefix("NOTE: "))
    elif not _follows(log, text):
        _gnu_draft(log, text)
    return True


def _follows(log: Log, text: str) -> bool:
    """Whether this only sums up what was said before."""
    ld_spoke = log.current is not None and log.current.tool == "ld"
    return "more undefined references to" in text or (ld_spoke and text.startswith("final link failed"))


def _gnu_draft(log: Log, text: str) -> None:
    severity, text = _severity(text)
    place, notes = Place(), []
    if found := _WHERE.match(text):
        if found["object"]:
            log.linked, log.function = found["object"], None
        place = _gnu_place(log, found)
        notes = [f"in {log.linked}"] if log.linked and place.file is None else []
        severity, text = _severity(found["text"], severity)
    message, _, first = text.partition("; ")
    notes += [_first_definition(log, first)] if first else []
    log.begin(Draft(severity, "ld", message, place, function=log.function, notes=notes))


def _severity(text: str, otherwise: Severity = "error") -> tuple[Severity, str]:
    """What a text calls itself, and the text without that word; ld names no error as such."""
    kind, separator, rest = text.partition(": ")
    if not separator or kind not in ("warning", "error"):
        return otherwise, text
    return ("warning" if kind == "warning" else "error"), rest


def _gnu_place(log: Log, found: re.Match[str]) -> Place:
    file, line = found["file"], found["line"]
    if file and "/" not in file:
        # Without debug information ld knows the last part of the name only; the object has the rest.
        directory = posixpath.dirname(log.linked or "")
        file = posixpath.join(directory, file) if directory else None
    return Place(log.roots.file(file), int(line) if line else None) if file else Place()


def _first_definition(log: Log, text: str) -> str:
    found = _WHERE.match(text)
    if found is None or not found["file"]:
        return text
    return Place(log.roots.file(found["file"]), int(found["line"] or 0) or None).says(found["text"])


def _lld(log: Log, found: re.Match[str]) -> None:
    place = Place(log.roots.file(found["file"]), int(found["line"])) if found["file"] else Place()
    severity: Severity = "warning" if found["kind"] == "warning" else "error"
    symbol = _LLD_SYMBOL.match(found["text"])
    symbols = (symbol["name"],) if symbol else None
    log.begin(Draft(severity, "lld", found["text"], place, symbols=symbols))


def _lld_more(log: Log, text: str) -> bool:
    """Take what follows ``>>>``: who refers to the symbol, or who defines it; indented, it goes on."""
    draft = log.current
    if draft is None or draft.tool != "lld":
        return False
    if len(draft.notes) >= MOST:
        return True
    if text.startswith("  ") and draft.notes and len(draft.notes[-1]) < LONGEST:
        draft.notes[-1] += f" {text.strip()}"
    elif source := _LLD_SOURCE.match(text.strip()):
        place = Place(log.roots.file(source["file"]), int(source["line"]))
        draft.place = draft.place if draft.place.file else place
        draft.notes.append(place.says(source["text"]))
    else:
        draft.notes.append(text.strip())
    function = _LLD_FUNCTION.search(text)
    if function and draft.function is None and draft.message.startswith("undefined"):
        draft.function = function["name"]
    return True
