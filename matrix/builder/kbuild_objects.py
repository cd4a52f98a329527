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

_THIN_MAGIC = b"!<thin>\n"
_HEADER_SIZE = 60
_NAME_TABLE_ENTRY = re.compile(rb"([^\n]+?)/\n")
_DIRECTORY_LISTS = ("built-in.a", "modules.order")
_WHOLE_TREE_LISTS = {"vmlinux": ("vmlinux.a", "built-in.a"), "modules": ("modules.order",)}


def remove_object_lists(build: Path, targets: Iterable[str]) -> None:
    """Remove kbuild's lists for these targets, so that those found later are of this configuration."""
    inside = build.resolve()
    for target in targets:
        folder = build if target in _WHOLE_TREE_LISTS else build / to_make_target(target)
        # A link that a foreign makefile left may lead anywhere.
        if folder.resolve().is_relative_to(inside):
            for name in _WHOLE_TREE_LISTS.get(target, _DIRECTORY_LISTS):
                (folder / name).unlink(missing_ok=True)


def read_listed_objects(build: Path, targets: Iterable[str]) -> frozenset[str]:
    """The objects of these targets in the configuration just built, relative to the build directory.

    A target is a directory (``drivers/vfio/``), an object of one, ``vmlinux`` or ``modules``. Where a
    failure kept kbuild from writing a list, the objects that only it names are missing: add those that the
    log shows compiled.
    """
    return frozenset(name for target in targets for name in _read_target_objects(build, target))


def _read_target_objects(build: Path, target: str) -> Iterator[str]:
    if target.endswith(".o"):
        # kbuild would make any object that is named as a target, whether the configuration has it or not.
        yield from (name for name in _read_target_objects(build, to_make_target(target)) if name == target)
    elif target == "modules":
        yield from _read_module_objects(build, build / "modules.order")
    elif target == "vmlinux":
        whole = build / "vmlinux.a"
        yield from read_archive_members(whole if whole.exists() else build / "built-in.a", build)
    else:
        yield from read_archive_members(build / target / "built-in.a", build)
        yield from _read_module_objects(build, build / target / "modules.order")


def to_make_target(target: str) -> str:
    """The target to give to make: an object's directory; any other target as it is."""
    return f"{PurePosixPath(target).parent}/" if target.endswith(".o") else target


def list_module_files(build: Path, targets: Iterable[str]) -> frozenset[str]:
    """``x.o`` and ``x.ko`` of every module of these targets: modpost names these, and not their parts."""
    folders = ("" if target in _WHOLE_TREE_LISTS else to_make_target(target) for target in targets)
    orders = [build / folder / "modules.order" for folder in folders]
    stems = {name.removesuffix(".ko").removesuffix(".o") for order in orders for name in _read_lines(order)}
    return frozenset(f"{stem}{suffix}" for stem in stems for suffix in (".o", ".ko"))


def read_archive_members(archive: Path, build: Path) -> Iterator[str]:
    """The members of a thin archive, relative to the build directory. Inside, they are relative to it."""
    try:
        data = archive.read_bytes()
    except FileNotFoundError:
        return
    if not data.startswith(_THIN_MAGIC):
        return
    offset = len(_THIN_MAGIC)
    while offset + _HEADER_SIZE <= len(data):
        header = data[offset : offset + _HEADER_SIZE]
        length = int(header[48:58])
        if header.startswith(b"//"):
            table = data[offset + _HEADER_SIZE : offset + _HEADER_SIZE + length]
            yield from (
                _normalize_path(archive.parent / name.decode(), build)
                for name in _NAME_TABLE_ENTRY.findall(table)
            )
            return
        # Only the symbol and name tables have contents in a thin archive; the name table comes before
        # the first member.
        offset += _HEADER_SIZE + length + length % 2


def _read_module_objects(build: Path, order: Path) -> Iterator[str]:
    """The objects of the modules that a ``modules.order`` names (``.o`` since 6.2, ``.ko`` before)."""
    for module in _read_lines(order):
        stem = module.removesuffix(".ko").removesuffix(".o")
        parts = [
            word
            for line in _read_lines(build / f"{stem}.mod")
            for word in line.split()
            if word.endswith(".o")
        ]
        yield from (_normalize_path(build / part, build) for part in parts or [f"{stem}.o"])


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _normalize_path(path: Path, build: Path) -> str:
    """``arch/powerpc/kvm/../../../virt/kvm/vfio.o`` is the file ``virt/kvm/vfio.o``."""
    return os.path.relpath(os.path.normpath(path), build)


def find_made_since(build: Path, objects: Iterable[str], moment: int) -> frozenset[str]:
    """The objects whose file is at least as new as ``moment``, in nanoseconds.

    The moment is the time of a file in the same file system: clock and granularity are the same.
    """
    return frozenset(name for name in objects if _read_mtime(build / name) >= moment)


def _read_mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return -1
