"""Read patches, as `git format-patch`, `git diff` or `diff -u` make them, and find the paths they touch.

They come out of a file, a mailbox, a directory or the standard input. Nothing is applied here. The paths are
found before git gets the patch, to give git a directory with these files only, and to refuse a patch that
touches others.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from matrix.errors import RequestError
from matrix.shell_words import format_command
from matrix.source.mbox.message import Mail, PatchSubject, parse_mail, parse_subject, split_mailbox
from matrix.source.mbox.repair import expose_diff, list_whole_hunks
from matrix.user_files import expand_user_path, stat_user_path

_HUNK_HEADER = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_GIT_HEADER = "diff --git "
_RENAME_HEADERS = ("rename from ", "rename to ", "copy from ", "copy to ")
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE_SEQUENCE = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPE_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


@dataclass(frozen=True)
class PatchFile:
    """A patch: ``content`` decoded from its mail, ``sha256`` of the file or message as it was read, and
    the sorted paths that it touches, relative to the tree's root. A bare diff came in no mail."""

    name: str
    sha256: str
    content: bytes
    paths: tuple[str, ...]
    mail: Mail | None = None


def parse_patch_file(name: str, sha256: str, content: bytes, mail: Mail | None = None) -> PatchFile:
    """Find the paths; RequestError without a diff, or with one that touches a file outside of the tree."""
    # A hunk that lost its last lines hides the headers after it.
    paths = {path for text in (content, *list_whole_hunks(content)) for path in find_touched_paths(text)}
    if not paths:
        raise RequestError(
            f"the patch {name} holds no diff", "Make one with `git format-patch` or `git diff`."
        )
    for path in paths:
        _refuse_outside_path(path, name)
    return PatchFile(name, sha256, content, tuple(sorted(paths)), mail)


def find_touched_paths(content: bytes) -> set[str]:
    """Every path that a patch's headers name, without the first component of ``a/…`` and ``b/…``."""
    lines = ["", *_find_header_lines(content), ""]
    return {
        path
        for around in zip(lines, lines[1:], lines[2:], strict=False)
        for path in _find_named_paths(*around)
    }


def _find_header_lines(content: bytes) -> Iterator[str]:
    """The lines outside hunks: within one, ``--- a/x`` is a removed line that starts with ``-- a/x``."""
    old = new = 0
    # Not splitlines(): the kernel's sources hold form feeds, which would end a line for it.
    for line in os.fsdecode(content).split("\n"):
        if old > 0 or new > 0:
            old -= line[:1] in ("-", " ", "")
            new -= line[:1] in ("+", " ", "")
        elif hunk := _HUNK_HEADER.match(line):
            old, new = int(hunk[1] or 1), int(hunk[2] or 1)
        else:
            yield line.rstrip("\r")


def _find_named_paths(before: str, line: str, after: str) -> Sequence[str]:
    """The paths on one header line; none on any other line, such as the ``---`` of a mail."""
    if line.startswith(_GIT_HEADER):
        return [_strip_first_component(name) for name in _split_name_pair(line.removeprefix(_GIT_HEADER))]
    for start in _RENAME_HEADERS:
        if line.startswith(start):
            return [_unquote_name(line.removeprefix(start))]
    if (line[:4], after[:4]) == ("--- ", "+++ ") or (before[:4], line[:4]) == ("--- ", "+++ "):
        name = _unquote_name(line[4:].partition("\t")[0].rstrip())
        return [_strip_first_component(name)] if "/" in name and name != "/dev/null" else []
    return []


def _split_name_pair(names: str) -> Sequence[str]:
    """The two names of ``diff --git a/x b/x``, which are equal unless other lines name them."""
    quoted = _QUOTED_NAME.match(names)
    if quoted or names.endswith('"'):
        return [_unquote_name(name) for name in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', names)]
    half = len(names) // 2
    if (
        len(names) % 2
        and names[half] == " "
        and _strip_first_component(names[:half]) == _strip_first_component(names[half + 1 :])
    ):
        return [names[:half], names[half + 1 :]]
    return names.split(" ") if names.count(" ") == 1 else []


def _unquote_name(name: str) -> str:
    """A name without git's quotation marks and escapes, where it has them."""
    quoted = _QUOTED_NAME.fullmatch(name)
    return os.fsdecode(_ESCAPE_SEQUENCE.sub(_decode_escape, os.fsencode(quoted[1]))) if quoted else name


def _decode_escape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 255]) if len(code) == 3 else _ESCAPE_LETTERS.get(code, code)


def _strip_first_component(name: str) -> str:
    """Without the first component; an absolute path stays one, to be refused."""
    return name if name.startswith("/") else name.partition("/")[2]


def _refuse_outside_path(path: str, patch: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or {"", ".", "..", ".git"} & set(parts) or "\0" in path:
        raise RequestError(
            f"the patch {patch} touches {path!r}, which is no path inside a tree",
            "Paths must look like a/virt/kvm/vfio.c: make the patch with `git format-patch`.",
        )


STDIN = "-"
_PATCH_SUFFIXES = (".patch", ".mbox", ".eml")
# Bytes. The thread of a long series has some ten million, a patch full of register names about as many.
_MAX_INPUT_BYTES = 1 << 26
_NON_SLUG = re.compile(r"[^A-Za-z0-9_]+")
_MAX_SLUG_LENGTH = 52


@dataclass(frozen=True)
class PatchMessage:
    """A message, or a bare diff, and the name of the file that it was in. ``repair`` is what was done to read
    a diff that is quoted or indented as a whole."""

    file_name: str
    is_alone_in_file: bool
    sha256: str
    content: bytes
    mail: Mail | None
    repair: str = ""

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

        RequestError when it holds no diff, or touches a file outside of the tree.
        """
        title = _NON_SLUG.sub("-", self.subject.title).strip("-")[:_MAX_SLUG_LENGTH]
        name = self.file_name if self.is_alone_in_file else f"{position:04}-{title or 'patch'}.patch"
        return parse_patch_file(name, self.sha256, self.content, self.mail)


def read_messages(spec: str, stdin: BinaryIO | None) -> list[PatchMessage]:
    """All of a file, of a directory's files by name, or of ``-``; a message that came twice, once.

    RequestError when it cannot be read.
    """
    messages: dict[str, PatchMessage] = {}
    for name, raw in _read_inputs(spec, stdin):
        for message in _split_messages(name, raw):
            # Messages without an id are all kept: nothing shows that two are the same.
            messages.setdefault(message.message_id or f" {len(messages)}", message)
    return list(messages.values())


def _read_inputs(spec: str, stdin: BinaryIO | None) -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    if spec == STDIN:
        yield "stdin", _read_stdin(stdin)
        return
    path = expand_user_path(spec)
    status = stat_user_path(path, f"the patch {spec}")
    if status and stat.S_ISDIR(status.st_mode):
        for file in _list_patch_files(path):
            yield file.name, _read_input_file(file)
    else:
        yield path.name, _read_input_file(path)


def _list_patch_files(directory: Path) -> list[Path]:
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix in _PATCH_SUFFIXES)
    except OSError as problem:
        raise _build_read_error(directory, problem) from problem
    if not files:
        raise RequestError(
            f"the directory {directory} holds no patch: "
            f"no {', '.join(f'*{suffix}' for suffix in _PATCH_SUFFIXES)}",
            f"Fill one with `{format_command('git', 'format-patch', '-o', str(directory), 'BASE..')}`.",
        )
    return files


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
        alone = len(messages) == 1
        # In a thread, a quoted diff is somebody's answer.
        exposed = expose_diff(content) if alone and not find_touched_paths(content) else None
        yield PatchMessage(
            file_name=name,
            is_alone_in_file=alone,
            sha256=hashlib.sha256(message).hexdigest(),
            content=exposed.content if exposed else content,
            mail=mail,
            repair=exposed.words if exposed else "",
        )
