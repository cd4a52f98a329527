"""Which objects belong to a configuration, read from what kbuild leaves in the build directory.

A lane's directory holds objects of configurations that it left, so that a file exists proves nothing.
kbuild lists what belongs: ``built-in.a`` (a thin archive; ``vmlinux.a`` for the whole kernel),
``modules.order`` and, for each module, ``.mod``. It does not visit a directory that nothing in the
configuration needs, and leaves its old lists there; so they are removed before each build.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from matrix.foreign_files import ForeignDirectory, ForeignFileError

MAX_LISTED_OBJECTS = 200_000
"""Names that the lists of a stage may hold. A kernel with all its modules has about 30,000 objects."""
MAX_LIST_BYTES = 64 * 2**20
"""What is read of all lists of a target: those of a whole kernel have a few MiB."""

_THIN_MAGIC = b"!<thin>\n"
_HEADER_SIZE = 60
_NAME_TABLE_ENTRY = re.compile(rb"^([^\n]+)/\n", re.MULTILINE)
_MEMBER_SIZE = re.compile(rb"([0-9]{1,10}) *`\n")
_DIRECTORY_LISTS = ("built-in.a", "modules.order")
_WHOLE_TREE_LISTS = {"vmlinux": ("vmlinux.a", "built-in.a"), "modules": ("modules.order",)}


def remove_object_lists(build: Path, targets: Iterable[str]) -> None:
    """Remove kbuild's lists for these targets, so that those found later are of this configuration."""
    files = ForeignDirectory(build)
    for target in targets:
        for name in _name_object_lists(target):
            files.remove_file(name)


def has_object_lists(build: Path, targets: Iterable[str]) -> bool:
    """Whether kbuild wrote all its lists for these targets: then nothing below them failed."""
    files = ForeignDirectory(build)
    return all(files.stat_file(name) for target in targets for name in _name_object_lists(target))


def _name_object_lists(target: str) -> Iterator[str]:
    folder = "." if target in _WHOLE_TREE_LISTS else to_make_target(target)
    yield from (f"{folder}/{name}" for name in _WHOLE_TREE_LISTS.get(target, _DIRECTORY_LISTS))


def read_listed_objects(build: Path, targets: Iterable[str]) -> frozenset[str]:
    """The objects of these targets in the configuration just built, relative to the build directory.

    A target is a directory (``drivers/vfio/``), an object of one, ``vmlinux`` or ``modules``. Where a
    failure kept kbuild from writing a list, the objects that only it names are missing: add those that the
    log shows compiled. ForeignFileError where a list is none that kbuild made.
    """
    lists = _ListReader(ForeignDirectory(build))
    objects: set[str] = set()
    names = (name for target in targets for name in _read_target_objects(lists, target))
    for count, name in enumerate(names):
        if count == MAX_LISTED_OBJECTS:
            raise ForeignFileError(f"kbuild's lists name more than {MAX_LISTED_OBJECTS} objects")
        objects.add(name)
    return frozenset(objects)


class _ListReader:
    """Reads kbuild's lists in one build directory, no more than MAX_LIST_BYTES of them."""

    def __init__(self, files: ForeignDirectory) -> None:
        self._files = files
        self._bytes_left = MAX_LIST_BYTES

    def read_content(self, name: str) -> bytes | None:
        content = self._files.read_bytes(name, self._bytes_left)
        self._bytes_left -= len(content or b"")
        return content

    def read_lines(self, name: str) -> list[str]:
        """The lines of a list; none where there is no such list."""
        content = self.read_content(name)
        return [] if content is None else content.decode("utf-8", "replace").splitlines()


def _read_target_objects(lists: _ListReader, target: str) -> Iterator[str]:
    if target.endswith(".o"):
        # kbuild would make any object that is named as a target, whether the configuration has it or not.
        yield from (name for name in _read_target_objects(lists, to_make_target(target)) if name == target)
    elif target == "modules":
        yield from _read_module_objects(lists, "modules.order")
    elif target == "vmlinux":
        name, content = "vmlinux.a", lists.read_content("vmlinux.a")
        if content is None:
            name, content = "built-in.a", lists.read_content("built-in.a")
        yield from parse_archive_members(content, name)
    else:
        folder = target.rstrip("/")
        archive = f"{folder}/built-in.a"
        yield from parse_archive_members(lists.read_content(archive), archive)
        yield from _read_module_objects(lists, f"{folder}/modules.order")


def to_make_target(target: str) -> str:
    """The target to give to make: an object's directory; any other target as it is."""
    return f"{PurePosixPath(target).parent}/" if target.endswith(".o") else target


def list_module_files(build: Path, targets: Iterable[str]) -> frozenset[str]:
    """``x.o`` and ``x.ko`` of every module of these targets: modpost names these, and not their parts."""
    lists = _ListReader(ForeignDirectory(build))
    # vmlinux has no modules: a list that is there is of an earlier configuration.
    own = (target for target in targets if target != "vmlinux")
    folders = ("." if target in _WHOLE_TREE_LISTS else to_make_target(target) for target in own)
    names = [name for folder in folders for name in lists.read_lines(f"{folder}/modules.order")]
    stems = {name.removesuffix(".ko").removesuffix(".o") for name in names}
    return frozenset(f"{stem}{suffix}" for stem in stems for suffix in (".o", ".ko"))


def parse_archive_members(content: bytes | None, name: str) -> Iterator[str]:
    """The members of a thin archive, relative to the build directory. Inside, they are relative to it.

    None, or an archive that is not thin, has no members. ForeignFileError where ar has not made it.
    """
    if content is None or not content.startswith(_THIN_MAGIC):
        return
    offset = len(_THIN_MAGIC)
    while offset + _HEADER_SIZE <= len(content):
        header = content[offset : offset + _HEADER_SIZE]
        size = _MEMBER_SIZE.fullmatch(header[48:])
        if size is None:
            raise ForeignFileError(f"{name!r} is damaged: the header at byte {offset} is none of ar's")
        offset += _HEADER_SIZE
        if header.startswith(b"//"):
            table = content[offset : offset + int(size[1])]
            entries = (entry[1].decode("utf-8", "replace") for entry in _NAME_TABLE_ENTRY.finditer(table))
            yield from normalize_paths(entries, str(PurePosixPath(name).parent))
            return
        # Only the symbol and name tables have contents in a thin archive; the name table comes before
        # the first member.
        offset += int(size[1]) + int(size[1]) % 2


def _read_module_objects(lists: _ListReader, order: str) -> Iterator[str]:
    """The objects of the modules that a ``modules.order`` names (``.o`` since 6.2, ``.ko`` before)."""
    for module in dict.fromkeys(normalize_paths(lists.read_lines(order))):
        name = f"{module.removesuffix('.ko').removesuffix('.o')}.o"
        yield from _read_module_parts(lists, name) or [name]


def _read_module_parts(lists: _ListReader, module: str) -> list[str]:
    """What ``x.mod`` lists that the module ``x.o`` is made of; nothing where there is no such file."""
    words = (word for line in lists.read_lines(f"{module.removesuffix('.o')}.mod") for word in line.split())
    return list(normalize_paths(word for word in words if word.endswith(".o")))


def list_module_parts(build: Path, modules: Iterable[str]) -> dict[str, frozenset[str]]:
    """Module's own object (``x.o``) → what it is made of, itself where it is one object alone."""
    lists = _ListReader(ForeignDirectory(build))
    return {module: frozenset(_read_module_parts(lists, module) or [module]) for module in modules}


def normalize_paths(paths: Iterable[str], folder: str = ".") -> Iterator[str]:
    """``arch/powerpc/kvm/../../../virt/kvm/vfio.o`` is the file ``virt/kvm/vfio.o``.

    What leads out of the build directory is no object of it.
    """
    for path in paths:
        plain = os.path.normpath(f"{folder}/{path}")
        if path and "\0" not in path and not path.startswith("/") and plain.split("/")[0] != "..":
            yield plain


def find_made_since(build: Path, objects: Iterable[str], moment: int) -> frozenset[str]:
    """The objects whose file is at least as new as ``moment``, in nanoseconds.

    The moment is the time of a file in the same file system: clock and granularity are the same.
    """
    files = ForeignDirectory(build)
    statuses = ((name, files.stat_file(name)) for name in objects)
    return frozenset(name for name, status in statuses if status and status.st_mtime_ns >= moment)
