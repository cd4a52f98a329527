"""What checks of sources print: kernel-doc, smatch, coccinelle, Sphinx, and scripts that look at headers.

    drivers/a.c:379: warning: Function parameter or member 'i' not described in 'f'      kernel-doc
    Warning: drivers/a.c:417 function parameter 'x' not described in 'f'                 since 6.17
    sound/a.c:163 f() error: uninitialized symbol 'ret'.                                 smatch
    drivers/a.c:12:3-9: ERROR: reference preceded by free on line 10                     coccinelle
    Documentation/a.rst:12: WARNING: Unexpected indentation.                             Sphinx
    <stdin>:1515:2: warning: #warning syscall clone3 not implemented [-Wcpp]             checksyscalls.sh

sparse prints in gcc's form: `compiler`. What a check calls an error stops no build, and is a warning here;
what kernel-doc cannot read at all is an error.
"""

import re

from matrix.diagnostics.diagnostic import find_quoted_identifiers
from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState

_NUMBER = r"(?P<line>[0-9]{1,9})"
_C_FILE = r"(?P<file>[^\s:]+\.(?:[chSs]|rst|inc|dtsi?))"
# With W=1 kernel-doc prints between the compilers' messages, in their form but without a column.
_KERNEL_DOC_TEXT = (
    r"(?:.* not described in |.* description in '|expecting prototype for |contents before sections"
    r"|bad line: |missing initial short description|[Cc]annot (?:understand|find|parse) "
    r"|This comment starts with |[Nn]o description found |duplicate section|wrong kernel-doc identifier"
    r"|suspicious ending line|Incorrect use of kernel-doc|no structured comments found|'[^']*' not found$"
    r"|Unrecognized tracepoint format).*"
)
_PROTOTYPE = re.compile(
    r"expecting prototype for (?:\w+ )?([\w]+)(?:\(\))?\. Prototype was for (?:\w+ )?(\w+)(?:\(\))? instead"
)


def _name_undescribed(_log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Symbols of kernel-doc's messages; some name a function without quotes."""
    if prototype := _PROTOTYPE.match(draft.message):
        draft.symbols = tuple(dict.fromkeys(prototype.groups()))


def _name_function(_log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Symbols of smatch's messages: what they quote, and the function; the source is not shown."""
    names = (*find_quoted_identifiers(draft.message), draft.function)
    draft.symbols = tuple(dict.fromkeys(name for name in names if name))


def _set_sphinx_severity(_log: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    draft.severity = "warning" if match["kind"] == "WARNING" else "error"


_FORMS = (
    MessageForm(
        re.compile(
            rf"(?P<file>[^\s:][^:]*):{_NUMBER}: (?P<kind>warning|error): (?P<text>{_KERNEL_DOC_TEXT})"
        ),
        tool="kernel-doc",
        follows="excerpt",
        hint=": ",
        complete=_name_undescribed,
    ),
    MessageForm(
        re.compile(rf"(?P<kind>Warning|Error): {_C_FILE}:{_NUMBER} (?P<text>.+)"),
        tool="kernel-doc",
        follows="excerpt",
        complete=_name_undescribed,
    ),
    MessageForm(
        re.compile(r"[0-9]+ warnings as Errors$"),
        tool="kernel-doc",
        hint=" warnings as Errors",
        summary=True,
    ),
    MessageForm(re.compile(rf"Info: {_C_FILE}:{_NUMBER} "), makes="nothing", hint="Info: "),
    MessageForm(
        re.compile(rf"Warning: {_C_FILE} (?P<text>references a file that doesn't exist: (?P<symbol>\S+))"),
        tool="documentation-file-ref-check",
        severity="warning",
        hint="references a file",
        has_object=False,
    ),
    MessageForm(
        re.compile(
            rf"(?P<file>[^\s:]+):{_NUMBER} (?:(?P<function>\w+)|\(null\))\([^()]*\) (?:parse )?"
            r"(?:error|warn(?:ing)?): (?P<text>.+)"
        ),
        tool="smatch",
        severity="warning",
        hint=") ",
        complete=_name_function,
    ),
    MessageForm(
        re.compile(rf"[^\s:]+:{_NUMBER} (?:\w+|\(null\))\([^()]*\) info: "),
        makes="nothing",
        hint=") info: ",
    ),
    MessageForm(
        re.compile(
            rf"(?P<file>[^\s:]+):{_NUMBER}:(?P<column>[0-9]{{1,9}})-[0-9]{{1,9}}: "
            r"(?:(?:ERROR|WARNING|Error|Warning): ?)?(?P<text>\S.+)"
        ),
        tool="coccinelle",
        severity="warning",
        hint="-",
    ),
    MessageForm(
        re.compile(
            r"(?P<file>[^\s:]+\.(?:rst|txt|py|rs|[ch])):(?:docstring of [^\s:]+:)?"
            rf"(?:{_NUMBER}:)? (?P<kind>WARNING|ERROR|SEVERE|CRITICAL): (?P<text>.+?)"
            r"(?: \[(?P<flag>[\w.-]+)\])?$"
        ),
        tool="sphinx",
        has_object=False,
        complete=_set_sphinx_severity,
    ),
    MessageForm(
        re.compile(
            r"<stdin>:[0-9]+:[0-9]+: (?P<kind>warning): (?P<text>(?:#warning )?\"?syscall (?P<symbol>\w+)"
            r" not implemented\"?)(?: \[(?P<flag>-W[^\[\]]+)\])?$"
        ),
        follows="excerpt",
        hint="<stdin>:",
    ),
    MessageForm(
        re.compile(
            r"(?P<kind>WARN|FAILED):? (?:resolve_btfids: )?(?P<text>unresolved symbol (?P<symbol>\S+))"
        ),
        tool="resolve_btfids",
        hint="unresolved symbol ",
    ),
    MessageForm(
        re.compile(r"error: (?P<file>[^\s:]+): (?P<text>leak (?P<symbol>CONFIG_\w+) to user-space)"),
        tool="headers_install.sh",
        hint=" to user-space",
    ),
    MessageForm(
        re.compile(
            rf"(?P<file>[^\s:]+\.h):{_NUMBER}: (?P<text>included file '[^']*' is not exported"
            r"|leaks (?P<symbol>CONFIG_\w+) to userspace .*|found __\[us\]\{.*|userspace cannot "
            r"reference .*|extern's make no sense in userspace)"
        ),
        tool="headers_check.pl",
        severity="warning",
        hint=".h:",
    ),
)
read_checkers = read_forms(_FORMS)
"""Takes a line of a checker; False when it is none of theirs."""
