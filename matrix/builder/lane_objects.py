"""The objects on record and one lane's directory: those that fit are put back before make, new ones are kept.

When the headers of a configuration are prepared, each object of the directory is either the very one that the
memory has for this configuration, with a fresh time stamp, or it is removed. So make compiles what is not
known, and what the compiler said of all else is on record. What no list of inputs describes (host tools,
objects of generated sources, links) is left to make's own judgement. make does not repeat what it printed of
these, so whatever of them warned is removed when its cell is done, and warns again in the next.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from os import stat_result
from typing import NamedTuple

from matrix.builder.kbuild_objects import list_module_parts, normalize_paths, parse_archive_members
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.prepared_files import find_prepared_headers
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.foreign_files import ForeignFileError
from matrix.foreign_trees import COMMAND_FILE_LIMIT, TreeEntry, walk_build
from matrix.kconfig.config import Config
from matrix.memory.command_file import CommandFile, locate_command_file, parse_command_file
from matrix.memory.object_setting import InputReader, ObjectSetting
from matrix.memory.objects import CompiledObject, KnownObject, ObjectMemory, may_be_kept
from matrix.memory.same_objects import CellParts, ModuleLink, build_cell_parts, list_sources
from matrix.memory.tree_contents import ABSENT, digest_lines

_LIBRARY = "lib.a"
_C_AND_HEADER = ".[ch]"
_OBJECT_TOOLS = frozenset({"gcc", "clang", "as", "objtool", "sparse", "smatch", "kernel-doc"})
"""What works in the rule that makes an object: its words come with each making, and only with that."""
_APART_TOOLS = frozenset({"modpost"})
"""What names objects and works apart from their rules, anew in each stage that it belongs to."""
_Stamp = tuple[int, int]
"""What tells a file from one that was written in its place: inode, and mtime in nanoseconds."""


class MadeDirectory(NamedTuple):
    """A lane's directory when make has ended: all that is in it, and the moment when make began, in the file
    system's nanoseconds."""

    entries: Sequence[TreeEntry]
    moment: int


@dataclass(frozen=True)
class _StandingObject:
    """An object that is on record and lies in the directory, and its file's stamp there."""

    known: KnownObject
    stamp: _Stamp


@dataclass
class LaneObjects:
    """What of a lane's directory is on record. ``folders`` are those that are built, none for all."""

    lane: LaneDirectory
    memory: ObjectMemory
    reader: InputReader
    folders: tuple[str, ...] = ()
    _standing: dict[str, _StandingObject] = field(default_factory=dict)
    _parsed: dict[str, tuple[_Stamp, CommandFile | None]] = field(default_factory=dict)

    @property
    def has_candidates(self) -> bool:
        """Whether an object is on record that some configuration of the lane could take."""
        return any(map(self._is_candidate, self.memory.list_paths()))

    def put_back(self, config: Config) -> None:
        """Make the directory's objects those that are on record for this configuration.

        Where any could fit, the headers must be prepared. The libraries are removed, too: make lists anew
        what belongs to them.
        """
        # Listed once: a whole kernel's directory is large.
        entries = self.list_entries()
        setting = self._read_setting(config, entries)
        present = dict(_find_objects(entries))
        for path in self._find_libraries(entries):
            self.lane.files.remove_file(path)
        for path in {*present, *filter(self._is_candidate, self.memory.list_paths())}:
            known = self._stand(path, setting)
            if known is not None:
                self._standing[path] = known
            elif path in present and self._is_kept_kind(path, present[path]):
                self._remove(path)
        used = (standing.known.entry for standing in self._standing.values())
        self.memory.memory.record_use(used)

    def remove_kept_kind(self) -> None:
        """Remove all objects of the kind that is put back, on record or not: make compiles them anew."""
        for path in [*self._standing]:
            self._remove(path)
        for path, entry in _find_objects(self.list_entries()):
            if self._is_kept_kind(path, entry):
                self._remove(path)

    def is_standing(self, path: str) -> bool:
        """Whether an object is the very file that was put back, or kept, before."""
        standing = self._standing.get(path)
        return standing is not None and self._find_stamp(path) == standing.stamp

    @property
    def listed_elsewhere(self) -> frozenset[str]:
        """The objects here that kbuild's lists named in some configuration: in one whose lists do not, they
        were put back to no use."""
        return frozenset(path for path, known in self._standing.items() if known.known.value.is_listed)

    def find_keys(self, objects: Iterable[str]) -> dict[str, str]:
        """Object → its key in the memory, for those of these that are on record."""
        return {path: self._standing[path].known.key for path in objects if self.is_standing(path)}

    def list_sources(self, objects: Iterable[str]) -> frozenset[str]:
        """The .c, .h and .S files that went into these objects, which are on record."""
        known = {path: self._standing[path].known for path in objects}
        return list_sources(known, self.memory, self.reader)

    def describe_parts(
        self, listed: Set[str], keys: Mapping[str, str], others: Iterable[str], warned: Set[str]
    ) -> CellParts | None:
        """What a cell was made of that was built without a failure, None where that is unknown; the links of
        its modules are remembered.

        ``listed`` are its objects, ``others`` the sources of all else. ``warned`` is whatever something was
        printed of: of a link that warned (objtool's words, where it waits for the whole module) nothing is
        remembered, as only what is known to be silent needs no words on record.
        """
        links = self._read_links(normalize_paths(listed - keys.keys()))
        parts = build_cell_parts(listed, keys, links, others, self.reader.tree)
        if parts is None:
            return None
        for module in parts.links.keys() - warned:
            link = parts.links[module]
            self.memory.keep_link(module, link.command, [keys[name] for name in link.parts])
        return parts if warned.isdisjoint(parts.links) else None

    def _read_links(self, modules: Iterable[str]) -> dict[str, ModuleLink]:
        """How those of these were linked of which that is known."""
        made_of = list_module_parts(self.lane.build, modules)
        commands = {module: self._digest_file(locate_command_file(module)) for module in made_of}
        return {
            module: ModuleLink(command=commands[module], parts=tuple(sorted(parts)))
            for module, parts in made_of.items()
            if commands[module] != ABSENT
        }

    def list_warnings(self, objects: Set[str]) -> list[Occurrence]:
        """What the compiler said of those of these objects that are on record, and were not made again."""
        return [
            Occurrence(warning, path)
            for path, standing in self._standing.items()
            if path in objects and standing.known.value.warnings and self.is_standing(path)
            for warning in standing.known.value.warnings
        ]

    def list_library_members(self, entries: Iterable[TreeEntry]) -> frozenset[str]:
        """The objects of the libraries among what make has just made."""
        files = self.lane.files
        members = (
            parse_archive_members(files.read_bytes(path), path) for path in self._find_libraries(entries)
        )
        return frozenset(chain.from_iterable(members))

    def list_entries(self) -> list[TreeEntry]:
        """All that is in the directory now."""
        return [*walk_build(self.lane.build)]

    def _find_libraries(self, entries: Iterable[TreeEntry]) -> list[str]:
        paths = [entry.path for entry in entries if entry.name == _LIBRARY]
        return [path for path in paths if not self.folders or path.startswith(self.folders)]

    def keep_compiled(
        self,
        config: Config,
        cell: str,
        objects: Iterable[str],
        occurrences: Iterable[Occurrence],
        listed: Set[str],
        entries: Iterable[TreeEntry],
    ) -> None:
        """Remember the objects that make has just compiled in this configuration, for a cell (its id).

        ``entries`` are all that make left in the directory.
        One with warnings is remembered only where a list shows that it is ``listed``: elsewhere nothing would
        say whether its warnings belong to a configuration.
        """
        said = _group_by_object(item for item in occurrences if item.diagnostic.tool not in _APART_TOOLS)
        if any(item.tool in _OBJECT_TOOLS for item in said.get(None, ())):
            return  # whose words these are is not known
        candidates = (
            self._read_compiled(path, tuple(said.get(path, ())), path in listed)
            for path in self._select_certain(objects, said.keys())
        )
        compiled = [one for one in candidates if one is not None and (one.is_listed or not one.warnings)]
        for known in self.memory.keep(compiled, self._read_setting(config, entries), cell):
            stamp = self._find_stamp(known.path)
            if stamp is not None:
                self._standing[known.path] = _StandingObject(known, stamp)

    def _select_certain(self, objects: Iterable[str], spoken: Set[str | None]) -> Iterator[str]:
        """Those of these of which it is known what was said: a message names the source, of which several
        objects may be made (``lib/cmdline.o``, ``libstub/lib-cmdline.o``), each with warnings of its own."""
        if not spoken - {None}:
            yield from objects
            return
        sources = {path: self._find_source(path) for path in objects}
        counts = Counter(sources.values())
        shared = {sources[path] for path in sources.keys() & spoken if counts[sources[path]] > 1}
        yield from (path for path, source in sources.items() if source not in shared)

    def _find_source(self, path: str) -> str | None:
        command_file = self._load_command_file(path)
        return None if command_file is None else os.path.normpath(command_file.source)

    def find_compiled(self, directory: MadeDirectory) -> frozenset[str]:
        """The objects with a command file of kbuild's that make has made and that are not on record."""
        return frozenset(
            path
            for path, entry in _find_objects(directory.entries)
            if entry.status and entry.status.st_mtime_ns >= directory.moment and not self.is_standing(path)
        )

    def remove_warned(self) -> bool:
        """Remove the objects on record that have warnings; whether there were any."""
        warned = [path for path, standing in self._standing.items() if standing.known.value.warnings]
        for path in warned:
            self._remove(path)
        return bool(warned)

    def remove_unkept(self, warned: Iterable[str]) -> None:
        """Remove those of these files that are not on record."""
        for path in chain.from_iterable(map(_list_files, warned)):
            if not self.is_standing(path):
                self.lane.files.remove_file(path)

    def _stand(self, path: str, setting: ObjectSetting) -> _StandingObject | None:
        """Put back the variant of an object that fits, unless it lies there; None where there is none."""
        while (known := self.memory.find_fitting(path, setting)) is not None:
            standing = self._standing.get(path)
            if standing is not None and standing.known.key == known.key and self.is_standing(path):
                status = self.lane.files.set_fresh_time(path)
            else:
                status = self._write(known)
            if status is not None:
                return _StandingObject(known, _stamp(status))
        return None

    def _write(self, known: KnownObject) -> stat_result | None:
        content = self.memory.load_files(known)
        if content is None:
            return None
        files, owner = self.lane.files, self.lane.owner_ids
        try:
            files.write_file(locate_command_file(known.path), content[1], owner)
            return files.write_file(known.path, content[0], owner)
        except ForeignFileError:
            self.memory.forget(known)
            return None

    def _remove(self, path: str) -> None:
        self._standing.pop(path, None)
        self.lane.files.remove_file(path)
        self.lane.files.remove_file(locate_command_file(path))

    def _is_candidate(self, path: str) -> bool:
        if not self.folders:
            return True
        return any(known.value.target.startswith(self.folders) for known in self.memory.list_known(path))

    def _is_kept_kind(self, path: str, entry: TreeEntry) -> bool:
        """Whether this object would be on record if it belonged to a configuration that was built."""
        command_file = self._parse_command_file(path, entry)
        return (
            command_file is not None
            and may_be_kept(path, command_file)
            and self.reader.list_inputs(command_file) is not None
        )

    def _read_compiled(
        self, path: str, said: tuple[Diagnostic, ...], is_listed: bool
    ) -> CompiledObject | None:
        # Whether the next make of the object repeats what another tool said in its name is not known.
        if any(item.severity == "error" or item.tool not in _OBJECT_TOOLS for item in said):
            return None
        files = self.lane.files
        try:
            text = files.read_bytes(locate_command_file(path), COMMAND_FILE_LIMIT)
            content = files.read_bytes(path)
        except ForeignFileError:
            return None
        command_file = parse_command_file((text or b"").decode("utf-8", "replace"))
        if text is None or content is None or command_file is None or not may_be_kept(path, command_file):
            return None
        return CompiledObject(path, content, text, command_file, said, is_listed)

    def _parse_command_file(self, path: str, entry: TreeEntry) -> CommandFile | None:
        stamp = _stamp(entry.status) if entry.status else (0, 0)
        known = self._parsed.get(path)
        if known is None or known[0] != stamp:
            known = self._parsed[path] = (stamp, self._load_command_file(path))
        return known[1]

    def _load_command_file(self, path: str) -> CommandFile | None:
        try:
            text = self.lane.files.read_text(locate_command_file(path), COMMAND_FILE_LIMIT)
        except ForeignFileError:
            return None
        return parse_command_file(text or "")

    def _find_stamp(self, path: str) -> _Stamp | None:
        status = self.lane.files.stat_file(path)
        return None if status is None else _stamp(status)

    def _read_setting(self, config: Config, entries: Iterable[TreeEntry]) -> ObjectSetting:
        digests: dict[str, str] = {}

        def digest_generated(name: str) -> str:
            if name not in digests:
                digests[name] = self._digest_file(name)
            return digests[name]

        headers = frozenset(find_prepared_headers(entries))
        return ObjectSetting(self.reader, config, digest_generated, digest_lines(sorted(headers)), headers)

    def _digest_file(self, name: str) -> str:
        try:
            content = self.lane.files.read_bytes(name)
        except ForeignFileError:
            return ABSENT
        return ABSENT if content is None else hashlib.sha256(content).hexdigest()


def _find_objects(entries: Iterable[TreeEntry]) -> Iterator[tuple[str, TreeEntry]]:
    """(object, its command file's entry) of everything that kbuild made in the directory."""
    for entry in entries:
        if entry.is_file and entry.name.startswith(".") and entry.name.endswith(".o.cmd"):
            name = entry.name[1:].removesuffix(".cmd")
            yield (f"{entry.folder}/{name}" if entry.folder else name), entry


def _stamp(status: stat_result) -> _Stamp:
    return status.st_ino, status.st_mtime_ns


def _list_files(name: str) -> tuple[str, ...]:
    """The files that kbuild prints under one name: ``parse.tab.[ch]`` is two."""
    stem = name.removesuffix(_C_AND_HEADER)
    return (name,) if stem == name else (f"{stem}.c", f"{stem}.h")


def _group_by_object(occurrences: Iterable[Occurrence]) -> dict[str | None, list[Diagnostic]]:
    groups: dict[str | None, list[Diagnostic]] = {}
    for diagnostic, path in occurrences:
        groups.setdefault(path, []).append(diagnostic)
    return groups
