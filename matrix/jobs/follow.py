"""The focus follows the patch: what it touches is built, beside what the profile names."""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from matrix.catalog.load import Catalog
from matrix.catalog.types import Profile
from matrix.jobs.prepare import focus_of

_SOURCES = (".c", ".S")
_RULES = ("Kconfig", "Makefile", "Kbuild")
# What make prepares for every target, and what it never compiles for the kernel.
_NOBODYS = ("Documentation", "include", "scripts", "tools", "usr", "certs")


def following(profile: Profile, catalog: Catalog, tree: Path, touched: Iterable[str]) -> tuple[str, ...]:
    """What to add to a profile's focus: objects of changed sources, directories of changed Kconfig files and
    makefiles, in alphabetical order.

    Left out are what the focus has already, arches that the profile has not, and directories without a
    makefile of their own in the ``tree``: make cannot be asked for virt/kvm/, an arch's directory builds it.
    A header needs nothing here: whatever includes it in the focus is built anew.
    """
    focused = {path for arch in profile.arch for path in focus_of(profile, catalog, arch)}
    arches = {catalog.arches[arch].srcarch for arch in profile.arch}
    wanted = (
        target
        for path in sorted(set(touched))
        for target in _target(PurePosixPath(path))
        if _makes(tree / PurePosixPath(path).parent) and _arch(path) in {None, *arches}
    )
    new = (target for target in wanted if not any(target.startswith(path) for path in focused))
    return tuple(dict.fromkeys(new))


def _target(path: PurePosixPath) -> Iterator[str]:
    if len(path.parts) < 2 or path.parts[0] in _NOBODYS:
        return
    if path.suffix in _SOURCES:
        yield str(path.with_suffix(".o"))
    elif path.name.startswith(_RULES):
        yield f"{path.parent}/"


def _makes(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("Makefile", "Kbuild"))


def _arch(path: str) -> str | None:
    """The arch whose file it is, or None for a file of all."""
    top, _, below = path.partition("/")
    return below.partition("/")[0] if top == "arch" else None
