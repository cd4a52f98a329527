"""What of a tree would define the symbols that a link lacks: by its sources, and by its Makefiles.

A symbol is exported, or defined, in one source. Where that source's Makefile builds it under a Kconfig
symbol, all that the same Kconfig symbol brings is missing together. Nothing is said where it is ambiguous.
"""

import posixpath
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from matrix.foreign_files import ForeignDirectory, ForeignFileError

MAX_MISSING_SYMBOLS = 200
"""Symbols that are looked for; what lacks more has a problem of another kind."""
SEARCH_SECONDS = 20.0
"""A tree in memory takes five seconds; one on a slow disk is given up."""

_MAX_SOURCE = 4 * 2**20
_MAX_MAKEFILE = 2**20
_MAX_STEPS = 16
_LONGEST_LINE = 200
_NO_KERNEL_FOLDERS = frozenset({"Documentation", "samples", "scripts", "tools", "usr"})
_WORD = re.compile(r"[a-z0-9]+")
_ASSIGNMENT = re.compile(
    r"(?P<name>[\w.-]+)-(?:(?P<always>y|m|objs)|\$\((?P<config>CONFIG_\w+)\))[ \t]*[:+]?=(?P<words>.*)"
)
_CONTINUED = re.compile(r"\\\n")


def find_symbol_providers(
    tree: Path, paths: Iterable[str], symbols: Collection[str], seconds: float = SEARCH_SECONDS
) -> dict[str, str]:
    """Symbol → the Kconfig symbol (``CONFIG_MTD``), or else the object, that would bring it.

    ``paths`` are the tree's files, relative to it. Symbols of which that is not known are left out; so are
    all that are not found after so many seconds.
    """
    if not symbols or len(symbols) > MAX_MISSING_SYMBOLS:
        return {}
    files = ForeignDirectory(tree)
    found = _Definitions(frozenset(symbols))
    deadline = time.monotonic() + seconds
    for path in _order_sources(paths, symbols):
        if found.is_complete:
            break
        if time.monotonic() > deadline:
            found.forget_uncertain()
            break
        found.read_source(path, _read_source(files, path))
    sources = ((symbol, found.find_source(symbol)) for symbol in sorted(symbols))
    return {symbol: _name_provider(files, source) for symbol, source in sources if source}


@dataclass
class _Definitions:
    """Where each of some symbols is exported and defined, as sources are read."""

    symbols: frozenset[str]
    _exported: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _defined: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self._plain = [symbol.encode() for symbol in self.symbols]
        names = b"|".join(map(re.escape, sorted(self._plain, reverse=True)))
        self._export = re.compile(rb"EXPORT_\w{0,40}SYMBOL\w{0,40}\([ \t]{0,40}(%b)[ \t]{0,40}[,)]" % names)
        self._definition = re.compile(
            rb"^(?!static\b|extern\b|typedef\b|return\b)(?:[A-Za-z_][\w \t*]{0,200}[ \t*])?(%b)"
            rb"[ \t]{0,40}(?:\([^;{}]{0,600}\)\s{0,40}\{|=|;|\[)"
            rb"|^(?:SYM_\w{0,40}START\w{0,40}|ENTRY|_GLOBAL\w{0,20})\([ \t]{0,40}(%b)[ \t]{0,40}\)"
            % (names, names),
            re.MULTILINE,
        )

    def read_source(self, path: str, content: bytes) -> None:
        """Note what a source exports and defines."""
        if not any(symbol in content for symbol in self._plain):
            return
        for match in self._export.finditer(content):
            self._exported[match[1].decode()].add(path)
        for match in self._definition.finditer(content):
            # A return type may stand on the line before.
            before = content[max(0, match.start() - _LONGEST_LINE) : match.start()].splitlines()[-1:]
            if not (before and before[0].startswith(b"static")):
                self._defined[(match[1] or match[2]).decode()].add(path)

    @property
    def is_complete(self) -> bool:
        """Whether each symbol has an export that is no arch's own: no other source has another."""
        return all(
            any(not path.startswith("arch/") for path in self._exported.get(symbol, ()))
            for symbol in self.symbols
        )

    def forget_uncertain(self) -> None:
        """Keep what is certain though not every source was read."""
        self._defined.clear()
        for paths in self._exported.values():
            paths -= {path for path in paths if path.startswith("arch/")}

    def find_source(self, symbol: str) -> str | None:
        """The only source that exports a symbol, or else that defines it."""
        paths = self._exported.get(symbol) or self._defined.get(symbol) or set()
        return next(iter(paths)) if len(paths) == 1 else None


def _order_sources(paths: Iterable[str], symbols: Iterable[str]) -> list[str]:
    """The kernel's own sources, first those whose paths have most words in common with the symbols."""
    words = {word for symbol in symbols for word in _WORD.findall(symbol.lower())}
    sources = (
        path
        for path in paths
        if path.endswith((".c", ".S")) and path.partition("/")[0] not in _NO_KERNEL_FOLDERS
    )
    return sorted(sources, key=lambda path: (-len(words.intersection(_WORD.findall(path.lower()))), path))


def _read_source(files: ForeignDirectory, path: str) -> bytes:
    try:
        return files.read_bytes(path, _MAX_SOURCE) or b""
    except ForeignFileError:
        return b""


class _Assignment(NamedTuple):
    """``mtd-y := mtdcore.o``: a composite object, or ``obj``; the Kconfig symbol, if it is under one."""

    name: str
    config: str | None
    words: frozenset[str]


def _name_provider(files: ForeignDirectory, source: str) -> str:
    return _find_config_symbol(files, source) or f"{posixpath.splitext(source)[0]}.o"


def _find_config_symbol(files: ForeignDirectory, source: str) -> str | None:
    """The Kconfig symbol under which Makefiles build a source; None where they do not show it plainly."""
    folder, item = posixpath.dirname(source), f"{posixpath.splitext(posixpath.basename(source))[0]}.o"
    for _ in range(_MAX_STEPS):
        rows = {(row.name, row.config) for row in _read_assignments(files, folder) if item in row.words}
        if len(rows) != 1:
            return None
        ((name, config),) = rows
        if config is not None:
            return config
        if name not in ("obj", "lib"):
            item = f"{name}.o"
        elif folder:
            folder, item = posixpath.dirname(folder), f"{posixpath.basename(folder)}/"
        else:
            return None
    return None


def _read_assignments(files: ForeignDirectory, folder: str) -> Iterator[_Assignment]:
    for name in ("Kbuild", "Makefile"):
        try:
            text = files.read_text(posixpath.join(folder, name), _MAX_MAKEFILE)
        except ForeignFileError:
            text = None
        if text is not None:
            for line in _CONTINUED.sub(" ", text).splitlines():
                if match := _ASSIGNMENT.match(line):
                    words = match["words"].partition("#")[0].split()
                    yield _Assignment(match["name"], match["config"], frozenset(words))
            return
