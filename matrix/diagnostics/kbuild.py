"""What the kernel's own tools print: modpost, objtool, Kconfig, and scripts of all kinds.

    ERROR: modpost: "symbol" [drivers/a.ko] undefined!
    drivers/a.o: warning: objtool: f+0x3: return with modified stack frame
    WARNING: unmet direct dependencies detected for KVM_VFIO
      Depends on [n]: VFIO [=n]
    drivers/a/Kconfig:12: syntax error
    .config:3:warning: symbol value 'x' invalid for FOO

Kconfig runs before anything is made, so its messages have no object.
"""

import posixpath
import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.drafts import DiagnosticDraft, Position
from matrix.diagnostics.parser_state import LineReader, ParserState, read_with_first

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
_UNMET_DEPENDENCY = re.compile(r"WARNING: (?P<text>unmet direct dependencies detected for (?P<symbol>\S+))")
_RECURSIVE_DEPENDENCY = re.compile(
    r"(?:(?P<file>\S+):(?P<line>[0-9]{1,9}):)?\s*error: ?(?P<text>recursive dependency detected!)"
)
_KCONFIG = re.compile(
    r"(?P<file>(?:\S*/)?(?:Kconfig[\w.*-]*|[\w.-]*\.config|[\w.-]*defconfig)):(?P<line>[0-9]{1,9}): ?"
    r"(?:(?P<kind>warning|error): ?)?(?P<text>.+)"
)
_SYMBOL = re.compile(r"(?:symbol:?|invalid for|selected by|depends on) (?P<name>[A-Z0-9][A-Z0-9_]+)\b")
_OTHER = re.compile(
    r"(?:(?P<who>(?=\S*[A-Za-z])[\w./+-]+): )?"
    r"(?P<kind>fatal error|error|warning)(?: ?\([\w-]+\))?: ?(?P<text>.+)",
    re.IGNORECASE,
)


def read_kbuild(log: ParserState, line: str) -> bool:
    """Take a line of one of the kernel's tools; False when it is none."""
    return read_with_first(_READERS, log, line)


def read_other_tool(log: ParserState, line: str) -> bool:
    """Take whatever else calls itself an error or a warning: scripts, binutils, LLVM's tools."""
    match = _OTHER.match(line)
    if match is None:
        return False
    program = match["who"] or ("modpost" if log.step.startswith("MODPOST") else "make")
    tool = posixpath.basename(program)
    log.add_draft(DiagnosticDraft(_parse_severity(match["kind"]), tool, match["text"], continuation="notes"))
    return True


def read_continuation(log: ParserState, line: str) -> bool:
    """Take an indented line that continues the current diagnostic."""
    if log.current_draft is None or log.current_draft.continuation != "notes" or not line[:1].isspace():
        return False
    log.add_note(line.strip())
    return True


def _parse_severity(kind: str | None) -> Severity:
    return "warning" if kind and kind.lower() == "warning" else "error"


def _read_modpost(log: ParserState, line: str) -> bool:
    match = _MODPOST.match(line)
    if match is None:
        return False
    text = match["text"] or match["old"]
    draft = DiagnosticDraft(_parse_severity(match["kind"]), "modpost", text, continuation="notes")
    if module := _MODULE.search(text):
        draft.object = module["ko"] or module["o"] or _name_module_object(module["name"])
    if mismatch := _MISMATCH.search(text):
        draft.function, draft.symbols = mismatch["origin"], (mismatch["origin"], mismatch["to"])
    log.add_draft(draft)
    return True


def _name_module_object(name: str) -> str:
    """modpost calls a module by its path without a suffix, and vmlinux by its name."""
    return name if name == "vmlinux" or "." in name else f"{name}.o"


def _read_objtool(log: ParserState, line: str) -> bool:
    match = _OBJTOOL.match(line)
    if match is None:
        return False
    draft = DiagnosticDraft(_parse_severity(match["kind"]), "objtool", match["text"], object=match["object"])
    if function := _OBJTOOL_FUNCTION.match(match["text"]):
        draft.function, draft.symbols = function["name"], (function["name"],)
    log.add_draft(draft)
    return True


def _read_unmet_dependency(log: ParserState, line: str) -> bool:
    match = _UNMET_DEPENDENCY.match(line)
    if match is None:
        return False
    draft = DiagnosticDraft(
        "warning", "kconfig", match["text"], symbols=(match["symbol"],), continuation="notes"
    )
    log.add_draft(draft, has_object=False)
    return True


def _read_recursive_dependency(log: ParserState, line: str) -> bool:
    match = _RECURSIVE_DEPENDENCY.match(line)
    if match is None:
        return False
    position = (
        Position(log.roots.normalize_file(match["file"]), int(match["line"])) if match["file"] else Position()
    )
    log.add_draft(
        DiagnosticDraft("error", "kconfig", match["text"], position, symbols=(), continuation="notes"),
        has_object=False,
    )
    return True


def _read_kconfig(log: ParserState, line: str) -> bool:
    match = _KCONFIG.match(line)
    if match is None:
        return False
    text, position = match["text"], Position(log.roots.normalize_file(match["file"]), int(match["line"]))
    if text[:1].isspace():
        log.add_note(position.format_note(text.strip()))
    elif not text.startswith("override: "):  # meant so: the fragment overrides the base
        symbols = tuple(dict.fromkeys(_SYMBOL.findall(text)))
        log.add_draft(
            DiagnosticDraft(_parse_severity(match["kind"]), "kconfig", text, position, symbols=symbols),
            has_object=False,
        )
    return True


_READERS: tuple[LineReader, ...] = (
    _read_modpost,
    _read_objtool,
    _read_unmet_dependency,
    _read_recursive_dependency,
    _read_kconfig,
)
