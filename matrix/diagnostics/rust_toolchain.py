"""What scripts/rust_is_available.sh prints in place of a build: why Rust cannot be used, or may not work.

    ***
    *** Rust compiler 'rustc' is too old.
    ***   Your version:    1.77.0
    ***   Minimum version: 1.78.0
    ***
    *** Please see Documentation/rust/quick-start.rst for details       advice

Its text may take several lines, and the output of a tool that it tried may stand below it.
"""

import re

from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.message_forms import MessageForm, read_forms
from matrix.diagnostics.parser_state import ParserState

_MAX_LENGTH = 1000
_SCRIPT = "rust_is_available.sh"
_HARMLESS = re.compile(r".*\b(?:may not work\b|may be a problem\b|may not$)")


def read_rust_toolchain(log: ParserState, line: str) -> bool:
    """Take a line of the kernel's check of the Rust tools; False when it is none."""
    draft = log.current_draft
    if draft is not None and draft.tool == _SCRIPT and draft.continuation == "text":
        return _read_more(log, draft, line)
    return line.startswith("*** ") and _read_first_line(log, line)


def _judge_banner(draft: DiagnosticDraft) -> None:
    """Set its severity: what may work all the same is a warning."""
    draft.severity = "warning" if _HARMLESS.match(draft.message) else "error"
    draft.continuation = "text"


def _read_more(log: ParserState, draft: DiagnosticDraft, line: str) -> bool:
    """Take more of a banner's text, its versions, and the output of the tool that it shows."""
    awaits = draft.message.endswith("for details:")
    if line.startswith("***   "):
        log.add_note(line[3:].strip())
    elif line.startswith("*** ") and not draft.message.endswith((".", ":", ").")) and not draft.notes:
        if len(draft.message) < _MAX_LENGTH:
            draft.message = f"{draft.message} {line[4:].strip()}"
        _judge_banner(draft)
    elif line.startswith("*** "):
        return False
    elif line.strip() == "***":
        draft.continuation = "text" if awaits and not draft.notes else "nothing"
    elif awaits and not line.startswith(("make", "  ")):
        log.add_note(line.strip())
    else:
        draft.continuation = "nothing"
        return False
    return True


_FORMS = (
    MessageForm(
        re.compile(
            r"\*\*\* (?:Please see Documentation/rust/quick-start|on how to set up the Rust support"
            r"|This script is intended to be called from Kbuild|Please use the 'rustavailable' target"
            r"|Otherwise, the results may not be meaningful)"
        ),
        makes="nothing",
    ),
    MessageForm(
        re.compile(
            r"\*\*\* (?P<text>(?:Rust (?:compiler|bindings generator) '|libclang \(used by the Rust "
            r"|Running '[^']*' to check the |Source code for the '"
            r"|Environment variable '(?:RUSTC|BINDGEN)').*)"
        ),
        tool=_SCRIPT,
        has_object=False,
        complete=lambda _log, _match, draft: _judge_banner(draft),
    ),
)
_read_first_line = read_forms(_FORMS)
