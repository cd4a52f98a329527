"""What the kernel's own tools print: modpost, objtool, Kconfig, and scripts of all kinds.

    ERROR: modpost: "symbol" [drivers/a.ko] undefined!
    drivers/a.o: warning: objtool: f+0x3: return with modified stack frame
    WARNING: unmet direct dependencies detected for KVM_VFIO
      Depends on [n]: VFIO [=n]
    drivers/a/Kconfig:12: syntax error
    .config:3:warning: symbol value 'x' invalid for FOO

Kconfig runs before anything is made, so what it says has no object.
"""

import posixpath
import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.draft import Draft, Log, Place

_MODPOST = re.compile(
    r"(?P<kind>ERROR|WARNING|FATAL): "
    r"(?:modpost: (?P<text>.+)|(?P<old>.*(?:\[[^\s\[]+\.ko\]|[Ss]ection mismatch).*))"
)
_MODULE = re.compile(
    r"\[(?P<ko>[^\s\[]+\.ko)\]|missing MODULE_\w+\(\) in (?P<o>\S+)"
    r"|(?<![^\s:(])(?P<name>[^\s:(]+)(?:\([^()]*\))?: [Ss]ection mismatch"
)
_MISMATCH = re.compile(r"reference: (?P<origin>[^\s+(]++)\S*+ \([^()]*\) -> (?P<to>[^\s+(]+)")
_OBJTOOL = re.compile(r"(?:(?P<object>\S+): )?(?P<kind>warning|error): objtool: (?P<text>.+)")
_OBJTOOL_FUNCTION = re.compile(r"(?P<name>[A-Za-z_][\w.$]*)(?:\+0x[0-9a-f]+|\(\))")
_UNMET = re.compile(r"WARNING: (?P<text>unmet direct dependencies detected for (?P<symbol>\S+))")
_RECURSION = re.compile(
    r"(?:(?P<file>\S+):(?P<line>[0-9]{1,9}):)?\s*error: ?(?P<text>recursive dependency detected!)"
)
_KCONFIG = re.compile(
    r"(?P<file>(?:\S*/)?(?:Kconfig[\w.*-]*|[\w.-]*\.config|[\w.-]*defconfig)):(?P<line>[0-9]{1,9}): ?"
    r"(?:(?P<kind>warning|error): ?)?(?P<text>.+)"
)
_SYMBOL = re.compile(r"(?:symbol:?|invalid for|selected by|depends on) (?P<name>[A-Z0-9][A-Z0-9_]+)\b")
_OTHER = re.compile(
    r"(?:(?P<who>(?=\S*[A-Za-z])[\w./+-]+): |(?P<llvm>LLVM ))?"
    r"(?P<kind>fatal error|error|warning)(?: ?\([\w-]+\))?: ?(?P<text>.+)",
    re.IGNORECASE,
)


def read_kbuild(log: Log, line: str) -> bool:
    """Take a line of one of the kernel's tools; False when it is none of theirs."""
    return any(read(log, line) for read in (_modpost, _objtool, _unmet, _recursion, _kconfig))


def read_other(log: Log, line: str) -> bool:
    """Take whatever else calls itself an error or a warning: scripts, binutils, LLVM's tools."""
    found = _OTHER.match(line)
    if found is None:
        return False
    speaker = found["who"] or ("modpost" if log.step.startswith("MODPOST") else "make")
    tool = "clang" if found["llvm"] else posixpath.basename(speaker)
    log.begin(Draft(_severity(found["kind"]), tool, found["text"], tail="notes"))
    return True


def read_more(log: Log, line: str) -> bool:
    """Take an indented line that goes on with what the current diagnostic says."""
    if log.current is None or log.current.tail != "notes" or not line[:1].isspace():
        return False
    log.note(line.strip())
    return True


def _severity(kind: str | None) -> Severity:
    return "warning" if kind and kind.lower() == "warning" else "error"


def _modpost(log: Log, line: str) -> bool:
    found = _MODPOST.match(line)
    if found is None:
        return False
    text = found["text"] or found["old"]
    draft = Draft(_severity(found["kind"]), "modpost", text, tail="notes")
    if module := _MODULE.search(text):
        draft.object = module["ko"] or module["o"] or _built_as(module["name"])
    if mismatch := _MISMATCH.search(text):
        draft.function, draft.symbols = mismatch["origin"], (mismatch["origin"], mismatch["to"])
    log.begin(draft)
    return True


def _built_as(name: str) -> str:
    """modpost calls a module by its path without a suffix, and vmlinux by its name."""
    return name if name == "vmlinux" or "." in name else f"{name}.o"


def _objtool(log: Log, line: str) -> bool:
    found = _OBJTOOL.match(line)
    if found is None:
        return False
    draft = Draft(_severity(found["kind"]), "objtool", found["text"], object=found["object"])
    if function := _OBJTOOL_FUNCTION.match(found["text"]):
        draft.function, draft.symbols = function["name"], (function["name"],)
    log.begin(draft)
    return True


def _unmet(log: Log, line: str) -> bool:
    found = _UNMET.match(line)
    if found is None:
        return False
    draft = Draft("warning", "kconfig", found["text"], symbols=(found["symbol"],), tail="notes")
    log.begin(draft, made=False)
    return True


def _recursion(log: Log, line: str) -> bool:
    found = _RECURSION.match(line)
    if found is None:
        return False
    place = Place(log.roots.file(found["file"]), int(found["line"])) if found["file"] else Place()
    log.begin(Draft("error", "kconfig", found["text"], place, symbols=(), tail="notes"), made=False)
    return True


def _kconfig(log: Log, line: str) -> bool:
    found = _KCONFIG.match(line)
    if found is None:
        return False
    text, place = found["text"], Place(log.roots.file(found["file"]), int(found["line"]))
    if text[:1].isspace():
        log.note(place.says(text.strip()))
    elif not text.startswith("override: "):  # our own fragment, appended to the base, wins
        symbols = tuple(dict.fromkeys(_SYMBOL.findall(text)))
        log.begin(Draft(_severity(found["kind"]), "kconfig", text, place, symbols=symbols), made=False)
    return True
