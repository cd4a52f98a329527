"""The symbols that a kernel tree defines for one arch: their types, prompts, dependencies and selectors."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.kconfig.kconfig_file import Definition, KconfigFile, parse_kconfig_file
from matrix.kconfig.kconfig_tree import MAX_PATH_PARTS, KconfigFiles, read_kconfig_files

_ROOT_FILE = "Kconfig"
_MACROS = re.compile(r"((?:\$\([A-Za-z0-9_]++\))+)")
_SIMILARITY_CUTOFF = 0.75
_MAX_COMPARED_NAME = 100
"""Characters of a symbol's name that is compared with others; Linux has none above 50."""
# Linux 6.12 has 17,600 definitions with 45,000 conditions, sources 1700 files five deep, three by a macro.
_MAX_SOURCE_DEPTH = 100
_MAX_COST = 2_000_000
"""What is read in all: conditions, with ten for each definition, file and source."""
_MAX_MACRO_PATH = 256
_MAX_MACRO_PATHS = 50


class Selector(NamedTuple):
    """A symbol that selects another one, and the condition of that."""

    symbol: str
    condition: str | None


@dataclass(frozen=True)
class Definitions:
    """Symbol → its definitions, in the order in which conf reads them.

    ``left_out`` is why there may be more in the tree than were read; empty where that is all of them.
    """

    by_name: Mapping[str, tuple[Definition, ...]]
    left_out: str = ""

    def find_definitions(self, name: str) -> tuple[Definition, ...]:
        """All definitions of a symbol; none for a symbol that the tree lacks."""
        return self.by_name.get(name, ())

    def find_selectors(self, name: str) -> tuple[Selector, ...]:
        """What selects a symbol, each with its condition (None: always)."""
        return self._selectors_by_symbol.get(name, ())

    def find_nearest_symbol(self, name: str) -> str | None:
        """The symbol whose name is most like this one, if any is."""
        if len(name) > _MAX_COMPARED_NAME:
            return None
        names = [known for known in self.by_name if len(known) <= _MAX_COMPARED_NAME]
        matches = difflib.get_close_matches(name.upper(), names, n=1, cutoff=_SIMILARITY_CUTOFF)
        return matches[0] if matches else None

    @cached_property
    def _selectors_by_symbol(self) -> dict[str, tuple[Selector, ...]]:
        selectors_of: dict[str, dict[Selector, None]] = defaultdict(dict)
        for definitions in self.by_name.values():
            for definition in definitions:
                for target, condition in definition.selects:
                    selectors_of[target][Selector(definition.name, condition)] = None
        return {target: tuple(selectors) for target, selectors in selectors_of.items()}


def collect_definitions(files: Mapping[str, str]) -> Definitions:
    """The definitions in Kconfig files, given as path → text.

    What is sourced under a condition depends on it. Reading starts at the file ``Kconfig``, as conf does,
    and what is not sourced from there does not count; without such a file it starts at every file that no
    other one sources.
    """
    return _DefinitionCollector(KconfigFiles(dict(files))).collect_all()


def read_tree_definitions(root: Path, srcarch: str) -> Definitions:
    """The definitions that a kernel tree has for ``arch/<srcarch>``; some 1500 files, about a second.

    Nothing in the tree raises: what cannot be read, or is over a bound, is left out and named.
    """
    return _DefinitionCollector(read_kconfig_files(root, srcarch)).collect_all()


class _Visit(NamedTuple):
    """A file that is sourced: the conditions around it, and the files that lead to it."""

    path: str
    enclosing: tuple[str, ...] = ()
    trail: tuple[str, ...] = ()


class _DefinitionCollector:
    """Follows the ``source`` statements of files, each file parsed when it is first reached."""

    def __init__(self, files: KconfigFiles) -> None:
        self._files = files
        self._left_out = files.left_out
        self._cost_left = _MAX_COST
        self._by_name: dict[str, list[Definition]] = defaultdict(list)
        self._parsed: dict[str, KconfigFile] = {}
        self._matches: dict[str, list[str]] = {}

    def collect_all(self) -> Definitions:
        # A list in place of recursion, whose depth the files would decide.
        pending = [_Visit(path) for path in reversed(self._find_root_files())]
        while pending and self._cost_left > 0:
            visit = pending.pop()
            if visit.path not in visit.trail:
                self._read_definitions(visit)
                pending += reversed(self._list_sourced_files(visit))
        if self._cost_left <= 0:
            self._leave_out(f"the tree's Kconfig files have more than {_MAX_COST} definitions and conditions")
        return Definitions({name: tuple(found) for name, found in self._by_name.items()}, self._left_out)

    def _find_root_files(self) -> list[str]:
        if _ROOT_FILE in self._files.texts or _ROOT_FILE in self._files.unread:
            return [_ROOT_FILE]
        sourced = {
            path
            for file in self._files.texts
            for source in self._parse_file(file).sources
            for path in self._match_path(source.path)
        }
        return [path for path in self._files.texts if path not in sourced]

    def _read_definitions(self, visit: _Visit) -> None:
        for found in self._parse_file(visit.path).definitions:
            depends = found.depends + visit.enclosing
            self._cost_left -= 10 + len(depends)
            if self._cost_left <= 0:
                return
            self._by_name[found.name].append(replace(found, depends=depends) if visit.enclosing else found)

    def _list_sourced_files(self, visit: _Visit) -> list[_Visit]:
        visits: list[_Visit] = []
        trail = (*visit.trail, visit.path)
        for source in self._parse_file(visit.path).sources:
            enclosing = source.depends + visit.enclosing
            paths = self._match_path(source.path)
            self._cost_left -= (10 + len(enclosing) + len(trail)) * (1 + len(paths))
            if self._cost_left <= 0:
                break
            visits += [_Visit(path, enclosing, trail) for path in paths]
        if len(trail) > _MAX_SOURCE_DEPTH and visits:
            self._leave_out(f"the tree's Kconfig files source one another more than {_MAX_SOURCE_DEPTH} deep")
            return []
        return visits

    def _parse_file(self, path: str) -> KconfigFile:
        """A file's content; nothing of one that cannot be read."""
        if path in self._files.unread:
            self._leave_out(self._files.unread[path])
            return KconfigFile((), ())
        if path not in self._parsed:
            self._cost_left -= 10
            try:
                self._parsed[path] = parse_kconfig_file(path, self._files.texts[path])
            except RequestError as error:
                self._leave_out(str(error))
                self._parsed[path] = KconfigFile((), ())
        return self._parsed[path]

    def _match_path(self, path: str) -> list[str]:
        """The files that a ``source`` may mean: a macro in its path stands for any one directory's name."""
        if path in self._files.texts or path in self._files.unread:
            return [path]
        if path.count("/") >= MAX_PATH_PARTS:
            self._leave_out(f"{path[:80]!r} is more than {MAX_PATH_PARTS} directories deep")
            return []
        if "$(" not in path:
            return []
        if path not in self._matches:
            self._matches[path] = self._list_matching_files(path)
        return self._matches[path]

    def _list_matching_files(self, path: str) -> list[str]:
        if len(path) > _MAX_MACRO_PATH or len(self._matches) >= _MAX_MACRO_PATHS:
            self._leave_out(
                f"the tree's Kconfig files source more than {_MAX_MACRO_PATHS} paths with macros, "
                f"or one of more than {_MAX_MACRO_PATH} characters"
            )
            return []
        pattern = compile_source_path(path.removeprefix("$(srctree)/"))
        return [file for file in (*self._files.texts, *self._files.unread) if pattern.fullmatch(file)]

    def _leave_out(self, reason: str) -> None:
        self._left_out = self._left_out or reason


def compile_source_path(path: str) -> re.Pattern[str]:
    """The pattern of a path in which each macro stands for one character or more, but no slash."""
    return re.compile("/".join(map(_build_part_pattern, path.split("/"))))


def _build_part_pattern(part: str) -> str:
    """One component's pattern, in linear time: what stands between two macros is taken where it first fits.

    As ``[^/]+a[^/]+b`` the search would try every place for each, and with twenty macros never end.
    """
    first, *rest = _MACROS.split(part)
    pieces = [
        (rf"[^/]{{{macros.count('$')},}}", re.escape(literal))
        for macros, literal in zip(rest[::2], rest[1::2], strict=True)
    ]
    middle = [f"(?>{any_name}?{literal})" for any_name, literal in pieces[:-1]]
    return "".join((re.escape(first), *middle, *("".join(piece) for piece in pieces[-1:])))
