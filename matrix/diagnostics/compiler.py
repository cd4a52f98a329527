"""What gcc, clang, GNU as, clang's assembler, sparse and kernel-doc print.

    In file included from include/a.h:1,              who includes what: gcc from the inside out, clang
                     from drivers/b.c:2:              from the outside in, each with the first words
    drivers/b.c: In function 'f':
    drivers/b.c:6:13: error: unused variable 'x' [-Werror=unused-variable]
        6 |         int x;                            the source, quoted; older ones give no numbers
    drivers/c.S:3: Error: unrecognized opcode: `nope'
    drivers/d.c:7:18:    expected int *q              sparse, going on
    clang: error: unknown argument: '-mnonsense'

A message without a source belongs to the last step; a note belongs to the message before it.
"""

import re

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.draft import COMPILER, MOST, Draft, Log, Place
from matrix.diagnostics.text import quoted_symbols

_CHAIN = re.compile(
    r"(?P<first>In file included|\s+) from (?P<file>[^:]+)(?::(?P<line>[0-9]{1,9}))?(?::[0-9]+)*[:,]$"
)
_FUNCTION = re.compile(
    r"(?:(?P<file>[^\s:]+): )?"
    r"(?:In (?:[a-z]+ )*(?:function|constructor|destructor) ['‘`](?P<name>[^'’]+)['’]|At top level)[:,]$"
)
_INLINED = re.compile(
    r"\s+inlined from (?P<name>\S+) at (?P<file>[^:]+):(?P<line>[0-9]{1,9})(?::[0-9]+)?[:,]$"
)
_KIND = "(?P<kind>fatal error|error|warning|internal compiler error|sorry, unimplemented|note|remark|info)"
_ASIDES = ("note", "remark", "info")
_LOCATED = re.compile(
    rf"(?P<file>[^\s:][^:]*):(?P<line>[0-9]{{1,9}}):(?:(?P<column>[0-9]{{1,9}}):)? {_KIND}: (?P<text>.+)"
)
_ASSEMBLER = re.compile(
    r"(?P<file>[^\s:][^:]*):(?:(?P<line>[0-9]{1,9}):)? +(?P<kind>Fatal error|Error|Warning|Info): "
    r"(?P<text>.+)"
)
# It quotes the instruction with its operands, of which clang's assembler names the first word.
_MNEMONIC = re.compile(r"`([A-Za-z_][\w.]*)\s[^`']*'")
_DRIVER = re.compile(
    r"(?:\S*[/-])?(?P<who>gcc|g\+\+|cc1\w*|lto1|lto-wrapper|collect2|clang(?:\+\+)?)(?:-[0-9.]+)?: "
    rf"(?:{_KIND}: |(?=out of memory))(?P<text>.+)"
)
_BARE = re.compile(rf"{_KIND}: (?P<text>.+)")
_GOES_ON = re.compile(r"(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}):[0-9]{1,9}:\s{2,}(?P<text>\S.*)")
_FLAG = re.compile(r"(?<!\s)\s*\[(?P<flag>-[Wf][^\[\]\s]+)\]$")
# With W=1 kernel-doc speaks between the compilers' messages, in their form but without a column.
_KERNEL_DOC = re.compile(
    r"not described in |description in '|^expecting prototype for |^missing initial short description"
    r"|^[Cc]annot (?:understand|find) |^This comment starts with |^[Nn]o description found "
    r"|^duplicate section |^contents before sections|^bad line: "
)
_COMPILING = re.compile(r"(?:HOST)?(?:CC|CXX|AS|CPP)\b|VDSO|LDS|LTO")
_GENERATED = r"[0-9]+ (?:warning|error)s?(?: and [0-9]+ errors?)? generated"
_CONSEQUENCE = re.compile(
    rf"compilation terminated|{_GENERATED}|.*: (?:all|some) warnings being treated as errors"
    r"|.*[0-9] warnings?, treating warnings as errors|.*: too many errors emitted, stopping now"
    r"|.*: Assembler messages:|collect2: error: ld returned|.*: linker command failed with exit code"
)
_ONLY_CLANG = re.compile(rf"{_GENERATED}|.* note: expanded from |.*\[-Werror,-W|(?:\S*/)?clang(?:-[0-9]+)?: ")
_ONLY_GCC = re.compile(
    r".*: (?:In function ['‘]|At top level:)|\s+from \S+[,:]$|(?:\S*-)?(?:gcc|cc1)[-0-9]*: "
    r"|.* note: in (?:expansion|definition) of macro |.*\[-Werror="
)
_CARETS = re.compile(r"(?=.*\^)[\s~^|]+$")


def read_compiler(log: Log, line: str) -> bool:
    """Take a line of a compiler, an assembler or sparse; False when it is none of theirs."""
    _who_speaks(log, line)
    if _CONSEQUENCE.match(line):
        log.quiet()
        return True
    return any(read(log, line) for read in (_context, _located, _assembler, _driver, _going_on))


def read_excerpt(log: Log, line: str) -> bool:
    """Take a quoted source line or its carets, when the current diagnostic may still have some."""
    if log.quotation is not None and log.quotation.takes(line):
        log.quotation.lines.append(line)
        return True
    draft = log.current
    if draft is None or draft.tail != "excerpt":
        return False
    pointing = draft.place.column or draft.place.file is None
    if log.held is not None and _CARETS.match(line):
        draft.excerpt.append(log.held)
    elif pointing and not draft.excerpt and log.held is None and line and not line[0].isspace():
        # A source line without number and indentation looks like anything; its carets will tell.
        log.held = line
        return True
    elif not line[:1].isspace():
        log.quiet()
        return False
    log.held = None
    draft.excerpt += [line] if len(draft.excerpt) < MOST else []
    return True


def _who_speaks(log: Log, line: str) -> None:
    if _ONLY_CLANG.match(line):
        log.spoken_by("clang")
    elif _ONLY_GCC.match(line):
        log.spoken_by("gcc")


def _context(log: Log, line: str) -> bool:
    if chain := _CHAIN.match(line):
        _includes(log, chain)
    elif function := _FUNCTION.match(line):
        log.function = function["name"]
        log.source = log.roots.file(function["file"]) if function["file"] else log.source
        log.inlined = []
    elif inlined := _INLINED.match(line):
        log.inlined.append(_place(log, inlined).says(f"inlined from {inlined['name']}"))
    else:
        return False
    log.quiet()
    return True


def _includes(log: Log, found: re.Match[str]) -> None:
    if found["line"] is None or found["file"].startswith("<") or len(log.chain) >= MOST:
        return
    link = f"{log.roots.relative(found['file'])}:{found['line']}"
    # clang starts at the outermost file and repeats the first words; gcc goes on with "from".
    log.chain.insert(0 if found["first"].strip() else len(log.chain), link)


def _place(log: Log, found: re.Match[str]) -> Place:
    file = log.roots.file(found["file"])
    numbers = (found.groupdict().get(name) for name in ("line", "column"))
    return Place(None) if file is None else Place(file, *(int(n) if n else None for n in numbers))


def _located(log: Log, line: str) -> bool:
    found = _LOCATED.match(line)
    if found is None:
        return False
    place = _place(log, found)
    chain = log.included_from(place.file)
    if found["kind"] in _ASIDES:
        log.note(found["text"], place)
        return True
    draft = _draft(found, _located_by(log, found))
    draft.place, draft.included_from, draft.function = place, chain, log.function
    draft.notes, log.inlined = log.inlined, []
    draft.tail = "excerpt"
    log.begin(draft)
    return True


def _located_by(log: Log, found: re.Match[str]) -> str:
    if log.step.startswith("CHECK"):
        return "sparse"
    return "kernel-doc" if not found["column"] and _KERNEL_DOC.search(found["text"]) else COMPILER


def _draft(found: re.Match[str], tool: str) -> Draft:
    kind, text = found["kind"] or "error", found["text"]
    severity: Severity = "warning" if kind.lower() == "warning" else "error"
    if kind.startswith("internal"):
        text = f"{kind}: {text}"
    flag = _FLAG.search(text)
    if flag is None:
        return Draft(severity, tool, text)
    promoted = flag["flag"].startswith(("-Werror=", "-Werror,"))
    name = re.sub(r"^-Werror(?:=|,-W)", "-W", flag["flag"]).partition(",")[0]
    return Draft(severity, tool, text[: flag.start()], flag=name, promoted=promoted)


def _assembler(log: Log, line: str) -> bool:
    found = _ASSEMBLER.match(line)
    if found is None or not (found["line"] or found["file"].endswith((".s", ".S"))):
        return False
    if found["kind"] == "Info":
        log.note(found["text"], _place(log, found))
        return True
    draft = _draft(found, "as")
    draft.place = _place(log, found)
    named = (*_MNEMONIC.findall(draft.message), *quoted_symbols(draft.message))
    draft.symbols = tuple(dict.fromkeys(named))
    log.begin(draft)
    return True


def _driver(log: Log, line: str) -> bool:
    found = _DRIVER.match(line)
    if found is None:
        bare = _COMPILING.match(log.step) is not None
        return _from_driver(log, _BARE.match(line) if bare else None, COMPILER)
    return _from_driver(log, found, "clang" if found["who"].startswith("clang") else "gcc")


def _from_driver(log: Log, found: re.Match[str] | None, tool: str) -> bool:
    if found is None:
        return False
    if found["kind"] not in _ASIDES:
        log.begin(_draft(found, tool))
    elif not found["text"].startswith("diagnostic msg:"):  # names of temporary files
        log.note(found["text"])
    return True


def _going_on(log: Log, line: str) -> bool:
    found = _GOES_ON.match(line)
    if found is None or log.current is None:
        return False
    log.note(found["text"], _place(log, found))
    return True
