"""From what the user names (a file, a directory, the standard input) to its messages and bare diffs."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from matrix.errors import RequestError
from matrix.source.mails import Mail, read_mail, split_mails
from matrix.source.patchfile import PatchFile, make_patch, touched
from matrix.source.subject import Subject, read_subject

STDIN = "-"
_SUFFIXES = (".patch", ".mbox", ".eml")
# Bytes. The thread of a long series has some ten million, a patch full of register names about as many.
_LARGEST = 1 << 26
_SLUG = re.compile(r"[^A-Za-z0-9_]+")
_LONGEST_SLUG = 52


@dataclass(frozen=True)
class Piece:
    """A message, or a bare diff, and the name of the file that it was in; ``alone`` when nothing else was."""

    file: str
    alone: bool
    sha256: str
    content: bytes
    mail: Mail | None

    @cached_property
    def subject(self) -> Subject:
        return read_subject(self.mail.subject if self.mail else "")

    @cached_property
    def has_diff(self) -> bool:
        return bool(touched(self.content))

    @property
    def id(self) -> str:
        return self.mail.id if self.mail else ""

    def patch(self, position: int) -> PatchFile:
        """As a patch, called like its file, or as `git format-patch` would call it at this position.

        RequestError when it holds no diff, or reaches out of the tree.
        """
        title = _SLUG.sub("-", self.subject.title).strip("-")[:_LONGEST_SLUG]
        name = self.file if self.alone else f"{position:04}-{title or 'patch'}.patch"
        return make_patch(name, self.sha256, self.content, self.mail)


def read_pieces(spec: str, stdin: BinaryIO | None) -> list[Piece]:
    """All of a file, of a directory's files by name, or of ``-``; a message that came twice, once.

    RequestError when it cannot be read.
    """
    found: dict[str, Piece] = {}
    for name, raw in _files(spec, stdin):
        for piece in _pieces(name, raw):
            # Without an id nothing is known to be the same.
            found.setdefault(piece.id or f" {len(found)}", piece)
    return list(found.values())


def _files(spec: str, stdin: BinaryIO | None) -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    if spec == STDIN:
        yield "stdin", _from_stdin(stdin)
    elif (path := Path(spec).expanduser()).is_dir():
        for inside in _inside(path):
            yield inside.name, _from_file(inside)
    else:
        yield path.name, _from_file(path)


def _inside(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)
    except OSError as problem:
        raise _unreadable(directory, problem) from problem
    if not found:
        raise RequestError(
            f"the directory {directory} holds no patch: no {', '.join(f'*{suffix}' for suffix in _SUFFIXES)}",
            f"Fill one with `git format-patch -o {directory} BASE..`.",
        )
    return found


def _from_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limited(file, str(path))
    except OSError as problem:
        raise _unreadable(path, problem) from problem


def _from_stdin(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise RequestError(
            "a patch on the standard input can be read only once, and is asked for again later",
            "Write it to a file, and give that.",
        )
    return _limited(stdin, "the standard input")


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise RequestError(f"{name} has more than {_LARGEST >> 20} MiB", "Give the patch or its thread only.")
    return raw


def _unreadable(path: Path, problem: OSError) -> RequestError:
    return RequestError(f"the patch {path} cannot be read: {problem.strerror}", "Check the path.")


def _pieces(name: str, raw: bytes) -> Iterator[Piece]:
    messages = split_mails(raw)
    for message in messages:
        mail = read_mail(message)
        content = mail.content if mail else message
        yield Piece(name, len(messages) == 1, hashlib.sha256(message).hexdigest(), content, mail)
