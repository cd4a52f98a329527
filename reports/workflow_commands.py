"""Commands of GitHub's workflows: annotations, at most as many as are shown, and how to keep text from being
one.

A line that begins with ``::``, blanks before it or not, is a command to GitHub's runner, and so is
``##[`` anywhere. A message is escaped as its toolkit does that, so that it cannot end its line or its
property: a command that a log smuggles in is text.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console

from matrix.foreign_text import clean_text, replace_controls
from reports.formatting import format_count
from reports.limits import ANNOTATIONS

_DATA_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY_ESCAPES = {**_DATA_ESCAPES, ":": "%3A", ",": "%2C"}
AnnotationKind = Literal["error", "warning", "notice"]


@dataclass(frozen=True)
class Annotation:
    """A message of a workflow; ``file`` is relative to the repository, and of no line without it."""

    kind: AnnotationKind
    title: str
    lines: Sequence[str]
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """``::error file=a.c,line=3::message``."""
        # A line or column without a file would be one of the workflow's own file.
        place = {"file": self.file, "line": self.line, "col": self.column} if self.file else {}
        known = {name: str(value) for name, value in place.items() if value is not None}
        return _format_command(self.kind, {**known, "title": self.title}, self.lines)


@dataclass
class AnnotationLimit:
    """Counts what one step of a workflow has: GitHub shows the first ten of each kind, and drops the rest."""

    _shown: Counter[str] = field(default_factory=Counter)

    def select(self, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
        """Those that are still shown; then how many are not, as a notice."""
        hidden: Counter[str] = Counter()
        for each in annotations:
            # The last notice is for what is not shown.
            room = ANNOTATIONS - (each.kind == "notice")
            if self._shown[each.kind] < room:
                self._shown[each.kind] += 1
                yield each
            else:
                hidden[each.kind] += 1
        if hidden and self._shown["notice"] < ANNOTATIONS:
            self._shown["notice"] += 1
            words = " and ".join(format_count(count, f"more {kind}") for kind, count in hidden.items())
            yield Annotation("notice", "not all are shown", [f"and {words}, in the report"])


def _format_command(command: str, properties: Mapping[str, str], lines: Iterable[str]) -> str:
    words = ",".join(
        f"{name}={_escape(replace_controls(value), _PROPERTY_ESCAPES)}" for name, value in properties.items()
    )
    message = "\n".join(clean_text(line) for line in lines)
    return f"::{command} {words}::{_escape(message, _DATA_ESCAPES)}"


def _escape(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)


@contextmanager
def stop_commands(console: Console) -> Iterator[None]:
    """While the ``with`` block runs, nothing that the console prints is a command to GitHub's runner."""
    token = secrets.token_hex(16)
    console.file.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        console.file.write(f"::{token}::\n")
