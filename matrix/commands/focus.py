"""The focus, which is what the stage of that name builds: for an arch, in a tree, and for a patch."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from matrix.builder.run_context import resolve_focus
from matrix.catalog.load import Catalog
from matrix.catalog.types import Profile
from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory
from matrix.kernel_files import OBJECT_SUFFIXES
from matrix.source.kernel_tree import find_missing_paths

_KBUILD_FILES = ("Kconfig", "Makefile", "Kbuild")
# What make prepares for every target, and what it never compiles for the kernel.
_NEVER_FOCUSED = ("Documentation", "include", "scripts", "tools", "usr", "certs")


def check_focus(profile: Profile, catalog: Catalog, tree: Path, *patched: Path) -> None:
    """Refuse a focus that make can build neither in this tree nor in a ``patched`` one, on any arch of the
    profile. Raises RequestError.
    """
    for arch in profile.arch:
        focus = resolve_focus(profile, catalog, arch)
        for path in focus:
            if not path.endswith(("/", ".o")):
                raise RequestError(
                    f"{profile.name}.toml: focus: {path!r} is neither a directory nor an object",
                    f"a directory ends in a slash: {path}/",
                )
        missing = find_missing_paths(tree, focus)
        elsewhere = [{path for path, _ in find_missing_paths(other, focus)} for other in patched]
        for path, near in missing:
            if not all(path in others for others in elsewhere):
                continue
            suffix = f" (nearest: {near!r})" if near else ""
            raise RequestError(f"{profile.name}.toml: focus: the source has no {path}{suffix}")


def find_focus_additions(
    profile: Profile, catalog: Catalog, trees: Sequence[Path], touched: Iterable[str]
) -> tuple[str, ...]:
    """List what a patch adds to a profile's focus, in alphabetical order: objects of changed sources,
    directories of changed Kconfig files and makefiles.

    Left out are what the focus has already, arches that the profile has not, and directories without a
    makefile of their own in any of the ``trees``, which are those before and after the patch: make cannot be
    asked for virt/kvm/, an arch's directory builds it.
    A header adds nothing: whatever includes it in the focus is built anew.
    """
    focused = {path for arch in profile.arch for path in resolve_focus(profile, catalog, arch)}
    arches = {catalog.arches[arch].srcarch for arch in profile.arch}
    wanted = (
        target
        for path in sorted(set(touched))
        for target in _list_targets(PurePosixPath(path))
        if any(_has_makefile(tree, PurePosixPath(path).parent) for tree in trees)
        and _parse_arch_directory(path) in {None, *arches}
    )
    new = (target for target in wanted if not any(target.startswith(path) for path in focused))
    return tuple(dict.fromkeys(new))


def name_object(source: PurePosixPath) -> str | None:
    """``lib/sort.o`` for ``lib/sort.c``; None for a file that no compiler makes an object of."""
    return str(source.with_suffix(".o")) if source.suffix in OBJECT_SUFFIXES else None


def _list_targets(path: PurePosixPath) -> Iterator[str]:
    if len(path.parts) < 2 or path.parts[0] in _NEVER_FOCUSED:
        return
    if target := name_object(path):
        yield target
    elif path.name.startswith(_KBUILD_FILES):
        yield f"{path.parent}/"


def _has_makefile(tree: Path, directory: PurePosixPath) -> bool:
    files = ForeignDirectory(tree)
    return any(files.stat_file(str(directory / name)) for name in ("Makefile", "Kbuild"))


def _parse_arch_directory(path: str) -> str | None:
    """The arch whose file it is, or None for a file of all."""
    top, _, below = path.partition("/")
    return below.partition("/")[0] if top == "arch" else None
