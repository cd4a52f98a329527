"""What make and the shell print: which object is being made, and what could not be made at all.

      CC [M]  drivers/a.o                             a step; with V=1 `# CC [M]  drivers/a.o` and its command
    make[4]: *** [scripts/Makefile.build:229: drivers/a.o] Error 1
    make[2]: *** No rule to make target 'a.o', needed by 'b.a'.  Stop.
    Makefile:12: *** this compiler is too old.  Stop.
    ***
    *** Configuration file ".config" not found!

That a recipe failed is no diagnostic: the tool that failed has spoken for itself.
"""

import posixpath
import re

from matrix.diagnostics.draft import Draft, Log, Place

_STEP = re.compile(r"(?:  |# )(?P<step>[A-Z][A-Z0-9_+-]*(?: \[\w+\])?) +(?P<target>[^\s:;()]+)$")
_COMMAND = re.compile(r"\s*(?=\S*[A-Za-z])[\w./+-]+ -\S.* -o (?P<target>[^\s;]+)")
_MAKE = re.compile(r"(?:\S*/)?g?make(?:\[[0-9]+\])?: (?P<text>.*)")
_GAVE_UP = re.compile(r"\*\*\* \[(?:.*: )?(?P<target>[^\s:]+)\] (?P<why>.+)")
_NO_RULE = re.compile(r"No rule to make target '(?P<target>[^']+)'(?:, needed by '(?P<by>[^']+)')?")
_MAKEFILE = re.compile(
    r"(?P<file>(?:\S*/)?(?:[Mm]akefile[\w.-]*|Kbuild[\w.-]*|[\w.-]+\.mk|auto\.conf(?:\.cmd)?)):"
    r"(?P<line>[0-9]{1,9}): (?P<kind>\*\*\* |warning: )?(?P<text>.+)"
)
_BANNER = re.compile(r"\*\*\*(?: +(?P<text>.*))?$")
_NO_PROBLEM = re.compile(
    r"Default configuration is based on |End of the configuration|Execute 'make' to start"
)
_SHELL = re.compile(r"(?:\S*/)?(?:ba|da)?sh: (?:line )?(?:[0-9]+: )?(?P<warning>warning: )?(?P<text>.+)")
_SIGNAL = re.compile(
    r"(?:(?:.* )?[0-9]+ )?"
    r"(?P<name>Killed|Segmentation fault|Aborted|Bus error|Illegal instruction|Terminated)"
    r"(?: \(core dumped\))?(?:\s{2,}.*)?$"
)
_STOP = re.compile(r"\.?(?:  Stop\.)?$")
_NEWS = re.compile(r"Waiting for unfinished jobs|Deleting (?:intermediate )?file")
# These are about the machine that builds; the kernel is not warned of anything.
_MACHINE = re.compile(
    r"jobserver unavailable|-j.* forced in submake|.*Clock skew detected|.*modification time .* in the future"
)
_CANNOT = re.compile(
    r"\S+: (?:No such file or directory|Permission denied|Argument list too long|Not enough space)"
)


def read_make(log: Log, line: str) -> bool:
    """Take a line of make or of its shell; False when it is none of theirs."""
    return any(read(log, line) for read in (_step, _make, _makefile, _banner, _shell))


def _step(log: Log, line: str) -> bool:
    found = _STEP.match(line) or _COMMAND.match(line)
    if found is None:
        return False
    step = found.groupdict().get("step") or log.step
    target = log.roots.relative(found["target"])
    if step.startswith("CHECK"):
        target = f"{posixpath.splitext(target)[0]}.o"
    log.turn_to(step, target)
    return True


def _make(log: Log, line: str) -> bool:
    found = _MAKE.match(line)
    if found is None:
        return False
    text = found["text"]
    log.quiet()
    if gave_up := _GAVE_UP.match(text):
        _gave_up(log, log.roots.relative(gave_up["target"]), gave_up["why"])
    elif text.startswith("*** "):
        _stopped(log, text.removeprefix("*** "))
    elif text.startswith(("warning: ", "Circular ")):
        _warned(log, text.removeprefix("warning: ").strip())
    elif _CANNOT.match(text):
        log.begin(Draft("error", "make", text))
    return True


def _gave_up(log: Log, target: str, why: str) -> None:
    """A recipe failed: whatever failed in it has spoken for itself, unless a signal ended it."""
    if posixpath.splitext(target)[1] or posixpath.basename(target) == "vmlinux":
        log.failed(target)
    if signal := _SIGNAL.match(why):
        log.begin(Draft("error", "make", signal["name"], object=target))
    log.current = None


def _stopped(log: Log, text: str) -> None:
    if _NEWS.match(text):
        return
    draft = Draft("error", "make", _STOP.sub("", text, count=1), symbols=())
    if rule := _NO_RULE.match(text):
        draft.object = log.roots.relative(rule["by"] or rule["target"])
    log.begin(draft, made=False)


def _warned(log: Log, text: str) -> None:
    if not _MACHINE.match(text):
        log.begin(Draft("warning", "make", _STOP.sub("", text, count=1), symbols=()), made=False)


def _makefile(log: Log, line: str) -> bool:
    found = _MAKEFILE.match(line)
    if found is None:
        return False
    place = Place(log.roots.file(found["file"]), int(found["line"]))
    fatal = found["kind"] == "*** " or found["text"].endswith("No such file or directory")
    message = _STOP.sub("", found["text"], count=1)
    log.begin(Draft("error" if fatal else "warning", "make", message, place, symbols=()), made=False)
    return True


def _banner(log: Log, line: str) -> bool:
    found = _BANNER.match(line)
    if found is None:
        return False
    text = (found["text"] or "").strip()
    if log.current is not None and log.current.tail == "notes":
        log.current.notes.extend(filter(None, [text]))
    elif text and not _NO_PROBLEM.match(text):
        log.begin(Draft("error", "make", text, symbols=(), tail="notes"), made=False)
    return True


def _shell(log: Log, line: str) -> bool:
    found = _SHELL.match(line)
    if signal := _SIGNAL.match(found["text"] if found else line):
        log.begin(Draft("error", "make", signal["name"]))
    elif found:
        log.begin(Draft("warning" if found["warning"] else "error", "sh", found["text"]))
    return found is not None or signal is not None
