"""What the kernel's own tools print: modpost, objtool, Kconfig, and scripts of all kinds.

ERROR: start_text address is c000000000000500, should be c000000000000100      a script refuses
ERROR: try to enable CONFIG_LD_HEAD_STUB_CATCH config option                    its advice
scripts/gen.sh: error: no input
"""

import posixpath
import re

from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.failed_targets import is_advice
from matrix.diagnostics.kconfig_messages import read_kconfig
from matrix.diagnostics.message_forms import parse_severity
from matrix.diagnostics.modpost import read_modpost
from matrix.diagnostics.objtool import read_objtool
from matrix.diagnostics.parser_state import LineReader, ParserState, read_with_first

_OTHER = re.compile(
    r"(?:(?P<who>(?=\S*[A-Za-z])[\w./+-]+): )?"
    r"(?P<kind>fatal error|error|warning)(?: ?\([\w-]+\))?: ?(?P<text>(?!\s*[0-9]+$).+)",
    re.IGNORECASE,
)
# What builds a package out of a kernel, and only passes on that make failed: Debian's tools, bitbake, RPM.
_PACKAGING = re.compile(
    r"dpkg-buildpackage: error: .* subprocess |ERROR: (?:oe_runmake failed|Task |Logfile of failure "
    r"|Execution of |Function failed|\S+ do_\w+: )|error: Bad exit status from "
)
_READERS: tuple[LineReader, ...] = (read_modpost, read_objtool, read_kconfig)


def read_kbuild(log: ParserState, line: str) -> bool:
    """Take a line of one of the kernel's tools; False when it is none."""
    return read_with_first(_READERS, log, line)


def read_other_tool(log: ParserState, line: str) -> bool:
    """Take whatever else calls itself an error or a warning: scripts, binutils.

    A script's advice, which it calls an error as well, is a note of what it refused before.
    """
    match = _OTHER.match(line)
    if match is None:
        return False
    if _PACKAGING.match(line) and log.failure_record.failures:
        log.end_continuation()
        return True
    program = match["who"] or ("modpost" if log.step.startswith("MODPOST") else "make")
    tool = posixpath.basename(program)
    draft = DiagnosticDraft(parse_severity(match["kind"]), tool, match["text"], continuation="notes")
    if is_advice(draft.message) and _continues_refusal(log, draft):
        log.add_note(draft.message)
        return True
    log.add_draft(draft)
    return True


def _continues_refusal(log: ParserState, draft: DiagnosticDraft) -> bool:
    """Whether nothing came between this and the message before it, which is of the same program."""
    before = log.current_draft
    if before is None or before.continuation != "notes":
        return False
    return (before.tool, before.severity) == (draft.tool, draft.severity)


def read_continuation(log: ParserState, line: str) -> bool:
    """Take an indented line that continues the current diagnostic."""
    draft = log.current_draft
    if draft is None or draft.continuation not in ("notes", "paragraph") or not line[:1].isspace():
        return False
    log.add_note(line.strip())
    return True


def read_paragraph(log: ParserState, line: str) -> bool:
    """Take a line of the paragraph below the current diagnostic, which no other reader took."""
    draft = log.current_draft
    if draft is None or draft.continuation != "paragraph" or not line.strip():
        return False
    log.add_note(line.strip())
    return True
