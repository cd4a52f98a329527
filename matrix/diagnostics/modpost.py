"""What modpost prints, in the words of today and of older kernels.

ERROR: modpost: "symbol" [drivers/a.ko] undefined!          before 5.8 without `modpost: `
WARNING: modpost: drivers/a: section mismatch in reference: f+0x10 (section: .text) -> g (section: .init)
WARNING: vmlinux.o(.text+0x1): Section mismatch in reference from the function f() to the function …:g()
The function f() references                                 a paragraph, up to an empty line
ERROR: modpost: Section mismatches detected.
Set CONFIG_SECTION_MISMATCH_WARN_ONLY=y to allow them.
"""

import posixpath
import re

from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState

_STARTS = ("ERROR: ", "WARNING: ", "FATAL: ")
_KIND = r"(?P<kind>ERROR|WARNING|FATAL): "
_NAME = r"[A-Za-z_$][\w.$]*+"
_OBJECT = r"(?P<object>[^\s(:]+)(?:\([^()]*\))?"


def _complete_object(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    """modpost calls a module by its path without a suffix, and vmlinux by its name."""
    name = draft.object or ""
    draft.object = name if posixpath.splitext(name)[1] or name == "vmlinux" else f"{name}.o"


def _find_module(log: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Of a module that is called by its last name, the object; where the log shows where it lies."""
    name = match["module"].removesuffix(".ko")
    made = log.find_made_object(name)
    draft.object = f"{posixpath.splitext(made)[0]}.ko" if made else None


def _compile(text: str, head: str = f"{_KIND}(?:modpost: )?") -> re.Pattern[str]:
    return re.compile(f"{head}(?P<text>{text})")


_FORMS = (
    MessageForm(
        _compile(
            rf"{_OBJECT}: [Ss]ection mismatch in reference: "
            rf"(?:(?P<symbol1>(?P<function>{_NAME})(?=\S* \(section: [^()\s]*text)|{_NAME}))?\S* \([^()]*\)"
            rf" -> (?P<symbol2>{_NAME})?.*"
        ),
        "modpost",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(
            rf"{_OBJECT}: Section mismatch in reference from (?:the )?(?:(?:function )?"
            rf"(?P<symbol1>(?P<function>{_NAME}))\(\)|variable (?P<symbol0>{_NAME})"
            r"|\(unknown reference\) \S*) to (?:the )?(?:function |variable |\(unknown reference\) )?"
            rf"(?:[^\s:]*:)?(?P<symbol2>{_NAME})?.*"
        ),
        "modpost",
        follows="paragraph",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(
            r"(?:EXPORT symbol |too long symbol )?"
            r"\"(?P<symbol>[^\"\s]+)\" \[(?P<object>[^\]\s]+)\](?: .*|$)"
        ),
        "modpost",
        follows="paragraph",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(r"module (?P<module>\S+) uses symbol (?P<symbol>\S+) from namespace .*"),
        "modpost",
        complete=_find_module,
    ),
    MessageForm(
        _compile(
            r"GPL-incompatible module (?P<module>\S+) uses (?:GPL-only )?symbol (?:marked [^']*)?"
            r"'(?P<symbol>[^'\s]+)'.*"
        ),
        "modpost",
        complete=_find_module,
    ),
    MessageForm(
        _compile(r"missing MODULE_\w+\(\) in (?P<object>\S+)"),
        "modpost",
        follows="paragraph",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(
            r"(?P<object>[^\s:]+): (?:local symbol )?'(?P<symbol>[^'\s]+)' "
            r"(?:exported twice|was exported).*"
        ),
        "modpost",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(r"(?P<object>[^\s:]+): (?P<symbol>\S+): EXPORT_SYMBOL used for .*"),
        "modpost",
        complete=_complete_object,
    ),
    MessageForm(
        _compile(
            r"(?P<object>[^\s:]+): (?:\.export_symbol section |unknown license '[^']*' was specified for )"
            r"[^']*'(?P<symbol>[^'\s]+)'.*"
        ),
        "modpost",
        complete=_complete_object,
    ),
    MessageForm(_compile(r"Section mismatches detected\..*"), "modpost", summary=True, follows="paragraph"),
    MessageForm(_compile(r"suppressed [0-9]+ unresolved symbol warnings .*"), "modpost", summary=True),
    MessageForm(
        _compile(r"(?:Symbol version dump |\S*(?:vmlinux\.o|Module\.symvers) is missing).*"),
        "modpost",
        follows="notes",
    ),
    MessageForm(
        _compile(r"(?:The relocation at|Found [0-9]+ section mismatch).*", f"{_KIND}modpost: "),
        "modpost",
        follows="paragraph",
    ),
    MessageForm(_compile(r".*\[(?P<object>[^\s\[\]]+\.ko)\].*"), "modpost", follows="notes"),
    MessageForm(_compile(r".+", f"{_KIND}modpost: "), "modpost", follows="notes"),
)

read_modpost = read_forms(_FORMS, _STARTS)
"""Take a line of modpost; False when it is none."""
