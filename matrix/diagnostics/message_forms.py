r"""Forms of a tool's messages, as a table: what a line looks like, what it makes, and what may follow.

    MessageForm(
        re.compile(r"ERROR: modpost: \"(?P<symbol>[^\"]+)\" \\[(?P<object>[^\\]]+)\\] undefined!"),
        tool="modpost", hint="modpost", follows="notes",
    )

A tool's table is tried row by row, and the first form that fits takes the line. Adding a form is a row here,
and a log in tests/logs that has it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matrix.diagnostics.diagnostic import Severity
from matrix.diagnostics.drafts import DiagnosticDraft, Position
from matrix.diagnostics.internal_error import is_internal_error
from matrix.diagnostics.parser_state import LineReader, ParserState

Makes = Literal["message", "note", "nothing", "consequence", "last words"]
"""A diagnostic; a note of the one before; nothing, as it only repeats or follows from others; a consequence
of the error before it, and a diagnostic where there is none; or then but the last words of a failing command,
for want of better ones."""
Follows = Literal["excerpt", "notes", "paragraph", "spans", "text", "nothing"]
Completion = Callable[[ParserState, re.Match[str], DiagnosticDraft], None]
"""Completes a draft with what the groups of its form alone do not say."""


@dataclass(frozen=True)
class MessageForm:
    """One form of a tool's message.

    ``pattern`` is matched at the line's start. Its groups fill the diagnostic: ``text`` (else the whole line
    is the message), ``kind`` (``warning`` in any case makes a warning; without the group, ``severity``),
    ``file``, ``line``, ``column``, ``object``, ``function``, ``flag``, and ``symbol``, ``symbol2``…; without
    a symbol group, its symbols are the identifiers that the message quotes. ``hint`` is text that each line
    of the form has: it is looked for first, which is cheaper. ``step``: only while such a step of kbuild runs
    (``RUSTC``). ``has_object``: false for a message of the build as a whole, as Kconfig's are. ``summary``:
    it sums up messages that were printed before.

    A note of a ``tool`` belongs to a message of that tool only, and its symbols are added to the message's.
    """

    pattern: re.Pattern[str]
    tool: str = ""
    severity: Severity = "error"
    makes: Makes = "message"
    follows: Follows = "nothing"
    hint: str = ""
    step: tuple[str, ...] = ()
    has_object: bool = True
    summary: bool = False
    complete: Completion | None = None

    def take_match(self, log: ParserState, match: re.Match[str]) -> bool:
        """Take a line of this form, as its pattern matched it; False when it is none after all."""
        if self.step and not log.step.startswith(self.step):
            return False
        if self.makes == "note":
            return self._add_note(log, match)
        if self.makes == "message":
            self._add_message(log, match)
        elif self.makes == "nothing" or follows_from_error(log):
            log.end_continuation()
        elif self.makes == "consequence":
            self._add_message(log, match)
        else:
            log.keep_unread_line(match.string)
        return True

    def _add_note(self, log: ParserState, match: re.Match[str]) -> bool:
        groups, draft = match.groupdict(), log.current_draft
        if self.tool and (draft is None or draft.tool != self.tool):
            return False
        log.add_note((groups.get("text") or match.string).strip(), parse_position(log, groups))
        if draft is not None:
            draft.add_symbols(list_symbols(groups))
        return True

    def _add_message(self, log: ParserState, match: re.Match[str]) -> None:
        groups = match.groupdict()
        symbols = list_symbols(groups)
        draft = DiagnosticDraft(
            parse_severity(groups["kind"]) if groups.get("kind") else self.severity,
            self.tool,
            (groups.get("text") or match[0]).strip(),
            parse_position(log, groups),
            object=log.roots.make_relative(groups["object"]) if groups.get("object") else None,
            flag=groups.get("flag"),
            function=groups.get("function"),
            symbols=symbols or (() if not self.has_object else None),
            continuation=self.follows,
            summary=self.summary,
            printed_file=groups.get("file"),
        )
        if self.complete is not None:
            self.complete(log, match, draft)
        log.add_draft(draft, has_object=self.has_object)


def follows_from_error(log: ParserState) -> bool:
    """Whether a tool's last line is of an error that was read; a crash after one of the source is new."""
    error = log.recipe_error
    if log.crashed and error is not None:
        return error.crashed or error.position.file is None or is_internal_error(error.message)
    return log.has_error


def list_symbols(groups: Mapping[str, str | None]) -> tuple[str, ...]:
    """What the groups ``symbol``, ``symbol2``… of a form found, each once."""
    names = (value for name, value in groups.items() if name.startswith("symbol") and value)
    return tuple(dict.fromkeys(names))


def parse_severity(kind: str | None) -> Severity:
    """The severity that a word in a message stands for; an error without one."""
    return "warning" if kind is not None and kind.lower().startswith("warn") else "error"


def parse_position(log: ParserState, groups: dict[str, str | None]) -> Position:
    """The position of the groups ``file``, ``line`` and ``column``, as far as they are there."""
    file = log.roots.normalize_file(groups["file"] or "") if groups.get("file") else None
    if file is None:
        return Position()
    return Position(
        file, *(int(number) if number else None for number in map(groups.get, ("line", "column")))
    )


def read_forms(forms: Sequence[MessageForm], starts: tuple[str, ...] = ("",)) -> LineReader:
    """A reader of the lines that have one of these forms. All of them begin with one of ``starts``."""
    rows = tuple((form.hint, form.pattern.match, form) for form in forms)
    starts_anyhow = starts == ("",)

    def read_line(log: ParserState, line: str) -> bool:
        if not (starts_anyhow or line.startswith(starts)):
            return False
        # The hint first: nearly all lines of a log have none, and a call for each row takes far longer.
        for hint, match_line, form in rows:
            if hint in line:
                match = match_line(line)
                if match is not None and form.take_match(log, match):
                    return True
        return False

    return read_line
