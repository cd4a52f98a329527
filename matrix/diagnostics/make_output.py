"""What make and the shell print: which object is being made, and what could not be made at all.

      CC [M]  drivers/a.o                             a step; with V=1 `# CC [M]  drivers/a.o` and its command
    make[4]: *** [scripts/Makefile.build:229: drivers/a.o] Error 1
    make[2]: *** No rule to make target 'a.o', needed by 'b.a'.  Stop.
    Makefile:12: *** this compiler is too old.  Stop.
    ***
    *** Configuration file ".config" not found!

That a recipe failed is no diagnostic where the tool that failed has printed one: `failed_targets`.
"""

import posixpath
import re

from matrix.diagnostics.drafts import DiagnosticDraft, Position
from matrix.diagnostics.parser_state import LineReader, ParserState, read_with_first
from matrix.kernel_files import OBJECT_SUFFIXES

_STEP = re.compile(
    r"(?:  |# )(?P<step>[A-Z][A-Z0-9_.+-]*(?: (?:\[\w+\]|[A-Z]{1,4}))?) +(?P<target>[^\s:;()]+)$"
)
_COMMAND = re.compile(r"\s*(?=\S*[A-Za-z])[\w./+-]+ -\S.* -o (?P<target>[^\s;]+)")
_MAKE = re.compile(r"(?:\S*/)?g?make(?:\[(?P<level>[0-9]{1,4})\])?: (?P<text>.*)")
_RECIPE_FAILED = re.compile(r"\*\*\* \[(?:.*: ?)?(?P<target>[^\s:]+)\] (?P<why>.+)")
# make 4.1 announces the failure that it prints next.
_CONSEQUENCE = re.compile(r"recipe for target '[^']*' failed$|Failed to remake makefile ")
_NO_RULE = re.compile(r"No rule to make target [`'](?P<target>[^']+)'(?:, needed by [`'](?P<by>[^']+)')?")
# A makefile that stops its make is deeper than any recipe that started this make.
_DEEPEST = 10_000
_MAKEFILE = re.compile(
    r"(?P<file>(?:\S*/)?(?:[Mm]akefile[\w.-]*|Kbuild[\w.-]*|[\w.-]+\.mk|auto\.conf(?:\.cmd)?)):"
    r"(?P<line>[0-9]{1,9}): (?P<kind>\*\*\* |warning: )?(?P<text>.+)"
)
_BANNER = re.compile(r"\*\*\*(?: +(?P<text>.*))?$")
_HARMLESS_BANNER = re.compile(
    r"Default configuration is based on |End of the configuration|Execute 'make' to start"
)
_SHELL = re.compile(r"\s*+(?:\S*/)?(?:ba|da)?sh: (?:line )?(?:[0-9]+: )?(?P<warning>warning: )?(?P<text>.+)")
_SIGNAL = re.compile(
    r"(?:(?:.* )?[0-9]+ )?"
    r"(?P<name>Killed|Segmentation fault|Aborted|Bus error|Illegal instruction|Terminated)"
    r"(?: \(core dumped\))?(?:\s{2,}.*)?$"
)
_STOP_SUFFIX = re.compile(r"\.?(?:  Stop\.)?$")
# In other languages, make waits with dots at the end, and deletes a file that it names last.
_PROGRESS = re.compile(
    r"Waiting for unfinished jobs|Deleting (?:intermediate )?file|[^.]*+\.{3,}$"
    r"|[^.:“„«「']*+[“„«「'] ?[^'”“»」\s]++ ?['”“»」]$"
)
# `Error 2` in any language: make is translated, and the number is what tells.
_EXIT_STATUS = re.compile(r"[^\W\d]+ (?P<number>[0-9]{1,3})$")
# About the machine that builds, not about the kernel.
_HOST_WARNING = re.compile(
    r"jobserver unavailable|-j.* forced in submake|.*Clock skew detected"
    r"|(?>.*?modification time ).* in the future"
)
_OS_ERROR = re.compile(
    r"\S+: (?:/\S+: )?(?:No such file or directory|Permission denied|Argument list too long|Not enough space)"
)


def read_make(log: ParserState, line: str) -> bool:
    """Take a line of make or of its shell; False when it is none."""
    return read_with_first(_READERS, log, line)


def _read_step(log: ParserState, line: str) -> bool:
    match = _STEP.match(line) if line.startswith(("  ", "# ")) else None
    if match is None and " -o " in line:
        match = _COMMAND.match(line)
    if match is None:
        return False
    step = match.groupdict().get("step") or log.step
    target = log.roots.make_relative(match["target"])
    if step.startswith("CHECK") and target.endswith(OBJECT_SUFFIXES):
        target = f"{posixpath.splitext(target)[0]}.o"
    elif step.startswith("HDRTEST"):
        target = f"{posixpath.splitext(target)[0]}.hdrtest"
    log.start_object(step, target)
    return True


def _read_make_message(log: ParserState, line: str) -> bool:
    match = _MAKE.match(line)
    if match is None:
        return False
    text, level = match["text"], int(match["level"] or 0)
    log.end_continuation()
    failed = _RECIPE_FAILED.match(text)
    if failed and _PROGRESS.match(failed["why"]):
        return True
    if failed:
        status = _EXIT_STATUS.match(failed["why"])
        reason = f"Error {status['number']}" if status else failed["why"]
        _end_failed_recipe(log, log.roots.make_relative(failed["target"]), reason, level)
    elif text.startswith("*** "):
        _add_fatal_error(log, text.removeprefix("*** "), level)
    elif text.startswith(("warning: ", "Circular ")):
        _add_warning(log, text.removeprefix("warning: ").strip())
    elif _OS_ERROR.match(text):
        log.add_draft(DiagnosticDraft("error", "make", text))
    return True


def _end_failed_recipe(log: ParserState, target: str, reason: str, level: int) -> None:
    """End a failed recipe. A signal that ended its command is the cause, by make's own words."""
    if signal := _SIGNAL.match(reason):
        log.add_draft(DiagnosticDraft("error", "make", signal["name"], object=target))
    log.fail_target(target, reason, level)
    log.current_draft = None


def _add_fatal_error(log: ParserState, text: str, level: int) -> None:
    if _PROGRESS.match(text):
        return
    log.failure_record.note_level(level)
    draft = DiagnosticDraft("error", "make", _STOP_SUFFIX.sub("", text, count=1), symbols=())
    rule = _NO_RULE.match(text)
    if rule:
        draft.object = log.roots.make_relative(rule["by"] or rule["target"])
        log.miss_target(draft.object, draft, level)
    log.add_draft(draft, has_object=False)


def _add_warning(log: ParserState, text: str) -> None:
    if not _HOST_WARNING.match(text):
        log.add_draft(
            DiagnosticDraft("warning", "make", _STOP_SUFFIX.sub("", text, count=1), symbols=()),
            has_object=False,
        )


def _read_makefile_message(log: ParserState, line: str) -> bool:
    match = _MAKEFILE.match(line)
    if match is None:
        return False
    if _CONSEQUENCE.match(match["text"]):
        return True
    position = Position(log.roots.normalize_file(match["file"]), int(match["line"]))
    fatal = match["kind"] == "*** " or match["text"].endswith("No such file or directory")
    if fatal:
        log.failure_record.note_level(_DEEPEST)
    message = _STOP_SUFFIX.sub("", match["text"], count=1)
    log.add_draft(
        DiagnosticDraft("error" if fatal else "warning", "make", message, position, symbols=()),
        has_object=False,
    )
    return True


def _read_banner(log: ParserState, line: str) -> bool:
    match = _BANNER.match(line)
    if match is None:
        return False
    text = (match["text"] or "").strip()
    if not text:
        return True
    if log.current_draft is not None and log.current_draft.continuation == "notes":
        log.add_note(text)
    elif not _HARMLESS_BANNER.match(text):
        log.add_draft(
            DiagnosticDraft("error", "make", text, symbols=(), continuation="notes"), has_object=False
        )
    return True


def _read_shell_message(log: ParserState, line: str) -> bool:
    match = _SHELL.match(line)
    if signal := _SIGNAL.match(match["text"] if match else line):
        log.add_draft(DiagnosticDraft("error", "make", signal["name"]))
    elif match:
        log.add_draft(DiagnosticDraft("warning" if match["warning"] else "error", "sh", match["text"]))
    return match is not None or signal is not None


_READERS: tuple[LineReader, ...] = (
    _read_step,
    _read_make_message,
    _read_makefile_message,
    _read_banner,
    _read_shell_message,
)
