"""What objtool prints of the code that was made.

drivers/a.o: warning: objtool: f+0x3: return with modified stack frame     before 6.3 `f()+0x3`
vmlinux.o: error: objtool: f+0x10: unreachable instruction                 with CONFIG_OBJTOOL_WERROR
drivers/a.o: error: objtool [elf.c:102]: elf_begin failed: invalid file
drivers/a.o: warning: objtool:   f+0x3: (branch)                           how it came there
"""

import re

from matrix.diagnostics.message_forms import MessageForm, read_forms

_HEAD = r"(?:(?P<object>[^\s:]+): )?(?P<kind>warning|error): objtool(?: \[[^\]]*\])?: "
_PLACE = r"(?P<symbol>(?P<function>[A-Za-z_$][\w.$]*))(?:\(\)|\+0x)"

_FORMS = (
    MessageForm(
        re.compile(r"(?:[^\s:]+: )?(?:warning|error): objtool: (?P<text>\s+.*)"),
        "objtool",
        makes="note",
        hint=": objtool: ",
    ),
    MessageForm(re.compile(rf"{_HEAD}(?P<text>(?:{_PLACE})?.*)"), "objtool", hint=": objtool"),
    # Before 4.7 it did not call them warnings.
    MessageForm(
        re.compile(rf"(?P<object>[^\s:]+\.o): objtool: (?P<text>(?:{_PLACE})?.*)"),
        "objtool",
        severity="warning",
        hint=": objtool: ",
    ),
)

read_objtool = read_forms(_FORMS)
"""Take a line of objtool; False when it is none."""
