"""Check a kernel tree: whether it is one, its version, build leftovers in it, paths that it lacks."""

# ruff: noqa: PTH110, PTH112, PTH113 - pathlib's tests raise for names that are too long or may not be seen

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_text import clean_text
from matrix.kernel_files import CRATE_SUFFIX, OBJECT_SUFFIXES
from matrix.shell_words import format_command, format_variable
from matrix.source.tree_links import resolve_inside


@dataclass(frozen=True)
class GitProvenance:
    """The commit that a tree was at, and whether it was edited since (``dirty``)."""

    commit: str
    describe: str
    dirty: bool


@dataclass(frozen=True)
class AppliedPatch:
    """A patch that was applied, by name and content."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SourceTree:
    """A snapshot that is not edited: mounted read-only at /src, identified by its content.

    ``digest`` is the SHA-256 over every file's path, kind (file, executable, link) and content; other mode
    bits, owners, times and empty directories do not count. ``path`` is the tree's root on this machine;
    ``version`` that of its Makefile (``6.12.48``); ``package`` the full version of the Debian package
    that it came in (``6.12.48-1``), or empty. ``unpatched`` is the digest without the patches, where there
    are any, or empty.
    """

    spec: str
    path: Path
    version: str
    digest: str
    git: GitProvenance | None = None
    patches: tuple[AppliedPatch, ...] = ()
    package: str = ""
    unpatched: str = ""


_VERSION_LINE = re.compile(
    r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.MULTILINE
)
_CONFIG_ARCH = re.compile(r"^# Linux/(\w+) ", re.MULTILINE)
_HEAD_BYTES = 4096
_MAX_MAKEFILE_BYTES = 4 * 2**20
# A name is looked for among so many others.
_MAX_SIBLINGS = 10_000
_MAX_VERSION_LENGTH = 80
_BUILT_SUFFIXES = {".o", ".ko", ".i", ".s", ".lst", ".a"}
_SOURCE_SUFFIXES = (*OBJECT_SUFFIXES, CRATE_SUFFIX)


def _read_head(root: Path, name: str) -> str:
    """The first bytes of a regular file of a tree; of anything else, such as a link, nothing."""
    try:
        content = ForeignDirectory(root).read_bytes(name, _MAX_MAKEFILE_BYTES) or b""
    except ForeignFileError:
        return ""
    return content[:_HEAD_BYTES].decode(errors="replace")


def read_kernel_version(root: Path) -> str | None:
    """The version in the top Makefile (``6.12.48``, ``6.13.0-rc1``); None when it is no kernel tree."""
    fields: dict[str, str] = dict(_VERSION_LINE.findall(_read_head(root, "Makefile")))
    if not (fields.get("VERSION") and fields.get("PATCHLEVEL") and os.path.isfile(root / "Kconfig")):
        return None
    numbers = [fields["VERSION"], fields["PATCHLEVEL"], fields.get("SUBLEVEL", "")]
    return clean_text(".".join(filter(None, numbers)) + fields.get("EXTRAVERSION", ""), _MAX_VERSION_LENGTH)


def require_kernel_version(root: Path, spec: str) -> str:
    """The tree's version; RequestError when it is no kernel tree."""
    version = read_kernel_version(root)
    if version is None:
        raise RequestError(
            f"{spec} is not a kernel tree: a Makefile with VERSION and PATCHLEVEL and a Kconfig are missing",
            "Give the top directory of a Linux source tree.",
        )
    return version


def find_build_leftovers(root: Path) -> list[str]:
    """What an in-tree build left behind; kbuild refuses to build elsewhere from such a tree."""
    fixed = [
        name for name in (".config", "include/config", "include/generated") if os.path.exists(root / name)
    ]
    return fixed + [f"arch/{arch}/include/generated" for arch in _find_generated_arches(root)]


def refuse_build_leftovers(root: Path, spec: str) -> None:
    """Raise RequestError, with the commands that clean the tree, when a build left files in it."""
    leftovers = find_build_leftovers(root)
    if not leftovers:
        return
    config = _CONFIG_ARCH.search(_read_head(root, ".config"))
    arches = _find_generated_arches(root) or ([config[1]] if config else [])
    command = format_command("make", "-C", str(root))
    commands = [f"{command} {format_variable('ARCH', arch)} mrproper" for arch in arches]
    raise RequestError(
        f"{spec} holds leftovers of a build in the tree: {clean_text(', '.join(leftovers))}",
        f"Clean it (this deletes its .config, too): {' && '.join(commands or [f'{command} mrproper'])}",
    )


def _find_generated_arches(root: Path) -> list[str]:
    return sorted(path.parts[-3] for path in root.glob("arch/*/include/generated"))


def find_missing_paths(tree: Path, paths: Iterable[str]) -> list[tuple[str, str | None]]:
    """The focus paths that the tree lacks, each with the nearest that it has, or None.

    A path is a directory (``virt/kvm/``), a file, or an object (``virt/kvm/vfio.o``), which counts as
    there when its source is, or when its directory's Makefile names it.
    """
    return [(path, _find_nearest_path(tree, path)) for path in paths if not _has_path(tree, path)]


def _has_path(tree: Path, path: str) -> bool:
    wanted = PurePosixPath(path)
    if not _is_inside_tree(wanted) or resolve_inside(str(tree), str(wanted)) is None:
        return False
    if path.endswith("/"):
        return os.path.isdir(tree / wanted)
    return os.path.exists(tree / wanted) or (
        wanted.suffix in _BUILT_SUFFIXES and _can_make_object(tree, wanted)
    )


def _is_inside_tree(path: PurePosixPath) -> bool:
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _can_make_object(tree: Path, wanted: PurePosixPath) -> bool:
    directory = tree / wanted.parent
    if any(os.path.isfile(directory / f"{wanted.stem}{suffix}") for suffix in _SOURCE_SUFFIXES):
        return True
    named = re.compile(rf"(?<![\w-]){re.escape(wanted.stem)}(\.o|-y|-objs)(?![\w-])")
    return any(
        named.search(_read_makefile(tree, str(wanted.parent / name))) for name in ("Kbuild", "Makefile")
    )


def _read_makefile(tree: Path, name: str) -> str:
    """The text of a makefile; empty where there is none that can be read."""
    try:
        return ForeignDirectory(tree).read_text(name, _MAX_MAKEFILE_BYTES) or ""
    except ForeignFileError:
        return ""


def _find_nearest_path(tree: Path, path: str) -> str | None:
    """Replace each part that does not exist by a similar sibling, as far as there is one."""
    wanted = PurePosixPath(path)
    if not _is_inside_tree(wanted):
        return None
    for index in range(len(wanted.parts)):
        if not os.path.exists(tree.joinpath(*wanted.parts[: index + 1])):
            return _respell_part(tree, wanted, index)
    return _format_path(tree, wanted)


def _respell_part(tree: Path, wanted: PurePosixPath, index: int) -> str | None:
    directory = PurePosixPath(*wanted.parts[:index])
    names = _list_siblings(tree / directory)
    suffix = PurePosixPath(wanted.parts[index]).suffix
    if suffix in _BUILT_SUFFIXES:
        names += [PurePosixPath(name).stem + suffix for name in names if name.endswith(_SOURCE_SUFFIXES)]
    # A link that leads nowhere is listed under the very name that is missing.
    others = [name for name in names if name != wanted.parts[index]]
    similar = difflib.get_close_matches(wanted.parts[index], others, n=1, cutoff=0.5)
    if not similar:
        return None
    whole = directory.joinpath(similar[0], *wanted.parts[index + 1 :])
    if _has_path(tree, str(whole)):
        return _format_path(tree, whole)
    return _find_nearest_path(tree, str(whole)) or _format_path(tree, directory / similar[0])


def _list_siblings(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in islice(entries, _MAX_SIBLINGS)]
    except OSError:
        return []


def _format_path(tree: Path, path: PurePosixPath) -> str:
    return f"{path}/" if os.path.isdir(tree / path) else str(path)
