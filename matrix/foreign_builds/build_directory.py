"""The files of a build in a directory of it: its log, its .config, and what its maker noted beside them.

    tuxmake     build.log, config, metadata.json
    KernelCI    build.log or build.log.gz, .config or kernel.config, bmeta.json or metadata.json
    0-day       config, config.gz or config-x86_64-randconfig-…, reproduce; the mail or a log saved beside it
    by hand     anything that is called like a log, and anything that is called like a .config

Of several, the first that is known by its own name is taken. Nothing but regular files of the directory
itself is read, each within bounds: it may be anybody's.
"""

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kconfig.config import Config

LOG_LIMIT = 256 * 2**20
"""Bytes of a log, unpacked: with V=1 that of allmodconfig has some 100 million."""
_CONFIG_LIMIT = 16 * 2**20
_NOTE_LIMIT = 16 * 2**20
_MAX_NAMES = 10_000
_GZIP = 16 + zlib.MAX_WBITS
_NAMES_SHOWN = 6

LOG_NAMES = "build.log, make.log, build.txt, *.log, or the mail that reports it (*.eml, *.mbox)"
CONFIG_NAMES = "config, .config, kernel.config, config-*, *.config"
METADATA_FILES = ("tuxmake_metadata.json", "metadata.json", "bmeta.json", "meta.json", "build.json")
"""What tuxmake and KernelCI call them, those that know most of the build first."""
REPRODUCE_FILE = "reproduce"

# By rank: a name of an earlier row is taken before those of a later one. Each may end with .gz.
_LOG_RANKS = tuple(
    re.compile(rf"(?:{pattern})(?:\.gz)?", re.IGNORECASE)
    for pattern in (
        r"build\.log",
        r"(?:make|kernel|kbuild|build)[._-]?(?:build|output)?\.(?:log|txt)|log(?:\.txt)?",
        r"(?!build-debug|config)(?!.*(?:stderr|dmesg|boot|console|test)).+\.log",
        r".+\.(?:eml|mbox|mail|msg)|mail|report|report\.txt",
        r"(?!readme|config).+\.(?:txt|out)",
    )
)
_CONFIG_RANKS = tuple(
    re.compile(rf"(?:{pattern})(?:\.gz)?")
    for pattern in (
        r"config|\.config",
        r"kernel\.config|kernel_config|dot-?config|dotconfig",
        r"config[-._].+",
        r".*(?:config|rand(?:config)?-?[0-9a-z-]*)",
    )
)


@dataclass(frozen=True)
class BuildFiles:
    """What lies in a build's directory.

    ``name``: what it is called; ``notes``: name → text of what its maker noted. ``rivals``: log or .config →
    the files that are called as much like one, and were not taken.
    """

    path: Path
    name: str
    log_name: str
    config: Config
    config_text: str
    notes: dict[str, str]
    rivals: dict[str, tuple[str, ...]]

    def read_log(self) -> str:
        """The log, anew each time: it may be large. ForeignFileError where it cannot be read."""
        return _read_text(ForeignDirectory(self.path), self.log_name, LOG_LIMIT)


def read_build_directory(path: Path) -> BuildFiles:
    """The build in a directory.

    RequestError where there is none: with what was looked for, and what there is. ForeignFileError where one
    of its files cannot be read: a link, no regular file, too large, damaged.
    """
    names = _list_files(path)
    files = ForeignDirectory(path)
    logs = _list_best_names(names, _LOG_RANKS)
    configs = _list_best_names([name for name in names if name not in logs[:1]], _CONFIG_RANKS)
    missing = [
        f"{what} ({known})"
        for what, found, known in (("log", logs, LOG_NAMES), (".config", configs, CONFIG_NAMES))
        if not found
    ]
    if missing:
        raise RequestError(
            f"{path} is no build: it has no {' and no '.join(missing)}; it has {_format_names(names)}",
            "name directories that hold a build's log and its .config, each of one build",
        )
    log_name, config_name = logs[0], configs[0]
    text = _read_text(files, config_name, _CONFIG_LIMIT)
    return BuildFiles(
        path=path,
        name=Path(os.path.realpath(path)).name or "root",
        log_name=log_name,
        config=_parse_config(path, config_name, text),
        config_text=text,
        notes={
            name: _read_text(files, name, _NOTE_LIMIT)
            for name in (*METADATA_FILES, REPRODUCE_FILE)
            if name in names
        },
        rivals={
            name: tuple(other for other in others if other != f"{name}.gz")
            for name, *others in (logs, configs)
        },
    )


def _list_files(path: Path) -> list[str]:
    """The names in a directory, sorted. RequestError where it is none that can be read."""
    try:
        with os.scandir(path) as entries:
            known = [entry for _, entry in zip(range(_MAX_NAMES + 1), entries, strict=False)]
            names = [entry.name for entry in known if not entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise RequestError(
            f"{path} is no build: it cannot be read: {error.strerror}", "name directories of builds"
        ) from error
    if len(known) > _MAX_NAMES:
        raise RequestError(
            f"{path} is no build: it has more than {_MAX_NAMES} files", "name directories of builds"
        )
    return sorted(names)


def _list_best_names(names: Sequence[str], ranks: Sequence[re.Pattern[str]]) -> list[str]:
    """The names of the first rank that has any, the best first: plain files come before packed ones."""
    for rank in ranks:
        found = [name for name in names if rank.fullmatch(name)]
        if found:
            return sorted(found, key=lambda name: (name.endswith(".gz"), len(name), name))
    return []


def _format_names(names: Sequence[str]) -> str:
    if not names:
        return "no file at all"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}"


def _read_text(files: ForeignDirectory, name: str, limit: int) -> str:
    """A file as text, unpacked where it is gzip; what is no UTF-8 is replaced."""
    try:
        content = files.read_bytes(name, limit) or b""
        if content.startswith(b"\x1f\x8b"):
            content = _unpack_gzip(content, name, limit)
    except ForeignFileError as error:
        raise ForeignFileError(f"{files.root}: {error}", "a build's files are read as they are") from error
    return content.decode("utf-8", "replace")


def _unpack_gzip(content: bytes, name: str, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(content, limit + 1)
    except zlib.error as error:
        raise ForeignFileError(f"{name!r} is damaged: {error}") from error
    if len(text) > limit:
        raise ForeignFileError(f"{name!r} has more than {limit} bytes unpacked, so it is not read")
    if not unpacker.eof:
        raise ForeignFileError(f"{name!r} is damaged: it ends early")
    return text


def _parse_config(path: Path, name: str, text: str) -> Config:
    try:
        config = Config.parse(text)
    except RequestError as error:
        raise RequestError(f"{path} is no build: {name!r}: {error}", error.hint) from error
    if not config:
        raise RequestError(
            f"{path} is no build: {name!r} sets no symbol", "its .config is the one that it was made with"
        )
    return config
