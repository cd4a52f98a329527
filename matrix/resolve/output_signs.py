"""What in a step's output is a sign of something else than the tree: a full disk, a limit, a kill, a crash.

A tree can print any of them. They only decide over a step that failed, or, as make's warning of a wrong clock
does, make nothing of one that passed.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto


class Sign(Enum):
    """What a line of output can be a sign of."""

    CLOCK = auto()
    """make found files from the future."""
    DISK_FULL = auto()
    NOT_WRITTEN = auto()
    """Something could not be written, for whatever reason."""
    FILE_SIZE = auto()
    OPEN_FILES = auto()
    PROCESSES = auto()
    MEMORY = auto()
    """Memory was refused; nothing was killed."""
    KILLED = auto()
    CRASHED = auto()
    """A program broke: a compiler, or a tool of the tree's own."""


_END = r"(?=[]'\".,;: )]|$)"
_ENDED = "Killed|Terminated|Hangup|Interrupt|Quit"
_CRASHED = "Segmentation fault|Aborted|Bus error|Illegal instruction|Floating point exception"
_MAKE = r"^\S*make(?:\[[0-9]+\])?: "
_RECIPE = rf"{_MAKE}\*\*\* \[.*\] "
_SHELL = r"^(?:\S*sh: )?(?:line )?(?:[0-9]+: )?(?:[^\s:]+: )?(?: *[0-9]+ )?"
# Words of which a sign's line has one: most lines have none, and are looked at no further.
_HINTS = (
    "space left",
    "quota exceeded",
    "/O error",
    "rite error",
    "close",
    "hort write",
    "rror writing",
    "nput/output error",
    "Stale file handle",
    "too large",
    "limit exceeded",
    "Too many open",
    "temporarily unavailable",
    "annot fork",
    "an't fork",
    "new thread",
    "memory",
    "bad_alloc",
    "MemoryError",
    "illed",
    "erminated",
    "signal",
    "Signals",
    "Hangup",
    "Interrupt",
    "Error 1",
    "fault",
    "Aborted",
    "Bus error",
    "Illegal instruction",
    "point exception",
    "Clock skew",
    "modification time",
)
_PATTERNS = {
    Sign.CLOCK: rf"{_MAKE}[Ww]arning: +(?:Clock skew detected|File .* has modification time )",
    Sign.DISK_FULL: rf"(?:^|[]:'\"(] ?)(?:No space left on device|Disk quota exceeded){_END}",
    Sign.NOT_WRITTEN: r": I/O error\b|: [Ww]rite error\b|\b[Cc](?:annot|ould not) close\b"
    r"|\bclose failed\b|\b[Ss]hort write\b|\b[Ee]rror (?:closing|writing) "
    rf"|: Input/output error{_END}|: Stale file handle{_END}",
    Sign.FILE_SIZE: rf"\bFile size limit exceeded\b|[]:] '?File too large{_END}|{_RECIPE}Error 153\b",
    Sign.OPEN_FILES: r"\bToo many open files\b",
    Sign.PROCESSES: r"\bResource temporarily unavailable\b|\b[Cc](?:annot|an't) fork\b|\bstart new thread\b",
    Sign.MEMORY: r"\bCannot allocate memory\b|\b[Vv]irtual memory exhausted\b|\b[Oo]ut of memory\b"
    r"|\bbad_alloc\b|\bMemoryError\b",
    Sign.KILLED: rf"(?:fatal|compiler) error: (?:{_ENDED}) (?:signal terminated program|\(program) "
    rf"|\bunable to execute command: (?:{_ENDED})\b|\bterminated with signal (?:1|2|3|9|15)\b"
    rf"|{_RECIPE}(?:{_ENDED}|Error (?:129|130|131|137|143))\b|{_SHELL}(?:Killed|Terminated)(?:  .*)?$"
    r"|\bdied with <Signals\.SIG(?:KILL|TERM|HUP|INT|QUIT)\b",
    Sign.CRASHED: rf"(?:fatal|compiler) error: (?:{_CRASHED}) (?:signal terminated program|\(program) "
    rf"|\bunable to execute command: (?:{_CRASHED})\b|\bterminated with signal (?:4|6|7|8|11)\b"
    rf"|{_RECIPE}(?:{_CRASHED}|Error (?:132|134|135|136|139))\b"
    rf"|{_SHELL}(?:{_CRASHED})(?: \(core dumped\))?(?:  .*)?$"
    r"|\bdied with <Signals\.SIG(?:ILL|ABRT|BUS|FPE|SEGV)\b",
}
_SIGNS = {sign: re.compile(pattern) for sign, pattern in _PATTERNS.items()}
# A message about a place in the source, or a quoted line of it, may hold any words.
_OF_THE_SOURCE = re.compile(
    r"[^\s:][^:]*:[0-9]+:(?:[0-9]+:)? (?:error|warning|note): |\s*+(?:[0-9]+\s*+)?\| "
)
_SHOWN_CHARACTERS = 200


@dataclass
class SignReader:
    """Reads a step's output line by line; ``found`` has the first line of each sign."""

    found: dict[Sign, str] = field(default_factory=dict)

    def read_line(self, line: str) -> None:
        """Note what this line is a sign of."""
        if not any(hint in line for hint in _HINTS) or "Broken pipe" in line or _OF_THE_SOURCE.match(line):
            return
        for sign, pattern in _SIGNS.items():
            if sign not in self.found and pattern.search(line):
                self.found[sign] = line.strip()[:_SHOWN_CHARACTERS]
