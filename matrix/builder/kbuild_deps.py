"""Which source files a cell was made of, read from the command files that kbuild leaves behind.

For each file that it makes, ``.FILE.cmd`` holds the command and, for what a compiler made, ``source_FILE``
and ``deps_FILE``: sources below /src, and generated files relative to the build directory. A lane's
directory holds files of every configuration that it visited. So a cell counts as made of all that any
command file names, but for objects that kbuild's lists named for other configurations only. That is too much
rather than too little: a cell is not built again for a change of a source that is missing.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from typing import NamedTuple

from matrix.builder.kbuild_objects import parse_archive_members
from matrix.builder.lane_dir import LaneDirectory
from matrix.foreign_files import ForeignFileError
from matrix.foreign_text import is_unicode
from matrix.foreign_trees import COMMAND_FILE_LIMIT, TreeEntry, walk_build
from matrix.kernel_files import Impact, classify_impact
from matrix.resolve.make_runner import SOURCE_MOUNT

_WRAPPER_LIMIT = 4096

_PATH_CHARACTER = r"[^\s\0'\"();:|]"
# A word that is no source is skipped whole: it would be looked at again from each /src/ in it.
_SOURCE_PATH = re.compile(rf"{SOURCE_MOUNT}/(?:({_PATH_CHARACTER}+\.[chS])(?![\w.])|{_PATH_CHARACTER}++)")
# A word alone on its line, as source_FILE and deps_FILE have them; $(wildcard …) is a symbol, and no file.
_GENERATED_PATH = re.compile(r"^(?:source_\S+ :=)?[ \t]+([^\s/$\\][^\s$]*)(?:[ \t]+\\)?$", re.MULTILINE)
_GENERIC_WRAPPER = re.compile(r"\s*#include <asm-generic/\S+>\s*")

# What make generates without a command file → the sources that go in, beside those that other command files
# name (of the assembly behind *-offsets.h, of host programs), .config, and what reaches everything anyway:
# Makefiles, scripts, tables. Of 6.12; what is missing is not known.
_GENERATED_INPUTS: Mapping[str, tuple[str, ...]] = {
    "*-offsets.h": (),
    "include/generated/bounds.h": (),
    "arch/arm64/kvm/hyp_constants.h": (),
    "include/config/*": (),
    "include/generated/autoconf.h": (),
    "include/generated/compile.h": (),
    "include/generated/package.h": (),
    "include/generated/timeconst.h": (),
    "include/generated/utsrelease.h": (),
    "include/generated/utsversion.h": (),
    "include/generated/uapi/linux/version.h": (),
    "init/utsversion-tmp.h": (),
    "arch/*/include/generated/*/unistd*.h": (),
    "arch/s390/include/generated/asm/facility-defs.h": (),
    "arch/s390/include/generated/asm/dis-defs.h": (),
    "arch/x86/lib/inat-tables.c": (),
    "*.asn1.[ch]": (),
    "drivers/tty/vt/consolemap_deftbl.c": (),
    "drivers/tty/vt/defkeymap.c": (),
    "lib/crc*table.h": (),
    "lib/oid_registry_data.c": ("include/linux/oid_registry.h",),
    # modpost writes these of the objects.
    "*.mod.c": (),
    ".vmlinux.export.c": (),
    # Host tools' own, made of what lies beside their sources.
    "scripts/*": (),
}


@dataclass(frozen=True)
class _CommandFile:
    """What one command file names: sources relative to the tree, and generated files."""

    sources: tuple[str, ...]
    generated: tuple[str, ...]


class CellSources(NamedTuple):
    """The sources of a cell, relative to the tree, .c, .h and .S only: all, and those of ``others`` than
    objects that were named.

    None at all when it is not known what some object, or a generated file that went in, was made of: also
    where a command file is none that kbuild left, and where no record can hold a source's name.
    """

    all: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


@dataclass
class CommandFileReader:
    """Reads the command files of one lane, each again only when it was written again."""

    lane: LaneDirectory
    _parsed: dict[str, tuple[int, _CommandFile]] = field(default_factory=dict)
    _names_by_word: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def find_cell_sources(
        self,
        objects: Set[str],
        listed: Set[str] = frozenset(),
        elsewhere: Set[str] = frozenset(),
        without: Set[str] = frozenset(),
    ) -> CellSources:
        """The sources of the cell that was just built without failure, and to which ``objects`` belong.

        ``listed`` is what else its lists name: of an object in the focus, make makes the whole directory.
        ``elsewhere`` are objects that were put back, and are on the lists of the cells they belong to.
        ``without`` are objects whose sources are not among the ``others``.
        """
        try:
            command_files, archives = self._find_command_files()
            unlisted = (self.lane.listed_objects | elsewhere) - objects - listed
            left_out = unlisted - self._read_libraries(archives)
            return CellSources(
                self._collect_sources(command_files, objects, left_out),
                self._collect_sources(command_files, objects, left_out | without),
            )
        except ForeignFileError:
            return CellSources()

    def _collect_sources(
        self, command_files: Sequence[tuple[str, TreeEntry]], objects: Set[str], left_out: Set[str]
    ) -> frozenset[str]:
        parsed = [
            (target, self._parse_command_file(entry))
            for target, entry in command_files
            if target not in left_out
        ]
        # tools/ has a build system of its own, which names sources relative to their own directory.
        generated = [file.generated for target, file in parsed if not target.startswith("tools/")]
        targets = {target for target, _ in command_files}
        inputs = [self._find_generated_inputs(name) for name in set(chain.from_iterable(generated)) - targets]
        sources = frozenset(chain(*filter(None, inputs), *(file.sources for _, file in parsed)))
        if None in inputs or not objects <= targets or not all(map(is_unicode, sources)):
            return frozenset()
        return sources

    def _find_command_files(self) -> tuple[list[tuple[str, TreeEntry]], list[str]]:
        """(target, its command file) of everything in the directory, and the libraries.

        What links with a library (lib.a) is on none of kbuild's lists when MODULES=n.
        """
        command_files: list[tuple[str, TreeEntry]] = []
        archives: list[str] = []
        for entry in walk_build(self.lane.build):
            if entry.is_folder:
                continue
            if entry.name == "lib.a":
                archives.append(entry.path)
            # A .d is left by what is no object (missing-syscalls), or by an object that failed.
            elif entry.name[0] == "." and entry.name.endswith((".cmd", ".d")):
                target = os.path.normpath(f"{entry.folder}/{entry.name[1:].rpartition('.')[0]}")
                command_files.append((target.lstrip("/"), entry))
        return command_files, archives

    def _read_libraries(self, archives: Iterable[str]) -> set[str]:
        files = self.lane.files
        return {member for name in archives for member in parse_archive_members(files.read_bytes(name), name)}

    def _parse_command_file(self, entry: TreeEntry) -> _CommandFile:
        written = entry.status.st_mtime_ns if entry.status else 0
        known = self._parsed.get(entry.path)
        if known is None or known[0] != written:
            text = self.lane.files.read_text(entry.path, COMMAND_FILE_LIMIT) or ""
            sources = {
                name
                for word in filter(None, _SOURCE_PATH.findall(text))
                for name in self._resolve_source_names(word)
            }
            generated = {os.path.normpath(word) for word in _GENERATED_PATH.findall(text)}
            known = self._parsed[entry.path] = (written, _CommandFile(tuple(sources), tuple(generated)))
        return known[1]

    def _resolve_source_names(self, word: str) -> tuple[str, ...]:
        """``arch/powerpc/kvm/../../../virt/kvm/vfio.c`` as its plain name, and as what a link leads to."""
        if word not in self._names_by_word:
            root = os.path.realpath(self.lane.tree.path)
            real = os.path.relpath(os.path.realpath(f"{root}/{word}"), root)
            self._names_by_word[word] = tuple(
                name
                for name in {os.path.normpath(word), real}
                if not name.startswith(("/", "../")) and classify_impact(name) is Impact.OBJECTS
            )
        return self._names_by_word[word]

    def _find_generated_inputs(self, name: str) -> tuple[str, ...] | None:
        """The sources of a generated file that has no command file; None where they are not known."""
        for pattern, sources in _GENERATED_INPUTS.items():
            if fnmatchcase(name, pattern):
                return sources
        try:
            text = self.lane.files.read_text(name, _WRAPPER_LIMIT)
        except ForeignFileError:
            return None
        # What a wrapper includes is a dependency of its own.
        return () if _GENERIC_WRAPPER.fullmatch(text or "") else None
