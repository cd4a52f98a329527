"""What rustc, clippy, rustdoc and bindgen print.

    error[E0425]: cannot find function `skb_new` in module `bindings`
      --> /src/rust/kernel/skb.rs:11:24
       |
    11 |     unsafe { bindings::skb_new(4) }
       |                        ^^^^^^^ not found in `bindings`
       = note: `#[warn(unused_imports)]` on by default
    help: consider importing it
    error: aborting due to 1 previous error         follows from the others

A message looks like gcc's driver's until its ``-->`` comes: then it is rustc's, whichever step runs.
"""

import posixpath
import re

from matrix.diagnostics.drafts import MAX_MESSAGE_PARTS, DiagnosticDraft, Position, Quotation
from matrix.diagnostics.message_forms import MessageForm, parse_position, read_forms
from matrix.diagnostics.parser_state import ParserState

_STEPS = ("RUSTC", "CLIPPY", "RUSTDOC", "HOSTRUSTC")
_ARROW = re.compile(r"\s*(?P<kind>-->|:::) (?P<file>[^\s:][^:]*):(?P<line>[0-9]{1,9}):(?P<column>[0-9]{1,9})")
_SOURCE = re.compile(r"\s*(?:[0-9]+ +)?(?:\||[+~-] )|\.\.\.")
_EMPTY_MARGIN = re.compile(r"[\s|]*$|\.\.\.$")
_NOTE = re.compile(r"\s*= (?:note|help|warning): (?P<text>.+)")
_OWN_NOTE = re.compile(r"(?:note|help)(?:: (?P<text>.+)|$)")
_LINT = re.compile(
    r"`(?:#!?\[(?P<attribute>warn|deny|forbid)\(|-(?P<option>[WDF]) )(?P<name>[\w:-]+)(?:\)\])?`"
    r"(?P<default> \(part of `[^`]*`\) on by default| on by default)?"
)
_LINT_ATTRIBUTE = re.compile(r"#!?\[(?P<attribute>warn|deny|forbid)\(")
_LINT_NAME = re.compile(r"[\w:]+")
_BACKTICKED = re.compile(r"`([^`]*)`")
_LIST = re.compile(r"`[^`]*`(?:(?:,| and|, and) `[^`]*`)*+")
_PATH = re.compile(r"(?<![\w#:'])[A-Za-z_]\w*+(?!#)(?:::[A-Za-z_]\w*+)*+")
_NO_SYMBOLS = frozenset(
    word
    for words in (
        "as async await bool break char const continue crate dyn else enum extern f32 f64 false fn for",
        "i8 i16 i32 i64 i128 if impl in isize let loop match mod move mut never pub ref return self Self",
        "static str struct super trait true type u8 u16 u32 u64 u128 union unsafe use usize where while",
    )
    for word in words.split()
)


def find_rust_symbols(message: str) -> tuple[str, ...]:
    """The names that a message of rustc has in backticks: paths (``kernel::sync``) whole, no keywords."""
    quoted = (name for text in _BACKTICKED.findall(message) for name in _PATH.findall(text))
    return tuple(dict.fromkeys(name for name in quoted if name not in _NO_SYMBOLS))


def read_rust(log: ParserState, line: str) -> bool:
    """Take a line of rustc, clippy, rustdoc or bindgen; False when it is none."""
    draft = log.current_draft
    if draft is not None:
        if draft.continuation == "text":
            _add_panic_text(draft, line)
            return True
        if "-->" in line and (arrow := _ARROW.match(line)) and _place_message(log, draft, arrow):
            return True
        if draft.continuation == "spans" and _read_span_line(log, draft, line):
            return True
    return _read_message(log, line)


def _add_panic_text(draft: DiagnosticDraft, line: str) -> None:
    draft.notes.append(draft.message)
    draft.message, draft.continuation = line.strip(), "nothing"


def _place_message(log: ParserState, draft: DiagnosticDraft, arrow: re.Match[str]) -> bool:
    """Take the position of a message, or of its last note. It shows whose the message is."""
    if draft.tool != "rustc" and (draft.tool not in ("", "make") or draft.position.file is not None):
        return False
    position = parse_position(log, arrow.groupdict())
    if draft.position.file is not None or draft.notes:
        _add_quotation(log, draft, arrow)
        return True
    draft.position = position
    if draft.tool != "rustc":
        _take_as_rust(draft)
    if not log.step.startswith(_STEPS) and position.file is not None:
        draft.object = log.find_object_of_crate(position.file) or draft.object
    return True


def _take_as_rust(draft: DiagnosticDraft) -> None:
    draft.tool, draft.continuation, draft.excerpt = "rustc", "spans", []
    draft.symbols = find_rust_symbols(draft.message)


def _add_quotation(log: ParserState, draft: DiagnosticDraft, arrow: re.Match[str]) -> None:
    position = parse_position(log, arrow.groupdict())
    if position.file is None or len(draft.quotations) >= MAX_MESSAGE_PARTS:
        return
    is_note = arrow["kind"] == "-->" and draft.notes
    text = draft.notes[-1] if is_note else ""
    if is_note:
        draft.notes[-1] = position.format_note(text)
    log.quotation = Quotation(position.file, position.line, text)
    draft.quotations.append(log.quotation)


def _read_span_line(log: ParserState, draft: DiagnosticDraft, line: str) -> bool:
    if ":::" in line and (arrow := _ARROW.match(line)):
        _add_quotation(log, draft, arrow)
    elif note := (_NOTE.match(line) or _OWN_NOTE.match(line)):
        log.add_note(note["text"] or "")
        _note_lint(log, draft, note["text"] or "")
    elif _SOURCE.match(line):
        _add_source_line(log, draft, line)
    elif line[:1].isspace() and draft.notes and log.quotation is None:
        if len(draft.notes[-1]) < _MAX_NOTE_LENGTH:
            draft.notes[-1] = f"{draft.notes[-1]} {line.strip()}"
    else:
        return False
    return True


_MAX_NOTE_LENGTH = 4096


def _add_source_line(log: ParserState, draft: DiagnosticDraft, line: str) -> None:
    """Keep a quoted line of source, or its carets. A suggestion quotes what is not there, and is dropped."""
    if _EMPTY_MARGIN.match(line):
        return
    if log.quotation is None:
        quoted = draft.excerpt if not draft.notes else []
    else:
        quoted = log.quotation.lines
        if log.quotation.text == "the lint level is defined here":
            _note_lint_attribute(log, draft, line)
    if len(quoted) < MAX_MESSAGE_PARTS:
        quoted.append(line)


def _note_lint(log: ParserState, draft: DiagnosticDraft, text: str) -> None:
    if lint := _LINT.match(text):
        is_denied = lint["option"] in ("D", "F") or lint["attribute"] in ("deny", "forbid")
        _set_lint(log, draft, lint["name"].replace("-", "_"), promoted=is_denied and not lint["default"])
    elif "requested on the command line with `-" in text and (lint := _LINT.search(text)):
        _set_lint(log, draft, lint["name"].replace("-", "_"), promoted=lint["option"] in ("D", "F"))


def _note_lint_attribute(log: ParserState, draft: DiagnosticDraft, line: str) -> None:
    """The first lint of an attribute in the source; what the caret points at is seldom another."""
    if attribute := _LINT_ATTRIBUTE.search(line):
        name = _LINT_NAME.match(line, attribute.end())
        if name is not None:
            _set_lint(log, draft, name[0], promoted=attribute["attribute"] != "warn")


def _set_lint(log: ParserState, draft: DiagnosticDraft, name: str, *, promoted: bool) -> None:
    draft.flag, draft.promoted = name, promoted and draft.severity == "error"
    log.lint_by_shape[_get_shape(draft.message)] = (name, promoted)


def _get_shape(message: str) -> str:
    """A lint's message without names. rustc tells only with the first of a kind which lint it is."""
    return re.sub(r"s\b", "", _LIST.sub("_", message))


def _complete_message(log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    draft.symbols = find_rust_symbols(draft.message)
    if draft.flag is None and (known := log.lint_by_shape.get(_get_shape(draft.message))):
        draft.flag, promoted = known
        draft.promoted = promoted and draft.severity == "error"


def _complete_panic(log: ParserState, match: re.Match[str], draft: DiagnosticDraft) -> None:
    """Name the program that panicked. rustc never does but for a fault of its own."""
    draft.symbols = ()
    draft.broke = match["thread"] == "rustc"
    if match["text"]:
        draft.continuation = "nothing"
    if draft.broke:
        draft.tool = "rustc"
    elif not log.step.startswith("BINDGEN"):
        file, line = (match["source"] or match["old_source"]).split(":")[:2]
        draft.tool = posixpath.splitext(posixpath.basename(file))[0]
        draft.position = Position(log.roots.normalize_file(file), int(line))
        draft.object = log.object


def _complete_internal_error(_log: ParserState, _match: re.Match[str], draft: DiagnosticDraft) -> None:
    draft.broke, draft.symbols = True, ()


_TEXT = r"(?P<text>.+)"
_FORMS = (
    MessageForm(
        re.compile(
            r"error: (?P<text>aborting due to .+|could not compile `.+|the compiler unexpectedly panicked.*"
            r"|process didn't exit successfully.*)"
        ),
        tool="rustc",
        makes="consequence",
        hint="error: ",
    ),
    MessageForm(
        re.compile(
            r"warning: (?:[0-9]+ warnings? emitted$|build failed, waiting|`[^`]*` \([^()]*\) generated )"
            r"|For more information about (?:this|an) error, try `rustc"
            r"|note: run with `RUST_BACKTRACE=|Some errors have detailed explanations"
            r"|note: (?:the compiler unexpectedly|we would appreciate a bug"
            r"|rustc [0-9]|compiler flags: |some of the compiler flags|please make sure that|using internal)"
        ),
        makes="nothing",
    ),
    MessageForm(
        re.compile(r"error: (?P<text>(?:internal compiler error: |rustc interrupted by SIG).+)"),
        tool="rustc",
        follows="spans",
        hint="error: ",
        complete=_complete_internal_error,
    ),
    MessageForm(
        re.compile(rf"(?P<kind>error)\[(?P<flag>E[0-9]{{4}})\]: {_TEXT}"),
        tool="rustc",
        follows="spans",
        hint="error[E",
        complete=_complete_message,
    ),
    MessageForm(
        # A number alone is a count, of whatever ran beside it.
        re.compile(rf"(?P<kind>error|warning): (?![0-9]+$){_TEXT}"),
        tool="rustc",
        follows="spans",
        hint=": ",
        step=_STEPS,
        complete=_complete_message,
    ),
    MessageForm(
        re.compile(
            r"(?:thread '[^']*' [^']*panicked at '|called `Result::unwrap\(\)` on an `Err` value: |Unable to "
            r"generate bindings: |panicked at ).*(?:ClangDiagnostic\(|clang diagnosed error: )"
        ),
        tool="bindgen",
        makes="consequence",
    ),
    MessageForm(
        re.compile(
            r"thread '(?P<thread>[^']+)' (?:\([0-9]+\) )?panicked at "
            r"(?:'(?P<text>.*)', (?P<old_source>[^\s:']+:[0-9]{1,9}):[0-9]+|(?P<source>[^\s:']+:[0-9]{1,9}):"
            r"[0-9]+:)$"
        ),
        tool="bindgen",
        makes="consequence",
        follows="text",
        hint="panicked at ",
        complete=_complete_panic,
    ),
    MessageForm(
        re.compile(rf"(?:Unable to generate bindings: |[Ee]rror: ){_TEXT}"), tool="bindgen", step=("BINDGEN",)
    ),
)
_read_message = read_forms(_FORMS)
