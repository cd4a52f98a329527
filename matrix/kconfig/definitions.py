"""The symbols that a kernel tree defines for one arch: their types, prompts, dependencies and selectors."""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from matrix.kconfig.kconfig_file import Definition, KconfigFile, parse_kconfig_file

_ROOT_FILE = "Kconfig"
_MACRO = re.compile(r"\\\$\\\([A-Za-z0-9_]+\\\)")
_SIMILARITY_CUTOFF = 0.75


class Selector(NamedTuple):
    """A symbol that selects another one, and the condition of that."""

    symbol: str
    condition: str | None


@dataclass(frozen=True)
class Definitions:
    """Symbol → its definitions, in the order in which conf reads them."""

    by_name: Mapping[str, tuple[Definition, ...]]

    def find_definitions(self, name: str) -> tuple[Definition, ...]:
        """All definitions of a symbol; none for a symbol that the tree lacks."""
        return self.by_name.get(name, ())

    def find_selectors(self, name: str) -> tuple[Selector, ...]:
        """What selects a symbol, each with its condition (None: always)."""
        return self._selectors_by_symbol.get(name, ())

    def find_nearest_symbol(self, name: str) -> str | None:
        """The symbol whose name is most like this one, if any is."""
        matches = difflib.get_close_matches(name.upper(), self.by_name, n=1, cutoff=_SIMILARITY_CUTOFF)
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
    scanned = {path: parse_kconfig_file(path, text) for path, text in files.items()}
    by_name: dict[str, list[Definition]] = defaultdict(list)
    for root in _find_root_files(scanned):
        for definition in _walk_definitions(root, (), scanned, ()):
            by_name[definition.name].append(definition)
    return Definitions({name: tuple(definitions) for name, definitions in by_name.items()})


def _find_root_files(scanned: Mapping[str, KconfigFile]) -> Iterable[str]:
    if _ROOT_FILE in scanned:
        return (_ROOT_FILE,)
    sourced = {
        path
        for file in scanned.values()
        for source in file.sources
        for path in _match_source_path(source.path, scanned)
    }
    return [path for path in scanned if path not in sourced]


def _match_source_path(path: str, scanned: Mapping[str, KconfigFile]) -> list[str]:
    """The files that a ``source`` may mean: a macro in its path stands for any one directory's name."""
    if "$(" not in path:
        return [path] if path in scanned else []
    pattern = re.compile(_MACRO.sub("[^/]+", re.escape(path.removeprefix("$(srctree)/"))))
    return [file for file in scanned if pattern.fullmatch(file)]


def _walk_definitions(
    path: str, enclosing: tuple[str, ...], scanned: Mapping[str, KconfigFile], trail: tuple[str, ...]
) -> Iterator[Definition]:
    """The definitions of a file and of all that it sources, each with the conditions around it."""
    if path in trail:
        return
    file = scanned[path]
    for definition in file.definitions:
        yield replace(definition, depends=definition.depends + enclosing) if enclosing else definition
    for source in file.sources:
        for sourced in _match_source_path(source.path, scanned):
            yield from _walk_definitions(sourced, source.depends + enclosing, scanned, (*trail, path))


def read_tree_definitions(root: Path, srcarch: str) -> Definitions:
    """The definitions that a kernel tree has for ``arch/<srcarch>``; some 1500 files, about a second.

    Bytes that are no UTF-8 are replaced; what cannot be read raises OSError.
    """
    files = _find_kconfig_files(root, srcarch)
    return collect_definitions(
        {path.relative_to(root).as_posix(): path.read_text("utf-8", "replace") for path in files}
    )


def _find_kconfig_files(root: Path, srcarch: str) -> Iterator[Path]:
    for directory, below, names in os.walk(root):
        folder = Path(directory)
        below[:] = sorted(
            name for name in below if _is_read_by_conf((folder / name).relative_to(root).parts, srcarch)
        )
        yield from (folder / name for name in sorted(names) if name.startswith("Kconfig"))


def _is_read_by_conf(parts: tuple[str, ...], srcarch: str) -> bool:
    """Whether conf may read below this directory. Walking the others would take most of the time."""
    match parts:
        case ["tools"] | ["Documentation", _] | ["scripts", "kconfig"]:
            return False
        case ["arch", arch]:
            return arch == srcarch
    return not parts[-1].startswith(".")
