"""A patch, as `git format-patch`, `git diff` or `diff -u` make it, and what it touches.

Nothing is applied here. The paths are found before git sees the patch, to give git a directory with
these files only, and to refuse a patch that reaches elsewhere.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matrix.errors import RequestError
from matrix.source.mails import Mail

_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_GIT_HEADER = "diff --git "
_WHOLE = ("rename from ", "rename to ", "copy from ", "copy to ")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


@dataclass(frozen=True)
class PatchFile:
    """A patch: ``content`` decoded from its mail, ``sha256`` of the file or message as it lay there, and
    the sorted paths that it touches, relative to the tree's root. A bare diff came in no mail."""

    name: str
    sha256: str
    content: bytes
    paths: tuple[str, ...]
    mail: Mail | None = None


def make_patch(name: str, sha256: str, content: bytes, mail: Mail | None = None) -> PatchFile:
    """Find the paths; RequestError when there is no diff, or one that reaches out of the tree."""
    paths = touched(content)
    if not paths:
        raise RequestError(
            f"the patch {name} holds no diff", "Make one with `git format-patch` or `git diff`."
        )
    for path in paths:
        _refuse_outside(path, name)
    return PatchFile(name, sha256, content, tuple(sorted(paths)), mail)


def touched(content: bytes) -> set[str]:
    """Every path that a patch's headers name, without the first component of ``a/…`` and ``b/…``."""
    lines = ["", *_header_lines(content), ""]
    return {path for around in zip(lines, lines[1:], lines[2:], strict=False) for path in _named(*around)}


def _header_lines(content: bytes) -> Iterator[str]:
    """The lines outside hunks: within one, ``--- a/x`` is a removed line that starts with ``-- a/x``."""
    old = new = 0
    # Not splitlines(): the kernel's sources hold form feeds, which would end a line for it.
    for line in os.fsdecode(content).split("\n"):
        if old > 0 or new > 0:
            old -= line[:1] in ("-", " ", "")
            new -= line[:1] in ("+", " ", "")
        elif hunk := _HUNK.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
        else:
            yield line.rstrip("\r")


def _named(before: str, line: str, after: str) -> Sequence[str]:
    """The paths on one header line; none on any other line, as in a message a line of ``---`` alone."""
    if line.startswith(_GIT_HEADER):
        return [_stripped(name) for name in _pair(line.removeprefix(_GIT_HEADER))]
    for start in _WHOLE:
        if line.startswith(start):
            return [_unquoted(line.removeprefix(start))]
    if (line[:4], after[:4]) == ("--- ", "+++ ") or (before[:4], line[:4]) == ("--- ", "+++ "):
        name = _unquoted(line[4:].partition("\t")[0].rstrip())
        return [_stripped(name)] if "/" in name and name != "/dev/null" else []
    return []


def _pair(names: str) -> Sequence[str]:
    """The two names of ``diff --git a/x b/x``, which are equal unless other lines tell them apart."""
    quoted = _QUOTED.match(names)
    if quoted or names.endswith('"'):
        return [_unquoted(name) for name in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', names)]
    half = len(names) // 2
    if len(names) % 2 and names[half] == " " and _stripped(names[:half]) == _stripped(names[half + 1 :]):
        return [names[:half], names[half + 1 :]]
    return names.split(" ") if names.count(" ") == 1 else []


def _unquoted(name: str) -> str:
    """A name without git's quotation marks and escapes, where it has them."""
    quoted = _QUOTED.fullmatch(name)
    return os.fsdecode(_ESCAPE.sub(_escaped, os.fsencode(quoted[1]))) if quoted else name


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 255]) if len(code) == 3 else _LETTERS.get(code, code)


def _stripped(name: str) -> str:
    """Without the first component; an absolute path stays one, to be refused."""
    return name if name.startswith("/") else name.partition("/")[2]


def _refuse_outside(path: str, patch: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or {"", ".", "..", ".git"} & set(parts) or "\0" in path:
        raise RequestError(
            f"the patch {patch} touches {path!r}, which is no path inside a tree",
            "Paths must look like a/virt/kvm/vfio.c: make the patch with `git format-patch`.",
        )
