"""Objects that were compiled before, each found again by all that it depends on.

That is: its command line; the contents of all files that go into it; the values of the Kconfig symbols that
these name; where else headers of their names lie; the image, the make variables, and what works on an object
after the compiler. The command line is not known before make has it. So of the variants that fit otherwise
the one is taken whose makefiles saw the same symbols. make compares the command lines itself: a wrong guess
costs a compilation, and never a false pass.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import BaseModel, ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.parser_digest import compute_parser_digest
from matrix.memory.assembly_versions import ASSEMBLY_VERSIONS, VersionReader, exports_assembly
from matrix.memory.command_file import CommandFile
from matrix.memory.layers import Memory
from matrix.memory.object_setting import InputList, InputReader, ObjectSetting
from matrix.memory.store import Entry
from matrix.memory.tree_contents import ABSENT, digest_lines

OBJECT_RECIPE = 3
"""Raised when objects that were kept before must not be taken any more, as kmatrix runs make otherwise."""

# Host programs, images that are linked and copied anew, and what is built apart from the kernel: makefiles
# make more of such objects than kbuild notes.
_APART = frozenset({"scripts", "tools", "boot", "purgatory", "realmode", "compressed"})
_APART_PREFIX = "vdso"
_COMPILED = (".c", ".S")


@dataclass(frozen=True)
class CompiledObject:
    """An object that make has just compiled, with what kbuild noted and the compiler said of it.

    ``path`` is relative to the build directory. ``is_listed``: kbuild's lists show that it belongs to the
    configuration.
    """

    path: str
    content: bytes
    command_text: bytes
    command_file: CommandFile
    warnings: tuple[Diagnostic, ...]
    is_listed: bool


class ObjectValue(BaseModel):
    """The JSON of an object's entry: digests of contents and of lists, and of what these had.

    ``makefiles``: directory → what its makefiles saw. ``cell`` is the id of the one it was compiled for.
    """

    content: str
    command_file: str
    command: str
    target: str
    is_listed: bool
    symbols: str
    values: str
    inputs: str
    inputs_contents: str
    generated: dict[str, str]
    generated_names: str
    makefiles: dict[str, str]
    warnings: tuple[Diagnostic, ...] = ()
    cell: str


@dataclass(frozen=True)
class KnownObject:
    """An object on record."""

    value: ObjectValue
    entry: Entry

    @property
    def path(self) -> str:
        return self.entry.name

    @property
    def key(self) -> str:
        """Equal keys, equal objects and messages."""
        return self.entry.key


@dataclass(frozen=True)
class _ReadFiles:
    """What was read for an object: files of the tree, prepared headers, and symbols that these name."""

    inputs: InputList
    generated: tuple[str, ...]
    symbols: tuple[str, ...]


def is_built_apart(path: str) -> bool:
    """Whether an object lies where host programs, boot code or a vdso are built: it is made for any
    configuration, where it does not stand from an earlier one."""
    parts = path.split("/")
    return not _APART.isdisjoint(parts) or any(part.startswith(_APART_PREFIX) for part in parts)


def may_be_kept(path: str, command_file: CommandFile) -> bool:
    """Whether what went into this object is known from its command file, and kbuild makes it as any other.

    Not where its source is generated: what went into that is on another list.
    """
    return (
        path.endswith(".o")
        and not is_built_apart(path)
        and command_file.sources[:1] != ()
        and command_file.source.endswith(f"/{command_file.sources[0]}")
        and command_file.source.endswith(_COMPILED)
        and not any(name.startswith(("/build/", "/tmp/")) for name in command_file.outside)  # noqa: S108
    )


@dataclass
class ObjectMemory:
    """The objects of one image and make line, in any configuration and tree.

    ``scope`` is a digest of what all of them depend on; ``run`` is who keeps new ones.
    """

    memory: Memory
    scope: str
    _lists: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    _inputs: dict[str, InputList | None] = field(default_factory=dict)
    _versions: VersionReader | None = None

    @cached_property
    def _objects_by_path(self) -> dict[str, list[KnownObject]]:
        objects = defaultdict[str, list[KnownObject]](list)
        for entry in self.memory.find_entries("object", self.scope):
            known = _read_entry(entry)
            if known is not None:
                objects[entry.name].append(known)
        return objects

    def list_known(self, path: str) -> Sequence[KnownObject]:
        """All variants of an object that are on record, the one that was used last first."""
        return self._objects_by_path.get(path, ())

    def list_paths(self) -> list[str]:
        """The objects of which there is any variant on record."""
        return [path for path, known in self._objects_by_path.items() if known]

    def count_objects_by_symbol(self) -> Counter[str]:
        """How many of the objects on record look at each symbol, in the variant that was used last."""
        lists = Counter(known[0].value.symbols for known in self._objects_by_path.values() if known)
        counts = Counter[str]()
        for digest, count in lists.items():
            counts.update(dict.fromkeys(self._load_list(digest) or (), count))
        return counts

    def find_known(self, path: str, key: str) -> KnownObject | None:
        """One variant of an object, by its key."""
        return next((known for known in self.list_known(path) if known.key == key), None)

    def find_fitting(self, path: str, setting: ObjectSetting) -> KnownObject | None:
        """The variant that make would compile just so in this setting, as far as is known; or None."""
        fitting = [known for known in self.list_known(path) if self.fits(known.value, setting)]
        return max(fitting, key=lambda known: _rate_command(known.value, setting), default=None)

    def fits(self, value: ObjectValue, setting: ObjectSetting) -> bool:
        """Whether all that went into an object is the same in this setting, but for its command line."""
        if value.generated_names != setting.generated_names:
            return False
        symbols = self._load_list(value.symbols)
        if symbols is None or setting.digest_values(symbols) != value.values:
            return False
        if any(setting.generated(name) != digest for name, digest in value.generated.items()):
            return False
        inputs = self.load_inputs(value.inputs)
        return inputs is not None and setting.reader.digest_inputs(inputs) == value.inputs_contents

    def keep(
        self, compiled: Iterable[CompiledObject], setting: ObjectSetting, cell: str
    ) -> list[KnownObject]:
        """Remember objects that were compiled in this setting, for a cell; those that could be."""
        kept = [known for one in compiled if (known := self._build_known(one, setting, cell)) is not None]
        self.memory.put_entries(known.entry for known in kept)
        for known in kept:
            others = (other for other in self._objects_by_path[known.path] if other.key != known.key)
            self._objects_by_path[known.path] = [known, *others]
        return kept

    def keep_link(self, module: str, command: str, parts: Iterable[str]) -> None:
        """Remember that a module's parts, by their keys, were linked without an error or a warning.
        ``command`` is the digest of the link's command file."""
        self.memory.put_entries([self._build_link(module, command, parts)])

    def find_link(self, module: str, command: str, parts: Iterable[str]) -> Entry | None:
        """What is on record of just these parts of a module linked so; None where they never were."""
        entry = self._build_link(module, command, parts)
        return self.memory.find_entry(entry.kind, entry.scope, entry.name, entry.key)

    def _build_link(self, module: str, command: str, parts: Iterable[str]) -> Entry:
        key = digest_lines([command, *sorted(parts)])
        return Entry("link", self.scope, module, key, "", self.memory.run)

    def load_files(self, known: KnownObject) -> tuple[bytes, bytes] | None:
        """(the object, its command file); None where they are damaged or gone."""
        content = self.memory.get_content(known.value.content)
        command_file = self.memory.get_content(known.value.command_file)
        if content is None or command_file is None:
            self.forget(known)
            return None
        return content, command_file

    def forget(self, known: KnownObject) -> None:
        """Take an object no more, as it is damaged or cannot be put back."""
        self._objects_by_path[known.path].remove(known)

    def _build_known(self, one: CompiledObject, setting: ObjectSetting, cell: str) -> KnownObject | None:
        read = self._find_read(one, setting)
        if read is None:
            return None
        generated = {name: setting.generated(name) for name in read.generated}
        if ABSENT in generated.values():
            return None
        value = ObjectValue(
            content=self.memory.put_content(one.content),
            command_file=self.memory.put_content(one.command_text),
            command=hashlib.sha256(one.command_file.command.encode()).hexdigest(),
            is_listed=one.is_listed,
            target=one.command_file.target,
            symbols=self._put_list(read.symbols),
            values=setting.digest_values(read.symbols),
            inputs=self._put_inputs(read.inputs),
            inputs_contents=setting.reader.digest_inputs(read.inputs),
            generated=generated,
            generated_names=setting.generated_names,
            makefiles=setting.digest_makefiles(one.command_file.target),
            warnings=one.warnings,
            cell=cell,
        )
        contents = (value.content, value.command_file, value.symbols, value.inputs)
        key = _compute_key(value)
        text = value.model_dump_json()
        return KnownObject(value, Entry("object", self.scope, one.path, key, text, self.memory.run, contents))

    def _find_read(self, one: CompiledObject, setting: ObjectSetting) -> _ReadFiles | None:
        """What was read for an object; None where that cannot be known."""
        file = one.command_file
        inputs = setting.reader.list_inputs(file)
        if inputs is None:
            return None
        if not exports_assembly(file, one.content):
            return _ReadFiles(inputs, file.generated, file.symbols)
        symbols = {*file.symbols, ASSEMBLY_VERSIONS}
        if setting.config.value_of(ASSEMBLY_VERSIONS) != "y":
            return _ReadFiles(inputs, file.generated, tuple(sorted(symbols)))
        versions = self._get_version_reader(setting.reader).find_inputs(file)
        if versions is None:
            return None
        return _ReadFiles(
            inputs.join(versions.sources, versions.names),
            (*file.generated, *versions.select_generated(setting.generated_headers)),
            tuple(sorted(symbols | versions.symbols)),
        )

    def _get_version_reader(self, reader: InputReader) -> VersionReader:
        if self._versions is None or self._versions.reader is not reader:
            self._versions = VersionReader(reader)
        return self._versions

    def _put_list(self, names: tuple[str, ...]) -> str:
        digest = self.memory.put_content(json.dumps(names).encode())
        self._lists[digest] = names
        return digest

    def _put_inputs(self, inputs: InputList) -> str:
        digest = self.memory.put_content(json.dumps([inputs.sources, inputs.probed]).encode())
        self._inputs[digest] = inputs
        return digest

    def _load_list(self, digest: str) -> tuple[str, ...] | None:
        if digest not in self._lists:
            content = self.memory.get_content(digest)
            self._lists[digest] = None if content is None else tuple(json.loads(content))
        return self._lists[digest]

    def load_inputs(self, digest: str) -> InputList | None:
        """The files that went into objects, by the digest in their values; None where the list is gone."""
        if digest not in self._inputs:
            content = self.memory.get_content(digest)
            lists = () if content is None else map(tuple, json.loads(content))
            self._inputs[digest] = InputList(*lists) if content is not None else None
        return self._inputs[digest]


def compute_object_scope(image: str, make_line: str, tools_digest: str) -> str:
    """The digest of what all objects of a lane depend on, and their warnings. ``image`` is an id."""
    return digest_lines([str(OBJECT_RECIPE), compute_parser_digest(), image, make_line, tools_digest])


def _compute_key(value: ObjectValue) -> str:
    parts = (value.command, value.symbols, value.values, value.inputs, value.inputs_contents)
    generated = json.dumps([value.generated_names, *sorted(value.generated.items())])
    return digest_lines((*parts, generated))


def _rate_command(value: ObjectValue, setting: ObjectSetting) -> tuple[bool, int]:
    """How likely its command line is the one of this setting: what the next makefiles see comes first."""
    now = setting.digest_makefiles(value.target)
    same = [value.makefiles.get(folder) == digest for folder, digest in now.items()]
    return all(same[:2]), sum(same)


def _read_entry(entry: Entry) -> KnownObject | None:
    try:
        return KnownObject(ObjectValue.model_validate_json(entry.value), entry)
    except ValidationError:
        return None  # of another version
