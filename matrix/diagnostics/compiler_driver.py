"""What gcc's and clang's drivers print of no place in the source, and what only sums up.

    x86_64-linux-gnu-gcc-14: error: unrecognized command-line option '-mnope'
    cc1: error: incompatible gcc/plugin versions
    error: unknown target CPU 'nope'                            clang, and no name of a program before it
    <command-line>: fatal error: nope.h: No such file or directory
    clang: error: assembler command failed with exit code 1 (use -v to see invocation)
    2 errors generated.

Such a message belongs to the last step.
"""

import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.drafts import UNKNOWN_COMPILER, DiagnosticDraft
from matrix.diagnostics.driver_options import find_options
from matrix.diagnostics.internal_error import is_internal_error
from matrix.diagnostics.message_forms import MessageForm, parse_severity, read_forms
from matrix.diagnostics.parser_state import ParserState

KIND = "(?P<kind>fatal error|error|warning|internal compiler error|sorry, unimplemented|note|remark|info)"
_SERIOUS = "(?P<kind>fatal error|error|warning|internal compiler error|sorry, unimplemented)"
_NOTE = "(?:note|remark|info)"
_GCC = r"(?:\S*[/-])?(?:gcc|g\+\+|cc|c\+\+|cpp|cc1\w*|lto1|lto-wrapper|collect2)(?:-[0-9.]+)?: "
_CLANG = r"(?:\S*[/-])?clang(?:\+\+|-cpp)?(?:-[0-9.]+)?: "
_FLAG = re.compile(r"(?<!\s)\s*\[(?P<flag>-[Wf][^\[\]\s]+)\]$")
# What clang says of all that it compiles, whichever step kbuild calls it.
_CLANG_WORDS = (
    r"(?:unable to (?:create target|load plugin|open output file|rename temporary|make temporary file)"
    r"|unknown (?:argument|warning option|target (?:triple|CPU|ABI))|unsupported (?:option|argument) ['‘]"
    r"|invalid (?:value|argument) ['‘]|error (?:opening|reading) ['‘]|error in backend: )"
)
# Steps of kbuild that run a compiler; CC32 and others are for 32-bit compatibility.
_COMPILE_STEP = re.compile(
    r"(?:HOST|BOOT|SPU_|M68K|VDSO)?(?:CC|CXX|AS|CPP)(?:32|64)?(?:_COMPAT)?(?: |$)|VDSO(?:32|64)?[AC]?(?: |$)"
    r"|LDS|LTO|BINDGEN|CLANG|CLNG|HDRTEST|MKLST|GENVDSO|[A-Z]*LDS(?: |$)"
)
_GENERATED = r"[0-9]+ (?:warning|error)s?(?: and [0-9]+ errors?)? generated"


def split_flag(draft: DiagnosticDraft) -> None:
    """Take the flag off the end of a message, and note whether -Werror promoted it."""
    found = _FLAG.search(draft.message)
    if found is None:
        return
    draft.promoted = found["flag"].startswith(("-Werror=", "-Werror,"))
    draft.flag = re.sub(r"^-Werror(?:=|,-W)", "-W", found["flag"]).partition(",")[0]
    draft.message = draft.message[: found.start()]


def parse_message(kind: str | None, text: str, tool: str) -> DiagnosticDraft:
    """A compiler's message, without its place."""
    severity: Severity = parse_severity(kind)
    draft = DiagnosticDraft(
        severity, tool, f"{kind}: {text}" if (kind or "").startswith("internal") else text
    )
    split_flag(draft)
    return draft


def _complete_message(_: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    kind = match.groupdict().get("kind") or "error"
    if kind.startswith("internal"):
        draft.message = f"{kind}: {draft.message}"
    split_flag(draft)
    draft.symbols = find_options(draft.message)


def _complete_llvm_error(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    # LLVM ends so when it broke, but for what the machine did to it: a full disk, no memory.
    draft.broke = is_internal_error(f"error in backend: {draft.message}")


_CONSEQUENCES = (
    MessageForm(re.compile(r"compilation terminated"), makes="nothing"),
    MessageForm(re.compile(_GENERATED), makes="nothing", hint=" generated"),
    MessageForm(
        re.compile(r".*: (?:all|some) warnings being treated as errors"),
        makes="nothing",
        hint="s being treated as errors",
    ),
    MessageForm(
        re.compile(r".*[0-9] warnings?, treating warnings as errors"),
        makes="nothing",
        hint=", treating warnings as errors",
    ),
    MessageForm(
        re.compile(r".*: too many errors(?: emitted, stopping now|$)"),
        makes="nothing",
        hint=": too many errors",
    ),
    MessageForm(
        re.compile(r".*: confused by earlier errors, bailing out"),
        makes="nothing",
        hint="confused by earlier errors",
    ),
    MessageForm(
        re.compile(rf"{_GCC}(?:fatal )?error: \S+ returned [0-9]+ exit status"),
        makes="last words",
        hint=" exit status",
    ),
    MessageForm(
        re.compile(rf"{_CLANG}error: (?:linker|assembler) command failed with exit code"),
        makes="last words",
        hint=" command failed with exit code",
    ),
    MessageForm(
        re.compile(rf"{_CLANG}error: (?P<text>.+ command failed .+)"),
        tool="clang",
        makes="consequence",
        hint=" command failed ",
    ),
)
_NAMED_FORMS = (
    MessageForm(
        re.compile(rf"{_GCC}(?:{_SERIOUS}: |(?=out of memory))(?P<text>.+)"),
        tool="gcc",
        complete=_complete_message,
    ),
    MessageForm(
        re.compile(rf"{_CLANG}(?:{_SERIOUS}: |(?=out of memory))(?P<text>.+)"),
        tool="clang",
        hint="clang",
        complete=_complete_message,
    ),
    # Names of temporary files.
    MessageForm(re.compile(rf"{_CLANG}note: diagnostic msg:"), makes="nothing", hint="diagnostic msg:"),
    MessageForm(re.compile(rf"(?:{_GCC}|{_CLANG}){_NOTE}: (?P<text>.+)"), makes="note"),
    MessageForm(
        re.compile(
            r"clang \(LLVM option parsing\): (?P<text>Unknown command line argument [^ ]+?)\.?(?: |$)"
        ),
        tool="clang",
        hint="LLVM option parsing",
        complete=_complete_message,
    ),
    MessageForm(
        re.compile(r"clang \(LLVM option parsing\): (?P<text>.+)"), makes="note", hint="LLVM option parsing"
    ),
    MessageForm(
        re.compile(rf"<(?:command-line|built-in)>: {_SERIOUS}: (?P<text>.+)"),
        tool="gcc",
        hint="<",
        complete=_complete_message,
    ),
    MessageForm(re.compile(rf"<(?:command-line|built-in)>: {_NOTE}: (?P<text>.+)"), makes="note", hint="<"),
    MessageForm(
        re.compile(r"LLVM (?P<kind>ERROR): (?P<text>.+)"),
        tool="clang",
        hint="LLVM ERROR",
        complete=_complete_llvm_error,
    ),
    MessageForm(
        re.compile(rf"(?P<kind>fatal error|error|warning): (?P<text>{_CLANG_WORDS}.+)"),
        tool="clang",
        complete=_complete_message,
    ),
    MessageForm(
        re.compile(
            r"note: (?P<text>(?:(?:called|inlined) by function|\s*which inlined function|In function) '.+)"
        ),
        makes="note",
        hint="note: ",
    ),
)
_BARE_FORMS = (
    # A number alone is how many there were.
    MessageForm(
        re.compile(rf"{_SERIOUS}: (?P<text>(?!\s*[0-9]+$).+)"),
        tool=UNKNOWN_COMPILER,
        complete=_complete_message,
    ),
    MessageForm(re.compile(rf"{_NOTE}: (?P<text>.+)"), makes="note"),
)
_read_named = read_forms(_NAMED_FORMS)
_read_bare = read_forms(_BARE_FORMS)
read_consequence = read_forms(_CONSEQUENCES)


def read_driver(log: ParserState, line: str) -> bool:
    """Take a message of a compiler's driver; False when it is none."""
    return _read_named(log, line) or (_COMPILE_STEP.match(log.step) is not None and _read_bare(log, line))
