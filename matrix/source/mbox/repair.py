"""Patches that mailers, web pages and terminals have damaged: what may have been meant, and what is wrong.

Nothing is decided here. A patch is tried as it is first, then each reading in its order, always without fuzz:
what does not match the tree exactly is not taken. So a reading may guess at context and at removed lines, and
never at an added one.
"""

import html
import quopri
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HUNK_HEADER = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEADER_START = re.compile(rb"diff -|--- \S|\+\+\+ \S|Index: |@@ |index [0-9a-f]{4}|From [0-9a-f]{40} |-- ?$")
_DIFF_START = re.compile(rb"^([>| \t]*+)(?:diff --git a/|--- (?:a/|/dev/null))", re.MULTILINE)
_SPACES_FOR_TABS = re.compile(rb"^[ +-] {8}", re.MULTILINE)
_MAX_LOST_LINES = 3
# Decoded only: other entities are no part of C.
_ENTITIES = re.compile(rb"&(?:lt|gt|amp|quot|apos|nbsp|#39|#34|#x27);")


@dataclass(frozen=True)
class Repair:
    """A reading of a damaged patch, and what was done to get it (``2 wrapped lines joined``)."""

    content: bytes
    words: str


def format_repair_note(name: str, words: str) -> str:
    """A sentence on a patch that is taken in another form than it came in."""
    return f"The patch {name} was damaged on its way, and is repaired: {words}."


class _DamageError(Exception):
    """A hunk that cannot be read; the words say where and why."""


def expose_diff(content: bytes) -> Repair | None:
    """A diff that is quoted, or indented as a whole, without that; None where it is none."""
    start = _DIFF_START.search(content)
    if start is None or not start[1]:
        return None
    sign = start[1]
    # Where nothing follows, a mailer leaves out the space after the sign.
    lines = (b"" if line == sign.rstrip() else line.removeprefix(sign) for line in content.split(b"\n"))
    words = "its quotation signs were removed" if sign.strip() else "its indentation was removed"
    return Repair(b"\n".join(lines), words)


def list_repairs(content: bytes) -> tuple[Repair, ...]:
    """The readings of a patch in the order in which they are to be tried, without the patch as it is."""
    repairs: dict[bytes, Repair] = {}
    for words, change in _CHANGES:
        changed = change(content)
        if words and changed == content:
            continue
        try:
            mended, notes = _mend_hunks(changed)
        except _DamageError:
            continue
        done = "; ".join(filter(None, (words, *notes))) or "its last line end was restored"
        if mended != content:
            repairs.setdefault(mended, Repair(mended, done))
    return tuple(repairs.values())


def list_whole_hunks(content: bytes) -> tuple[bytes, ...]:
    """The patch with its hunks made whole, where that can be done and changes something."""
    try:
        mended, _ = _mend_hunks(content)
    except _DamageError:
        return ()
    return (mended,) if mended != content else ()


def describe_damage(content: bytes) -> str:
    """What is wrong with a patch that no reading of it mends; empty where nothing is seen to be."""
    try:
        _, notes = _mend_hunks(content)
    except _DamageError as damage:
        return str(damage)
    if notes:
        return f"with {', '.join(notes)}, it does not apply either"
    hunks = b"\n".join(_list_hunk_lines(content))
    if b"\t" not in hunks and _SPACES_FOR_TABS.search(hunks):
        return "its tabs have become spaces, which nothing can undo"
    return ""


def _mend_hunks(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The patch with whole hunks, and what was done; _DamageError when a hunk cannot be made whole."""
    mender = _HunkMender(content.removesuffix(b"\n").split(b"\n"))
    mender.mend_all()
    notes = [f"{count} {words}" for words, count in mender.counts.items()]
    return b"\n".join(mender.out) + b"\n", tuple(notes)


class _HunkMender:
    """Reads a patch line by line; ``out`` are the mended lines, ``counts`` what was done, and how often."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines, self.position = lines, 0
        self.out: list[bytes] = []
        self.counts: dict[str, int] = {}

    def mend_all(self) -> None:
        while self.position < len(self.lines):
            line = self._take_line()
            self.out.append(line)
            if header := HUNK_HEADER.match(line):
                self._mend_hunk(int(header[1] or 1), int(header[2] or 1))

    def _mend_hunk(self, old: int, new: int) -> None:
        start = len(self.out)
        while old > 0 or new > 0:
            if self._is_at_end(old, new):
                self._restore_blank_lines(old, new)
                return
            line = self._take_line()
            if line[:1] in (b" ", b"+", b"-", b"\t", b""):
                line = self._restore_first_space(line)
                old -= line[:1] != b"+"
                new -= line[:1] != b"-"
                self.out.append(line)
            elif line[:1] == b"\\":
                self.out.append(line)
            else:
                self._join_wrapped_line(line, first=len(self.out) == start)
        if old < 0 or new < 0:
            raise _DamageError(f"line {self.position}: the hunk has other lines than its header says")

    def _is_at_end(self, old: int, new: int) -> bool:
        if self.position >= len(self.lines):
            return True
        line = self.lines[self.position]
        if line.startswith((b"--- ", b"-- ")) or line == b"--":
            # A removed line may look like that; at the end of a hunk it has no removed line left.
            return old == new and self._is_only_blank_left(old)
        return bool(_HEADER_START.match(line)) and not line.startswith((b"+", b"-"))

    def _is_only_blank_left(self, count: int) -> bool:
        return count <= _MAX_LOST_LINES and not any(
            rest[:1] in (b" ", b"-") and not _HEADER_START.match(rest)
            for rest in self.lines[self.position : self.position + count + 2]
        )

    def _restore_blank_lines(self, old: int, new: int) -> None:
        if old != new or old > _MAX_LOST_LINES:
            raise _DamageError(
                f"line {self.position}: the hunk ends too early, {max(old, new)} of its lines are missing"
            )
        self.out += [b" "] * old
        self._count("blank lines at a hunk's end restored", old)

    def _restore_first_space(self, line: bytes) -> bytes:
        if not line.startswith(b"\t"):
            # git takes an empty line for an empty line of context.
            return line
        self._count("first spaces of a line restored")
        return b" " + line

    def _join_wrapped_line(self, line: bytes, *, first: bool) -> None:
        if first:
            # The rest of the function's name that diff writes behind the header: it means nothing.
            self._count("wrapped hunk headers cut")
            return
        if self.out[-1].startswith(b"+"):
            raise _DamageError(f"line {self.position}: a mailer has wrapped a long line that the patch adds")
        glue = b"" if self.out[-1].endswith(b" ") else b" "
        self.out[-1] += glue + line
        self._count("wrapped lines joined")

    def _take_line(self) -> bytes:
        self.position += 1
        return self.lines[self.position - 1]

    def _count(self, words: str, times: int = 1) -> None:
        self.counts[words] = self.counts.get(words, 0) + times


def _list_hunk_lines(content: bytes) -> Iterator[bytes]:
    inside = False
    for line in content.split(b"\n"):
        inside = bool(HUNK_HEADER.match(line)) or (inside and line[:1] in (b" ", b"+", b"-"))
        if inside and not line.startswith(b"@@"):
            yield line


def _strip_carriage_returns(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _decode_entities(content: bytes) -> bytes:
    return _ENTITIES.sub(lambda match: html.unescape(match[0].decode()).encode(), content)


def _replace_hard_spaces(content: bytes) -> bytes:
    return content.replace(b"\xc2\xa0", b" ")


def _decode_page(content: bytes) -> bytes:
    return _replace_hard_spaces(_decode_entities(content))


def _decode_quoted_printable(content: bytes) -> bytes:
    return quopri.decodestring(content) if re.search(rb"=(?:[0-9A-F]{2}|\r?\n)", content) else content


def _unstuff(content: bytes) -> bytes:
    """RFC 3676: a line that began with a space was given another one."""
    return b"\n".join(line.removeprefix(b" ") for line in content.split(b"\n"))


def _unflow(*, keep_space: bool) -> Callable[[bytes], bytes]:
    """RFC 3676: a line that ends with a space goes on in the next one; the space may have been added."""

    def unflow(content: bytes) -> bytes:
        out: list[bytes] = []
        flowing = False
        for line in content.split(b"\n"):
            text = line.removeprefix(b" ")
            soft = text.endswith(b" ") and text.strip() not in (b"", b"--")
            text = text[:-1] if soft and not keep_space else text
            if flowing:
                out[-1] += text
            else:
                out.append(text)
            flowing = soft
        return b"\n".join(out)

    return unflow


# One after the other, the plain ones first. Each is of what was read.
_CHANGES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("", lambda content: content),
    ("its line ends were CRLF", _strip_carriage_returns),
    ("HTML's entities were decoded", _decode_entities),
    ("its hard spaces were replaced", _replace_hard_spaces),
    ("HTML's entities and hard spaces were replaced", _decode_page),
    ("its quoted-printable text was decoded", _decode_quoted_printable),
    ("the spaces that format=flowed adds were removed", _unstuff),
    ("its flowed lines were joined (format=flowed)", _unflow(keep_space=True)),
    ("its flowed lines were joined (format=flowed; delsp=yes)", _unflow(keep_space=False)),
)
