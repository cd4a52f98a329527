"""What the kernel's Python and Perl scripts print when they die: which script it was, and its last words.

Traceback (most recent call last):
  File "/src/scripts/gen.py", line 10, in <module>
    import yaml
ModuleNotFoundError: No module named 'yaml'
Can't locate Foo/Bar.pm in @INC (you may need to install Foo::Bar) at scripts/x.pl line 7.
BEGIN failed--compilation aborted at scripts/x.pl line 7.
"""

import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple

_PYTHON_FRAME = re.compile(r'  File "(?P<file>[^"<]+)", line [0-9]+')
_PYTHON_END = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:: |$)")
_PERL_END = re.compile(
    r"(?! |BEGIN failed|Execution of |Compilation failed).* at (?P<file>\S+\.p[lm]) line [0-9]+"
)


class ScriptTrace(NamedTuple):
    """The script that died, without its directory, and what it died of."""

    script: str
    message: str


def find_trace(lines: Sequence[str]) -> ScriptTrace | None:
    """The trace of a script among the last lines of a command, if there is one."""
    return _find_python_trace(lines) or _find_perl_trace(lines)


def _find_python_trace(lines: Sequence[str]) -> ScriptTrace | None:
    """The last trace, since one that is raised while another is handled comes below it."""
    frames = [(number, frame) for number, line in enumerate(lines) if (frame := _PYTHON_FRAME.match(line))]
    if not frames:
        return None
    below = lines[frames[-1][0] + 1 :]
    end = next((line for line in below if line and not line[0].isspace() and _PYTHON_END.match(line)), None)
    return None if end is None else ScriptTrace(posixpath.basename(frames[0][1]["file"]), end.strip())


def _find_perl_trace(lines: Sequence[str]) -> ScriptTrace | None:
    ends = ((line, match) for line in lines if (match := _PERL_END.match(line)))
    found = next(ends, None)
    return None if found is None else ScriptTrace(posixpath.basename(found[1]["file"]), found[0].strip())
