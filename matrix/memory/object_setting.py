"""What an object is compiled in: a tree, a configuration, and the headers that are prepared for it."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kconfig.config import Config
from matrix.memory.command_file import CommandFile
from matrix.memory.hidden_inputs import HiddenInputs, find_hidden_inputs
from matrix.memory.tree_contents import ABSENT, TreeContents, digest_lines
from matrix.resolve.make_runner import SOURCE_MOUNT

_SYMBOL = re.compile(rb"\bCONFIG_([A-Za-z0-9_]+)")
_FILE_IN_COMMAND = re.compile(rf"{SOURCE_MOUNT}/([^\s'\",;:=]+)")
_MAKEFILE_PREFIXES = ("Makefile", "Kbuild", "Platform")
_AS_MODULE = "_MODULE"
"""What a header calls a symbol with the value m."""
_READ_FOR_FLAGS = "include/generated/asm-offsets.h"
"""Where the stack protector's guard lies, arches take from here for the command line of every object."""
_SHORT_DIGEST = 12


@dataclass(frozen=True)
class InputList:
    """The files of the tree that go into an object, as compilers name them; and the names of other headers in
    place of which one of the tree may be found: generated ones, the image's, and those of which its sources
    only ask whether they are there."""

    sources: tuple[str, ...]
    probed: tuple[str, ...] = ()

    def join(self, sources: Set[str], probed: Set[str]) -> "InputList":
        """These with further ones."""
        return InputList(tuple(sorted(sources | {*self.sources})), tuple(sorted(probed | {*self.probed})))


@dataclass
class InputReader:
    """What goes into objects of one tree. ``tree`` is read once for each source."""

    tree: TreeContents
    _hidden: dict[str, HiddenInputs] = field(default_factory=dict)
    _digests: dict[InputList, str] = field(default_factory=dict)
    _makefile_symbols: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def list_inputs(self, command_file: CommandFile) -> InputList | None:
        """All that goes into an object; None where that cannot be known."""
        sources, waiting = dict[str, None](), [*_list_named_files(command_file)]
        probed = {*command_file.generated, *command_file.outside}
        while waiting:
            path = waiting.pop()
            if path in sources or self.tree.find_content(path) == ABSENT:
                continue
            sources[path] = None
            hidden = self.find_hidden(path)
            if hidden.unlisted or hidden.reread:
                return None
            probed |= hidden.probed
            # Which of them the assembler finds is not known, so all of that name count.
            waiting += (found for name in hidden.assembled for found in self.find_by_name(name))
        if not all(path in sources for path in command_file.sources):
            return None
        return InputList(tuple(sorted(sources)), tuple(sorted(probed)))

    def digest_inputs(self, inputs: InputList) -> str:
        """The digest of their contents, and of where else headers of their names lie: one that a patch adds
        may be found in place of another."""
        if inputs not in self._digests:
            self._digests[inputs] = digest_lines(self._describe_inputs(inputs))
        return self._digests[inputs]

    def list_makefile_symbols(self, folder: str) -> tuple[str, ...]:
        """The symbols that the makefiles in one directory name."""
        if folder not in self._makefile_symbols:
            paths = self.makefiles.get(folder, ())
            found = {name for path in paths for name in find_symbols(self.read_source(path))}
            self._makefile_symbols[folder] = tuple(sorted(found))
        return self._makefile_symbols[folder]

    def _describe_inputs(self, inputs: InputList) -> Iterator[str]:
        for path in inputs.sources:
            yield f"{self.tree.find_content(path)} {path}"
        names = {path.rpartition("/")[2] for path in (*inputs.sources, *inputs.probed)}
        for name in sorted(names):
            yield " ".join(self.tree.paths_by_name.get(name, ()))

    def find_by_name(self, name: str) -> tuple[str, ...]:
        """All files of the tree with the own name of this one."""
        return self.tree.paths_by_name.get(name.rpartition("/")[2], ())

    def find_hidden(self, path: str) -> HiddenInputs:
        """What a source of the tree reads that no compiler lists."""
        content = self.tree.find_content(path)
        if content not in self._hidden:
            self._hidden[content] = find_hidden_inputs(self.read_source(path))
        return self._hidden[content]

    def read_source(self, path: str) -> bytes:
        """The text of a source; where it cannot be read, one that hides what goes in."""
        # A path through a link is no name of the door's: its content was found under the plain one.
        try:
            return ForeignDirectory(self.tree.root).read_bytes(self.tree.find_plain_path(path)) or b""
        except ForeignFileError:
            return b".incbin"

    @cached_property
    def makefiles(self) -> Mapping[str, Sequence[str]]:
        """Directory → the makefiles that lie in it."""
        folders: dict[str, list[str]] = {}
        for path in self.tree.manifest.entries:
            folder, _, name = path.rpartition("/")
            if name.startswith(_MAKEFILE_PREFIXES):
                folders.setdefault(folder, []).append(path)
        return folders


def find_symbols(text: bytes) -> set[str]:
    """The symbols of Kconfig that a text names, each as what it is set by."""
    names = {name.decode() for name in _SYMBOL.findall(text)}
    return names | {name.removesuffix(_AS_MODULE) for name in names}


def _list_named_files(command_file: CommandFile) -> Iterator[str]:
    """The files of the tree that the command file names: in its lists, or as an option's value."""
    yield from command_file.sources
    yield from _FILE_IN_COMMAND.findall(command_file.command)


@dataclass
class ObjectSetting:
    """What the objects of one cell are compiled in, when its headers are prepared.

    ``generated`` gives the digest of a generated file's content, ABSENT where there is none, and
    ``generated_names`` is a digest of the names of all generated headers, ``generated_headers``, which are
    known where objects are compiled.
    """

    reader: InputReader
    config: Config
    generated: Callable[[str], str]
    generated_names: str
    generated_headers: frozenset[str] = frozenset()
    _values: dict[tuple[str, ...], str] = field(default_factory=dict)
    _lines: dict[str, str] = field(default_factory=dict)

    def digest_values(self, symbols: tuple[str, ...]) -> str:
        """The digest of these symbols' values, in whatever case: kernels before 5.13 note capitals only."""
        if symbols not in self._values:
            # The objects of a cell name few symbols, over and over.
            self._lines.update((name, self._format_value(name)) for name in {*symbols} - self._lines.keys())
            self._values[symbols] = digest_lines(map(self._lines.__getitem__, symbols))
        return self._values[symbols]

    def _format_value(self, symbol: str) -> str:
        names = (symbol, *self._mixed_case_names.get(symbol, ()))
        return "\0".join(f"{name}={self.config.value_of(name)}" for name in names)

    @cached_property
    def _mixed_case_names(self) -> dict[str, list[str]]:
        """A name in capitals → those of the configuration that have small letters in its place."""
        names: dict[str, list[str]] = {}
        for name in sorted(name for name in self.config if not name.isupper()):
            names.setdefault(name.upper(), []).append(name)
        return names

    def digest_makefiles(self, target: str) -> dict[str, str]:
        """Directory → a digest of what its makefiles see, for those that decide on an object's command line;
        and the digest of the header that an arch's makefile reads.

        ``target`` is the object as make names it. The two directories that come first are next to it.
        """
        seen = {folder: self._digest_folder(folder) for folder in list_makefile_folders(target)}
        return {**seen, _READ_FOR_FLAGS: self.generated(_READ_FOR_FLAGS)[:_SHORT_DIGEST]}

    def _digest_folder(self, folder: str) -> str:
        return self.digest_values(self.reader.list_makefile_symbols(folder))[:_SHORT_DIGEST]


def list_makefile_folders(target: str) -> list[str]:
    """The directory whose makefile lists an object, the one where it lies, those above both, and ``scripts``.

    ``arch/x86/kvm/../../../virt/kvm/vfio.o`` lies in ``virt/kvm``, and is listed in ``arch/x86/kvm``.
    """
    listing = PurePosixPath(f"{target.partition('/..')[0]}/x" if "/.." in target else target).parents
    lying = PurePosixPath(os.path.normpath(target)).parents
    folders = [listing[0], lying[0], *listing, *lying, PurePosixPath("scripts")]
    return list(dict.fromkeys("" if str(folder) == "." else str(folder) for folder in folders))
