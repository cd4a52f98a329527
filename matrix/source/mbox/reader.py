"""From what the user names (a file, a directory, the standard input) to its messages and bare diffs."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from matrix.errors import RequestError
from matrix.source.mbox.message import Mail, PatchSubject, parse_mail, parse_subject, split_mailbox
from matrix.source.mbox.patch_file import PatchFile, find_touched_paths, parse_patch_file

STDIN = "-"
_PATCH_SUFFIXES = (".patch", ".mbox", ".eml")
# Bytes. The thread of a long series has some ten million, a patch full of register names about as many.
_MAX_INPUT_BYTES = 1 << 26
_NON_SLUG = re.compile(r"[^A-Za-z0-9_]+")
_MAX_SLUG_LENGTH = 52


@dataclass(frozen=True)
class PatchMessage:
    """A message, or a bare diff, and the name of the file that it was in; ``alone`` when nothing else was."""

    file_name: str
    is_alone_in_file: bool
    sha256: str
    content: bytes
    mail: Mail | None

    @cached_property
    def subject(self) -> PatchSubject:
        return parse_subject(self.mail.subject if self.mail else "")

    @cached_property
    def has_diff(self) -> bool:
        return bool(find_touched_paths(self.content))

    @property
    def message_id(self) -> str:
        return self.mail.id if self.mail else ""

    def to_patch_file(self, position: int) -> PatchFile:
        """As a patch, called like its file, or as `git format-patch` would call it at this position.

        RequestError when it holds no diff, or reaches out of the tree.
        """
        title = _NON_SLUG.sub("-", self.subject.title).strip("-")[:_MAX_SLUG_LENGTH]
        name = self.file_name if self.is_alone_in_file else f"{position:04}-{title or 'patch'}.patch"
        return parse_patch_file(name, self.sha256, self.content, self.mail)


def read_messages(spec: str, stdin: BinaryIO | None) -> list[PatchMessage]:
    """All of a file, of a directory's files by name, or of ``-``; a message that came twice, once.

    RequestError when it cannot be read.
    """
    found: dict[str, PatchMessage] = {}
    for name, raw in _read_inputs(spec, stdin):
        for piece in _split_messages(name, raw):
            # Without an id nothing is known to be the same.
            found.setdefault(piece.message_id or f" {len(found)}", piece)
    return list(found.values())


def _read_inputs(spec: str, stdin: BinaryIO | None) -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    if spec == STDIN:
        yield "stdin", _read_stdin(stdin)
    elif (path := Path(spec).expanduser()).is_dir():
        for inside in _list_patch_files(path):
            yield inside.name, _read_input_file(inside)
    else:
        yield path.name, _read_input_file(path)


def _list_patch_files(directory: Path) -> list[Path]:
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix in _PATCH_SUFFIXES)
    except OSError as problem:
        raise _build_read_error(directory, problem) from problem
    if not found:
        raise RequestError(
            f"the directory {directory} holds no patch: "
            f"no {', '.join(f'*{suffix}' for suffix in _PATCH_SUFFIXES)}",
            f"Fill one with `git format-patch -o {directory} BASE..`.",
        )
    return found


def _read_input_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _read_limited(file, str(path))
    except OSError as problem:
        raise _build_read_error(path, problem) from problem


def _read_stdin(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise RequestError(
            "a patch on the standard input can be read only once, and is asked for again later",
            "Write it to a file, and give that.",
        )
    return _read_limited(stdin, "the standard input")


def _read_limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(_MAX_INPUT_BYTES + 1)
    if len(raw) > _MAX_INPUT_BYTES:
        raise RequestError(
            f"{name} has more than {_MAX_INPUT_BYTES >> 20} MiB", "Give the patch or its thread only."
        )
    return raw


def _build_read_error(path: Path, problem: OSError) -> RequestError:
    return RequestError(f"the patch {path} cannot be read: {problem.strerror}", "Check the path.")


def _split_messages(name: str, raw: bytes) -> Iterator[PatchMessage]:
    messages = split_mailbox(raw)
    for message in messages:
        mail = parse_mail(message)
        content = mail.content if mail else message
        yield PatchMessage(name, len(messages) == 1, hashlib.sha256(message).hexdigest(), content, mail)
