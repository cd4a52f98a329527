"""The targets that make failed to make, and the cause of each: the skeleton of a failing log.

    make[4]: *** [scripts/Makefile.build:229: drivers/a.o] Error 1      failed: something above is why
    make[3]: *** [scripts/Makefile.build:485: drivers] Error 2         only passes it up

The cause is a diagnostic of that target's recipe. Where no line of it was recognised, the cause is what its
command printed last: advice and bookkeeping are no cause. An error found elsewhere never excuses a target.
"""

import posixpath
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from matrix.diagnostics.diagnostic import SILENT_FAILURE
from matrix.diagnostics.drafts import DiagnosticDraft

_MAX_UNREAD_LINES = 60
MAX_LAST_LINES = 10
"""Lines of a command's output that a failure without a recognised cause is shown with."""
_COMPILE_STEPS = ("CC", "CXX", "AS", "RUSTC", "HOSTCC", "HOSTCXX", "HOSTRUSTC", "DTC", "CPP")
_WHOLE_LINK = re.compile(r"\.?(?:tmp_)?(?:vmlinux|btf\.vmlinux|System\.map)")
_BOOKKEEPING = re.compile(r"  [A-Z][A-Z0-9_.+-]* .*|[$+] |[\s*#=-]*$")
_ADVICE = re.compile(
    r"(?i:[\s*#>-]*+(?:error: *)?(?:please )?(?:try|run|see|use|check|consider|install|enable|disable|set"
    r"|note|hint|help|tip|for more|to (?:fix|enable|see)|you (?:may|can|should|need)|make sure|did you"
    r"|please)\b)"
    r"|.*\((?:use|run) -\S+ (?:to|for) [^()]*\)$"
    r"|.*\b(?:exit(?:ed)? (?:status|code|with)|returned (?:non-zero )?exit)\b"
    r"|Failed to (?:generate BTF|encode BTF|sort kernel tables)|\S+\.o: failed$|LOAD: \."
    r"|compilation terminated"
    r"|\s*[0-9]+ errors?\b[^:]*$|[Aa]borting\b"
)
# Shell's scripts and binutils: `objcopy:drivers/a.o: file truncated`, `scripts/link.sh: line 3: …`.
_PROGRAM = re.compile(
    r"(?:\S*/)?(?:(?:\w+-){1,4}(?=(?:objcopy|objdump|strip|ranlib|readelf|nm|ar):))?"
    r"(?P<name>[A-Za-z][\w+-]{1,40}(?:\.(?:sh|py|pl|awk))?): ?(?=\S)"
)
# A compiler that speaks another language than ours gives a place, a word and a colon all the same.
_CALLED_ERROR = re.compile(
    r"\s*(?:(?:FATAL )?ERROR|(?:[Ff]atal )?[Ee]rror|FAILED|FATAL)[:!] ?\S"
    r"|[^\s:]+:[0-9]+:[0-9]+: [^\s:：]+ ?[:：]"
)
_SUB_MAKES = frozenset({"__sub-make", "sub-make"})
_WORDS_OF_PROGRAMS = (
    ("FAILED: load BTF ", "resolve_btfids"),
    ("Invalid absolute R_", "relocs"),
    ("Cannot find symbol for section ", "recordmcount"),
    ("Inconsistent kallsyms data", "kallsyms"),
)
# Words before a colon that name no program.
_NO_PROGRAM = frozenset({"error", "warning", "fatal", "failed", "failure", "note", "info", "debug"})


@dataclass(eq=False)
class TargetFailure:
    """A target whose recipe failed. ``reason`` is make's: ``Error 1``. ``cause`` is why.

    ``is_file``: it is the name of a file, and not of a directory or of a goal.
    """

    target: str
    reason: str
    is_file: bool = False
    cause: DiagnosticDraft | None = None

    @property
    def tool(self) -> str:
        """The tool that most likely failed where the last words name no program."""
        return "kconfig" if self.target.endswith("config") else "make"

    def describe_silence(self) -> str:
        """What is known of the cause where nothing was printed that could be it."""
        return f"{self.reason}: {SILENT_FAILURE}"


class _UnreadLine(NamedTuple):
    """A line that no reader took: its number in the log, and the object of the step before it."""

    number: int
    object: str | None
    text: str


@dataclass
class FailureRecord:
    """What make printed of failures so far, and the last lines that no reader took."""

    failures: list[TargetFailure] = field(default_factory=list)
    first_steps: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Target → the step that makes it, and the line of the log that began it."""
    _unread_lines: deque[_UnreadLine] = field(default_factory=lambda: deque(maxlen=_MAX_UNREAD_LINES))
    _lines: int = 0
    _last_failure: int = 0
    _levels: set[int] = field(default_factory=set)
    _targets: set[str] = field(default_factory=set)

    def start_recipe(self, step: str, target: str | None) -> None:
        """A command for this target begins."""
        self._lines += 1
        if target is not None:
            self.first_steps[target] = (step, self._lines)

    def keep_line(self, line: str, object_name: str | None) -> None:
        """Keep a line that no reader took: it may be all that a failing command prints."""
        self._lines += 1
        self._unread_lines.append(_UnreadLine(self._lines, object_name, line))

    def note_level(self, level: int) -> None:
        """A make of this depth failed; the makes above it pass that up."""
        self._levels.add(level)

    def is_passed_up(self, target: str, reason: str, level: int, *, has_output: bool) -> bool:
        """Whether a target failed only since a make that was started for it did.

        A make that fails ends with 2. So do some commands; but kbuild shows a step for each command, and that
        command prints something. ``has_output``: an error was printed since the failure before.
        """
        if posixpath.basename(target) in _SUB_MAKES and self._levels:
            return True
        if reason.strip() != "Error 2" or not any(deeper > level for deeper in self._levels):
            return False
        if target in self._targets:
            return True
        if self.first_steps:
            return not self._find_own_lines(target) or target not in self.first_steps
        # A silent make shows no step: only what compiles surely starts no make.
        return not (target.endswith(".o") and (has_output or self._find_own_lines(target)))

    def add_failure(self, target: str, reason: str, level: int) -> TargetFailure:
        """A target whose own command failed."""
        failure = TargetFailure(target, reason, self._is_file(target, reason))
        self.failures.append(failure)
        self._targets.add(target)
        self.note_level(level)
        return failure

    def has_failed(self, target: str) -> bool:
        """Whether make said of a target that it failed by itself."""
        return target in self._targets

    def _is_file(self, target: str, reason: str) -> bool:
        # A directory fails as the make for it does, which always ends with 2.
        below = "/" in target and reason.strip() != "Error 2"
        return bool(posixpath.splitext(target)[1]) or target in self.first_steps or below or is_link(target)

    def take_last_lines(self, target: str) -> list[str]:
        """The lines that a failing command printed and no reader took; they are no other target's then."""
        taken = self._find_own_lines(target)
        self._last_failure = self._lines
        for line in taken:
            self._unread_lines.remove(line)
        return [line.text for line in taken]

    def _find_own_lines(self, target: str) -> list[_UnreadLine]:
        """The lines that the command for a target printed, as far as that is clear.

        They are those below its own step. Where another job's step came between, they are those that name
        the target, or else what came after its own step, and names no other's.
        """
        _, start = self.first_steps.get(target, ("", self._last_failure))
        lines = [line for line in self._unread_lines if line.number > start]
        own = [line for line in lines if line.object == target] or lines
        others = {line.object for line in lines if line.object not in (None, target)}
        if not others:
            return own
        named = [line for line in lines if _names_target(line.text, target)]
        return named or [line for line in own if not any(_names_target(line.text, o or "") for o in others)]


def _names_target(text: str, target: str) -> bool:
    """Whether a line has the name of a target, whatever its suffix: `.a.o.d` is of `a.o`."""
    stem = posixpath.splitext(posixpath.basename(target))[0].lstrip(".")
    # The plain search comes first, as it is cheap, and thousands of targets may fail.
    if len(stem) < 2 or stem not in text:
        return False
    # The last link has files of its own: `.tmp_vmlinux.btf`.
    return is_link(target) or re.search(rf"(?<![\w-]){re.escape(stem)}\b", text) is not None


def is_of_recipe(draft: DiagnosticDraft, target: str, steps: Mapping[str, tuple[str, int]]) -> bool:
    """Whether an error that was printed shortly before a target failed belongs to the target's recipe.

    One of another object does only where that object is a part of the same link: what was compiled beside it
    fails for itself.
    """
    if draft.object in (None, target):
        return True
    if draft.tool == "modpost":
        return posixpath.splitext(target)[1] in (".symvers", "") or is_link(target)
    if is_link(target):
        # The steps of the last link have names of their own, and make blames vmlinux for all of them.
        return is_link(draft.object or "")
    step, _ = steps.get(draft.object or "", ("", 0))
    if target not in steps and draft.tool in ("sh", "make") and draft.position.file is None:
        return True
    return target not in steps and not step.startswith(_COMPILE_STEPS)


def is_link(target: str) -> bool:
    """Whether a target is of the kernel's last link, which has steps with names of their own."""
    return _WHOLE_LINK.match(posixpath.basename(target)) is not None


def pick_last_words(lines: Iterable[str]) -> str:
    """The line that is most likely why a command failed; empty where there is none.

    It is the first that calls itself an error, or else the last that is no advice or bookkeeping.
    """
    meaningful = [line for line in lines if line.strip() and not _BOOKKEEPING.match(line)]
    words = [line for line in meaningful if not is_advice(line)]
    errors = (line for line in words if _CALLED_ERROR.match(line))
    return (next(errors, None) or next(reversed(words or meaningful), "")).strip()


def is_advice(text: str) -> bool:
    """Whether a line that a command printed is what to do about its failure, or only how it ended."""
    return _ADVICE.match(text) is not None


def find_program_name(line: str) -> str | None:
    """The program that a line names before its first colon, without a cross compiler's prefix; or None."""
    for words, program in _WORDS_OF_PROGRAMS:
        if line.startswith(words):
            return program
    match = _PROGRAM.match(line)
    if match is None or match["name"].lower() in _NO_PROGRAM:
        return None
    return match["name"]


def list_last_lines(lines: Sequence[str]) -> list[str]:
    """The last lines that are not blank, at most MAX_LAST_LINES."""
    return [line.strip() for line in lines if line.strip()][-MAX_LAST_LINES:]
