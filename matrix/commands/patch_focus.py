"""The focus follows the patch: what it touches is built, beside what the profile names."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from matrix.builder.run_context import resolve_focus
from matrix.catalog.load import Catalog
from matrix.catalog.types import Profile

_SOURCE_SUFFIXES = (".c", ".S")
_KBUILD_FILES = ("Kconfig", "Makefile", "Kbuild")
# What make prepares for every target, and what it never compiles for the kernel.
_NEVER_FOCUSED = ("Documentation", "include", "scripts", "tools", "usr", "certs")


def find_focus_additions(
    profile: Profile, catalog: Catalog, tree: Path, touched: Iterable[str]
) -> tuple[str, ...]:
    """What to add to a profile's focus: objects of changed sources, directories of changed Kconfig files and
    makefiles, in alphabetical order.

    Left out are what the focus has already, arches that the profile has not, and directories without a
    makefile of their own in the ``tree``: make cannot be asked for virt/kvm/, an arch's directory builds it.
    A header needs nothing here: whatever includes it in the focus is built anew.
    """
    focused = {path for arch in profile.arch for path in resolve_focus(profile, catalog, arch)}
    arches = {catalog.arches[arch].srcarch for arch in profile.arch}
    wanted = (
        target
        for path in sorted(set(touched))
        for target in _list_targets(PurePosixPath(path))
        if _has_makefile(tree / PurePosixPath(path).parent) and _parse_arch_directory(path) in {None, *arches}
    )
    new = (target for target in wanted if not any(target.startswith(path) for path in focused))
    return tuple(dict.fromkeys(new))


def _list_targets(path: PurePosixPath) -> Iterator[str]:
    if len(path.parts) < 2 or path.parts[0] in _NEVER_FOCUSED:
        return
    if path.suffix in _SOURCE_SUFFIXES:
        yield str(path.with_suffix(".o"))
    elif path.name.startswith(_KBUILD_FILES):
        yield f"{path.parent}/"


def _has_makefile(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("Makefile", "Kbuild"))


def _parse_arch_directory(path: str) -> str | None:
    """The arch whose file it is, or None for a file of all."""
    top, _, below = path.partition("/")
    return below.partition("/")[0] if top == "arch" else None
