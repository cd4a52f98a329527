"""One Kconfig file, statement by statement: the symbols that it defines and the files that it sources. Pure.

This reads the language as far as definitions go; it expands no macros and computes no values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from matrix.errors import RequestError
from matrix.kconfig.expressions import find_macro_end

SymbolType = Literal["bool", "tristate", "string", "int", "hex"]
Selection = tuple[str, str | None]
"""A symbol that is selected or implied, and the condition after ``if``."""

_BLOCK_ENDS = {"endif", "endmenu", "endchoice"}
_ENTRY_STARTS = {"config", "menuconfig", "menu", "choice", "comment", "if", "source"}
_TYPES = {"bool", "tristate", "string", "int", "hex"}
_TYPED_DEFAULTS = {"def_bool": "bool", "def_tristate": "tristate"}
_HELP = {"help", "---help---"}
# Linux 6.12 has no more than 409 definitions and 514 conditions in a file, nested a few deep.
_MAX_BLOCKS = 100
_MAX_DEFINITIONS = 50_000
_MAX_CONDITIONS = 500_000
_FIRST_WORD = re.compile(r"\s*+(---help---|[a-z_]++)(?![\w-])\s*+")
_QUOTED = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"?|'(?:[^'\\]++|\\.)*+'?")
_PROMPT = re.compile(r"(?:\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+')\s*+(?:if\b(.*))?")
_TARGET = re.compile(r"([A-Za-z0-9_-]+)\s*(?:if\b(.*))?")


@dataclass(frozen=True)
class Definition:
    """One ``config`` or ``menuconfig`` entry of a symbol; a symbol can have several.

    ``depends`` holds each ``depends on`` of the entry, then those of the ``if``, ``menu`` and ``choice``
    blocks around it, from the inside out, across the files that source one another: all must hold.
    ``prompt_if`` is the condition of the prompt, where it has one. ``line`` is that of the entry in ``file``.
    """

    name: str
    type: SymbolType | None = None
    prompt: bool = False
    depends: tuple[str, ...] = ()
    selects: tuple[Selection, ...] = ()
    implies: tuple[Selection, ...] = ()
    file: str = ""
    line: int = 0
    prompt_if: str | None = None


class SourceStatement(NamedTuple):
    """A ``source`` statement: the path as written, and what must hold where it stands."""

    path: str
    depends: tuple[str, ...]


class KconfigFile(NamedTuple):
    """What one file defines, and what it sources."""

    definitions: tuple[Definition, ...]
    sources: tuple[SourceStatement, ...]


class Statement(NamedTuple):
    """A keyword, the rest of its line (comment gone, continued lines joined), and the line's number."""

    keyword: str
    rest: str
    line: int


def split_statements(text: str) -> Iterator[Statement]:
    """The statements of a Kconfig file in order, help texts left out."""
    lines = iter(enumerate(text.split("\n"), 1))
    pending: tuple[int, str] | None = None
    while (numbered := pending or next(lines, None)) is not None:
        pending = None
        number, line = numbered
        match = _FIRST_WORD.match(line)
        if match is None:
            continue
        line = _join_continued_lines(line, lines)
        yield Statement(match[1], _strip_comment(line[match.end() :]).strip(), number)
        if match[1] in _HELP:
            pending = _skip_help(lines)


def _join_continued_lines(line: str, lines: Iterator[tuple[int, str]]) -> str:
    parts = [line]
    while parts[-1].endswith("\\") and (more := next(lines, None)):
        parts[-1] = parts[-1][:-1]
        parts.append(more[1])
    return " ".join(parts)


def _skip_help(lines: Iterator[tuple[int, str]]) -> tuple[int, str] | None:
    """Skip a help text; return the line after it, the first that is indented less than the text's first."""
    least = 1
    for number, line in lines:
        if not line or line.isspace():
            continue
        depth = _measure_indentation(line)
        if depth < least:
            return number, line
        if least == 1:
            least = depth
    return None


def _measure_indentation(line: str) -> int:
    if not line[0].isspace():
        return 0
    wide = line.expandtabs(8)
    return len(wide) - len(wide.lstrip())


def _strip_comment(text: str) -> str:
    """Without a ``#`` comment; in a string or a macro, ``#`` starts none."""
    if "#" not in text:
        return text
    at = 0
    while at < len(text) and text[at] != "#":
        if text.startswith("$(", at):
            at = find_macro_end(text, at)
        elif match := _QUOTED.match(text, at):
            at = match.end()
        else:
            at += 1
    return text[:at]


@dataclass
class _Entry:
    """An entry while its lines are read. A menu, choice or comment is an entry with no symbol."""

    name: str
    line: int
    type: SymbolType | None = None
    prompt: bool = False
    prompt_if: str | None = None
    depends: list[str] = field(default_factory=list)
    selects: list[Selection] = field(default_factory=list)
    implies: list[Selection] = field(default_factory=list)


def parse_kconfig_file(path: str, text: str) -> KconfigFile:
    """What a Kconfig file defines and sources; text that is no Kconfig gives little or nothing.

    RequestError where its blocks are nested too deep, or it defines more than any kernel's file.
    """
    parser = _KconfigFileParser(path)
    for statement in split_statements(text):
        parser.read_statement(statement)
    return parser.finish_file()


class _KconfigFileParser:
    """Follows the blocks of one file. Statements that define nothing are skipped."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._entry = _Entry("", 0)
        # Shared with the block's own entry: a menu's `depends on` lines follow the line that opens it.
        self._blocks: list[list[str]] = []
        self._definitions: list[Definition] = []
        self._sources: list[SourceStatement] = []
        self._condition_count = 0

    def read_statement(self, statement: Statement) -> None:
        keyword, rest, _ = statement
        if keyword in _ENTRY_STARTS or keyword in _BLOCK_ENDS:
            self._start_entry(statement)
        elif keyword == "depends":
            self._entry.depends.append(rest.removeprefix("on").strip())
        elif keyword in {"select", "imply"} and (match := _TARGET.match(rest)):
            selections = self._entry.selects if keyword == "select" else self._entry.implies
            selections.append((match[1], _strip_condition(match[2])))
        elif keyword in _TYPED_DEFAULTS:
            self._entry.type = cast("SymbolType", _TYPED_DEFAULTS[keyword])
        elif keyword in _TYPES or keyword == "prompt":
            self._read_type(keyword, rest)

    def finish_file(self) -> KconfigFile:
        self._close_entry()
        return KconfigFile(tuple(self._definitions), tuple(self._sources))

    def _start_entry(self, statement: Statement) -> None:
        """End the entry before this statement; start one, and open or close a block."""
        keyword, rest, line = statement
        self._close_entry()
        self._entry = _Entry(rest if keyword in {"config", "menuconfig"} else "", line)
        if keyword == "if":
            self._blocks.append([rest])
        elif keyword in {"menu", "choice"}:
            self._blocks.append(self._entry.depends)
        elif keyword == "source":
            self._sources.append(SourceStatement(rest.strip("\"'"), self._list_enclosing_conditions()))
        elif keyword in _BLOCK_ENDS and self._blocks:
            self._blocks.pop()
        if len(self._blocks) > _MAX_BLOCKS:
            raise self._build_bound_error(f"{_MAX_BLOCKS} blocks in one another")

    def _read_type(self, keyword: str, rest: str) -> None:
        entry = self._entry
        if keyword in _TYPES:
            entry.type = cast("SymbolType", keyword)
        if match := _PROMPT.match(rest):
            entry.prompt, entry.prompt_if = True, _strip_condition(match[1])

    def _list_enclosing_conditions(self) -> tuple[str, ...]:
        """The conditions of the blocks around, from the inside out."""
        conditions = tuple(condition for block in reversed(self._blocks) for condition in block)
        self._condition_count += len(conditions)
        if self._condition_count > _MAX_CONDITIONS:
            raise self._build_bound_error(f"{_MAX_CONDITIONS} conditions")
        return conditions

    def _build_bound_error(self, bound: str) -> RequestError:
        return RequestError(f"{self._path!r} has more than {bound}, so it is not read")

    def _close_entry(self) -> None:
        entry = self._entry
        if not entry.name:
            return
        if len(self._definitions) == _MAX_DEFINITIONS:
            raise self._build_bound_error(f"{_MAX_DEFINITIONS} definitions")
        self._definitions.append(
            Definition(
                name=entry.name,
                type=entry.type,
                prompt=entry.prompt,
                depends=(*entry.depends, *self._list_enclosing_conditions()),
                selects=tuple(entry.selects),
                implies=tuple(entry.implies),
                file=self._path,
                line=entry.line,
                prompt_if=entry.prompt_if,
            )
        )


def _strip_condition(condition: str | None) -> str | None:
    return condition.strip() if condition else None
