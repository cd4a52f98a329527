"""`./inv diagnose`: what kmatrix makes of build logs that it did not produce."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from stat import S_ISDIR
from typing import BinaryIO, NamedTuple

from matrix.diagnostics.diagnostic import BuildLog
from matrix.diagnostics.log_parser import parse_build_log
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.foreign_builds.foreign_log import read_foreign_log
from matrix.foreign_text import REPLACEMENT_CHARACTER
from matrix.user_files import expand_user_path, read_user_file, read_user_stream, stat_user_path

STDIN = "-"
_LOG_LIMIT = 256 * 2**20
"""Bytes of a log, unpacked: that of a whole allmodconfig with V=1 has some 100 million."""
_GZIP_MAGIC = b"\x1f\x8b"
_HINT = "name the log of a build, as text or gzip, or - for stdin"


@dataclass(frozen=True)
class DiagnoseRequest:
    """The logs' names, and what their readers know of them. ``failed``: how make ended, None where the log is
    to show it. Roots that are None are looked for in the log."""

    logs: tuple[str, ...]
    source_root: str | None = None
    build_root: str | None = None
    failed: bool | None = None


class DiagnosedLog(NamedTuple):
    """A log by the name that it was given, and what is in it."""

    name: str
    log: BuildLog


def parse_diagnose_request(
    logs: Sequence[str], source_root: str, build_root: str, *, fails: bool, succeeds: bool
) -> DiagnoseRequest:
    """What was asked. RequestError where no log is named, or options exclude each other."""
    if not logs:
        raise RequestError("diagnose needs a log", _HINT)
    if fails and succeeds:
        raise RequestError("--fails and --succeeds exclude each other", "make ended in one of both ways")
    if logs.count(STDIN) > 1:
        raise RequestError("- is named twice, and stdin is read once", "name it once")
    for name in logs:
        _check_log(name)
    failed = True if fails else False if succeeds else None
    return DiagnoseRequest(tuple(logs), source_root or None, build_root or None, failed)


def _check_log(name: str) -> None:
    """RequestError for what is not there, or is a directory, before the log before it is shown."""
    if not name:
        raise RequestError("log is empty", "leave it out, or give it a value")
    status = None if name == STDIN else stat_user_path(expand_user_path(name), name)
    if status is None and name != STDIN:
        raise RequestError(f"{name} cannot be read: there is no such file", _HINT)
    if status is not None and S_ISDIR(status.st_mode):
        raise RequestError(f"{name} is a directory", _HINT)


def diagnose_logs(request: DiagnoseRequest, stdin: BinaryIO) -> Iterator[DiagnosedLog]:
    """What is in each log, one after another. RequestError for what is no log that can be read."""
    for name in request.logs:
        yield DiagnosedLog(name, _parse_log(_read_log_text(name, stdin), request))


def compute_diagnose_exit_code(logs: Sequence[DiagnosedLog]) -> ExitCode:
    """FAILED where any of the logs has an error or a target that failed."""
    failed = any(each.log.has_error or each.log.failed_targets for each in logs)
    return ExitCode.FAILED if failed else ExitCode.PASSED


def _parse_log(text: str, request: DiagnoseRequest) -> BuildLog:
    shown = read_foreign_log(text, request.source_root)
    failed = request.failed
    if failed is None and shown.succeeded is not None:
        failed = not shown.succeeded
    build_root = request.build_root or shown.build_root
    return parse_build_log(shown.lines, shown.source_root, build_root, failed=failed)


def _read_log_text(name: str, stdin: BinaryIO) -> str:
    label = "stdin" if name == STDIN else name
    content = _unpack_log(_read_log(name, label, stdin), label)
    text = content.decode("utf-8", "replace")
    # A log may quote a NUL, and words in another encoding; there is no more of them than that.
    if content.count(b"\0") * 100 > len(content) or text.count(REPLACEMENT_CHARACTER) * 4 > len(text):
        raise RequestError(f"{label} is no text", _HINT)
    return text


def _read_log(name: str, label: str, stdin: BinaryIO) -> bytes:
    if name != STDIN:
        return read_user_file(expand_user_path(name), label, _HINT, _LOG_LIMIT)
    try:
        return read_user_stream(stdin, label, _HINT, _LOG_LIMIT)
    except OSError as error:
        raise RequestError(f"{label} cannot be read: {error.strerror}", _HINT) from error


def _unpack_log(content: bytes, label: str) -> bytes:
    """What is packed with gzip, unpacked within bounds, all of its parts; anything else as it is."""
    parts: list[bytes] = []
    size, rest = 0, content
    while rest.startswith(_GZIP_MAGIC):
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            parts.append(unpacker.decompress(rest, _LOG_LIMIT + 1 - size))
        except zlib.error as error:
            raise RequestError(f"{label} is damaged: {error}", _HINT) from error
        size += len(parts[-1])
        if size > _LOG_LIMIT:
            raise RequestError(f"{label} has more than {_LOG_LIMIT >> 20} MiB unpacked", _HINT)
        if not unpacker.eof:
            raise RequestError(f"{label} is damaged: it ends early", _HINT)
        rest = unpacker.unused_data
    return b"".join(parts) if parts else content
