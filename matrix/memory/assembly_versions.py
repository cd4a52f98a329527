"""What genksyms reads for the versions of what an object of assembly exports, which no list names.

make gives genksyms a few headers that the recipe names, preprocessed with the flags of C, and adds what it
prints to the object. Which branches of the headers are read is not followed: all that they include counts,
wherever it may be found, with all symbols that these texts name. So do all makefiles that have a say in the
flags, since an object of assembly has other ones on record.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from matrix.memory.command_file import CommandFile
from matrix.memory.object_setting import InputReader, find_symbols, list_makefile_folders
from matrix.memory.tree_contents import ABSENT
from matrix.memory.unlisted_sources import PROTOTYPES, follow_includes, list_header_names
from matrix.resolve.make_runner import SOURCE_MOUNT

ASSEMBLY_VERSIONS = "ASM_MODVERSIONS"
"""With this, make has genksyms read headers that are on no list, for each object of assembly that exports."""

_EXPORT_MARKS = (b"__export_symbol_", b"__ksymtab_")
_READ_FIRST = (*PROTOTYPES, "linux/string.h", "linux/compiler_types.h")
_READ_BY_RECIPE = re.compile(rb"#include <([^>\s]+)>|-include[ \t]+\$[({]srctree[)}]/([\w./-]+\.h)")
_SEARCHED = re.compile(rf"-(?:I|iquote|isystem) *{SOURCE_MOUNT}/([^\s'\"]+)")
_READ_BY_COMMAND = re.compile(rf"-include +{SOURCE_MOUNT}/([^\s'\"]+)")
_COMPUTED = re.compile(rb"^[ \t]*#[ \t]*include[ \t]+[A-Za-z_]", re.MULTILINE)
_CONFIGURATION = "include/generated/autoconf.h"
"""Its content is that of all symbols. Those that are named count."""


@dataclass(frozen=True)
class VersionInputs:
    """``sources`` are headers and makefiles of the tree, ``names`` all under which a header is looked for,
    ``symbols`` those of Kconfig that decide on what is read."""

    sources: frozenset[str]
    names: frozenset[str]
    symbols: frozenset[str]

    def select_generated(self, generated: Set[str]) -> list[str]:
        """Those of these prepared headers that one of the names may mean."""
        own = {name.rpartition("/")[2] for name in self.names}
        return sorted(path for path in generated - {_CONFIGURATION} if path.rpartition("/")[2] in own)


def exports_assembly(command_file: CommandFile, content: bytes) -> bool:
    """Whether this object is of assembly, and exports symbols."""
    return command_file.source.endswith(".S") and any(mark in content for mark in _EXPORT_MARKS)


@dataclass
class VersionReader:
    """Finds what goes into the versions of exports. The headers of one tree are read once for one way to look
    for them."""

    reader: InputReader
    _known: dict[tuple[tuple[str, ...], frozenset[str], *tuple[str, ...]], VersionInputs | None] = field(
        default_factory=dict
    )

    def find_inputs(self, command_file: CommandFile) -> VersionInputs | None:
        """What goes into the versions of this object's exports; None where that cannot be known."""
        folders = tuple(name.rstrip("/") for name in _SEARCHED.findall(command_file.command))
        makefiles = self._list_makefiles(command_file.target, folders)
        key = (folders, makefiles, *_READ_BY_COMMAND.findall(command_file.command))
        if key not in self._known:
            self._known[key] = self._read_inputs(*key)
        return self._known[key]

    def _read_inputs(
        self, folders: tuple[str, ...], makefiles: frozenset[str], *taken_in: str
    ) -> VersionInputs | None:
        reader = self.reader
        first = {*_READ_FIRST, *taken_in, *self._list_read_by_recipes(makefiles)}
        headers, names = follow_includes(
            first, lambda name, beside: self._find_places(name, [beside, *folders]), reader
        )
        if not any(path.endswith(PROTOTYPES[-1]) for path in headers) or any(map(self._hides_input, headers)):
            return None
        sources = headers | makefiles
        return VersionInputs(
            sources,
            names.union(*(reader.find_hidden(path).probed for path in headers)),
            frozenset(symbol for path in sources for symbol in find_symbols(reader.read_source(path))),
        )

    def _hides_input(self, header: str) -> bool:
        return (
            self.reader.find_hidden(header).unlisted
            or _COMPUTED.search(self.reader.read_source(header)) is not None
        )

    def _list_makefiles(self, target: str, folders: tuple[str, ...]) -> frozenset[str]:
        """The makefiles on the way to an object, and all of its arch's."""
        parts = (PurePosixPath(folder).parts for folder in folders)
        arches = {f"arch/{part[1]}" for part in parts if part[0] == "arch" and len(part) > 1}
        found = list_makefile_folders(target)
        found += (path for path in self.reader.makefiles if any(map(path.startswith, arches)))
        return frozenset(path for folder in found for path in self.reader.makefiles.get(folder, ()))

    def _list_read_by_recipes(self, makefiles: Set[str]) -> Iterator[str]:
        for path in makefiles:
            for named, taken_in in _READ_BY_RECIPE.findall(self.reader.read_source(path)):
                yield (named or taken_in).decode()

    def _find_places(self, name: str, folders: list[str]) -> set[str]:
        """Where a header of this name lies: in the folders that are searched, or else anywhere."""
        tree, names = self.reader.tree, list_header_names(name)
        paths = {name, *(f"{folder}/{one}" for folder in filter(None, folders) for one in names)}
        found = {tree.find_plain_path(path) for path in paths if tree.find_content(path) != ABSENT}
        return found or {path for path in self.reader.find_by_name(name) if path.endswith(f"/{name}")}
