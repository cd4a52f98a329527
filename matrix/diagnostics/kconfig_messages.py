"""What Kconfig prints, in the words of today and of older kernels.

    WARNING: unmet direct dependencies detected for KVM_VFIO
      Depends on [n]: VFIO [=n]
    warning: (A && B) selects C which has unmet direct dependencies (D)        before 4.18
    drivers/a/Kconfig:12: syntax error
    .config:3:warning: symbol value 'x' invalid for FOO
    error: recursive dependency detected!                                      before 6.12 behind a place
        symbol A depends on B

It runs before anything is made, so its messages have no object.
"""

import re

from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState

_PLACE = r"(?P<file>(?:\S*/)?(?:Kconfig[\w.*-]*|[\w.-]*\.config|[\w.-]*defconfig)):(?P<line>[0-9]{1,9}): ?+"
_SYMBOL = re.compile(
    r"(?:symbol:?|invalid for|selected by|depends on) ([A-Z0-9][A-Z0-9_]+)\b"
    r"|(?<!value )'([A-Z0-9][A-Z0-9_]+)'"
)
_LOOP = re.compile(r"\w+")


def _find_symbols(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    names = (name for pair in _SYMBOL.findall(draft.message) for name in pair if name)
    draft.symbols = tuple(dict.fromkeys(names))


def _list_loop(_: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    draft.symbols = tuple(dict.fromkeys(_LOOP.findall(match["loop"])))


_FORMS = (
    MessageForm(
        re.compile(rf"(?:{_PLACE})?\s+(?P<text>(?:symbol|choice) (?:<choice>|(?P<symbol>\w+)) .*)"),
        "kconfig",
        makes="note",
        hint="symbol ",
    ),
    MessageForm(
        re.compile(rf"{_PLACE}(?P<text>\s+.*|location of the .*)"), "kconfig", makes="note", hint="onfig"
    ),
    # It is meant so: a fragment overrides the base.
    MessageForm(
        re.compile(rf"{_PLACE}(?:warning: ?)?override: "), "kconfig", makes="nothing", hint=": override: "
    ),
    MessageForm(
        re.compile(
            r"(?:(?P<file>[^\s:]+):(?P<line>[0-9]{1,9}):)?\s*(?P<kind>error): ?"
            r"(?P<text>recursive dependency detected!)"
        ),
        "kconfig",
        follows="notes",
        hint="recursive dependency detected!",
        has_object=False,
    ),
    MessageForm(
        re.compile(r"(?P<kind>error): (?P<text>found recursive dependency: (?P<loop>.*))"),
        "kconfig",
        hint="found recursive dependency",
        has_object=False,
        complete=_list_loop,
    ),
    MessageForm(
        re.compile(r"WARNING: (?P<text>unmet direct dependencies detected for (?P<symbol>\S+))"),
        "kconfig",
        severity="warning",
        follows="notes",
        hint="unmet direct dependencies",
        has_object=False,
    ),
    MessageForm(
        re.compile(
            r"warning: (?P<text>\(.*\) selects (?P<symbol>\w+) which has unmet direct dependencies \(.*)"
        ),
        "kconfig",
        severity="warning",
        hint="unmet direct dependencies",
        has_object=False,
    ),
    MessageForm(
        re.compile(r"(?P<kind>error): (?P<text>no value for new symbol '(?P<symbol>\w+)' at end of input)"),
        "kconfig",
        hint="no value for new symbol",
        has_object=False,
    ),
    MessageForm(
        re.compile(r"Recursive inclusion detected\.$"),
        "kconfig",
        follows="paragraph",
        hint="Recursive inclusion",
        has_object=False,
    ),
    MessageForm(
        re.compile(r"can't find file (?P<file>\S*Kconfig\S*)$"),
        "kconfig",
        hint="can't find file",
        has_object=False,
    ),
    MessageForm(
        re.compile(rf"{_PLACE}(?:(?P<kind>warning|error): ?)?(?P<text>.+)"),
        "kconfig",
        hint="onfig",
        has_object=False,
        complete=_find_symbols,
    ),
)

read_kconfig = read_forms(_FORMS)
"""Take a line of Kconfig; False when it is none."""
