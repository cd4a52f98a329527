"""What GNU as prints, by a compiler's order or by kbuild's.

    drivers/c.S: Assembler messages:
    drivers/c.S:3: Error: unrecognized opcode: `nope'
    Assembler messages:                               of no file: it did not come to read one
    Error: unrecognized option -mfloat-abi=soft
    /usr/bin/as: unrecognized option '-EL'

clang's own assembler prints as clang does.
"""

import re

from matrix.diagnostics.diagnostic import find_quoted_identifiers
from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.driver_options import name_options
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState
from matrix.kernel_files import ASSEMBLY_SUFFIXES

_KIND = "(?P<kind>Fatal error|Error|Warning)"
# It quotes an instruction with its operands, where clang's assembler names the mnemonic only.
_MNEMONIC = re.compile(r"`([A-Za-z_][\w.]*)\s[^`']*'")
_ANNOUNCEMENT = re.compile(r"(?:[^:]+: )?Assembler messages:$")
_ASSEMBLY = "|".join(map(re.escape, ASSEMBLY_SUFFIXES))


def _name_mnemonic(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    names = (*_MNEMONIC.findall(draft.message), *find_quoted_identifiers(draft.message))
    draft.symbols = tuple(dict.fromkeys(names))


_FORMS = (
    # It has removed what it could not write to its end.
    MessageForm(
        re.compile(r"(?:[^\s:]+: )?Fatal error: (?P<text>[^\s:]+: No such file or directory)$"),
        tool="as",
        makes="consequence",
        hint="Fatal error: ",
    ),
    MessageForm(
        re.compile(rf"(?P<file>[^\s:][^:]*):(?P<line>[0-9]{{1,9}}): +{_KIND}: (?P<text>.+)"),
        tool="as",
        hint=": ",
        complete=_name_mnemonic,
    ),
    MessageForm(
        re.compile(rf"(?P<file>[^\s:][^:]*(?:{_ASSEMBLY})): +{_KIND}: (?P<text>.+)"),
        tool="as",
        hint=": ",
        complete=_name_mnemonic,
    ),
    MessageForm(
        re.compile(r"(?P<file>[^\s:][^:]*):(?P<line>[0-9]{1,9}): +Info: (?P<text>.+)"),
        hint="Info: ",
        makes="note",
    ),
    MessageForm(
        re.compile(rf"(?:\S*[/-])?as(?:-[0-9.]+)?: (?:{_KIND}: |(?P<warning>warning: ))?(?P<text>.+)"),
        tool="as",
        hint="as",
        complete=name_options,
    ),
)
# Only below "Assembler messages:", as other programs begin with the same words.
_ANNOUNCED_FORMS = (
    MessageForm(
        re.compile(rf"{_KIND}: (?P<text>.+)"),
        tool="as",
        hint=": ",
        complete=name_options,
    ),
    MessageForm(
        re.compile(rf"(?P<file>[^\s:][^:]*): +{_KIND}: (?P<text>.+)"),
        tool="as",
        hint=": ",
        complete=_name_mnemonic,
    ),
)
_read_any = read_forms(_FORMS)
_read_announced = read_forms(_ANNOUNCED_FORMS)


def read_assembler(log: ParserState, line: str) -> bool:
    """Take a line of GNU as; False when it is none."""
    if line.endswith("Assembler messages:") and _ANNOUNCEMENT.match(line):
        log.assembling = True
        log.end_continuation()
        return True
    return _read_any(log, line) or (log.assembling and _read_announced(log, line))
