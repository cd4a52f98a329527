"""The cases of a bench: what is built, what was built before it, and the patches that some of them apply.

The patches are made when they are needed, another for each repetition: what was built with one must be of no
use to the next.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import load_profile
from matrix.catalog.types import Profile
from matrix.commands.session import IS_CHECKOUT, PROJECT_ROOT
from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory
from matrix.plan import find_matching_terms

_VMLINUX_PROFILE = Path(__file__).with_name("bench_vmlinux.toml")
_PATCHES = PROJECT_ROOT / "tests/patches"
_REGRESSION, _KCONFIG_FIX = _PATCHES / "story-regression.patch", _PATCHES / "story-fix-kconfig.patch"
# What belongs to the machine and the tree, and to no profile.
_KEPT_SETTINGS = (
    "source",
    "make",
    "jobs",
    "lanes",
    "memory",
    "timeout",
    "retries",
    "cache_size",
    "ccache",
)

PatchWriter = Callable[[ForeignDirectory, int], str]
"""A tree and the number of the repetition → the text of a patch for it."""


@dataclass(frozen=True)
class BenchCase:
    """One row of the table.

    ``target``: the ratio against tuxmake that is aimed at. ``pool`` names the cells: what ways that keep
    nothing take for one of them is the same in every case of a pool. ``starts_empty``: nothing was built
    before; else the profile was, with ``base_patches``. ``write_patch``: it is the verdict on such a patch.
    ``is_next``: it is another version of the tree.
    """

    name: str
    title: str
    target: float | None = None
    pool: str = "profile"
    starts_empty: bool = False
    base_patches: tuple[Path, ...] = ()
    write_patch: PatchWriter | None = None
    is_next: bool = False

    def adapt_profile(self, profile: Profile) -> Profile:
        """What this case builds of the profile that was asked for."""
        return _load_vmlinux_profile(profile) if self.pool == "vmlinux" else profile

    def check_files(self) -> None:
        """RequestError where a patch of kmatrix's own tests is not here: only a checkout has them."""
        if self.base_patches and not IS_CHECKOUT:
            raise RequestError(
                f"an installed kmatrix has no tests, and --case {self.name} takes a patch of theirs",
                "run it in a checkout, or leave the case out",
            )


def _load_vmlinux_profile(profile: Profile) -> Profile:
    whole = load_profile(str(_VMLINUX_PROFILE))
    kept = {name: getattr(profile, name) for name in _KEPT_SETTINGS}
    return whole.model_copy(update={**kept, "select": find_matching_terms(whole, profile.select)})


def _change_source(tree: ForeignDirectory, number: int) -> str:
    return _add_object_content(tree, "virt/kvm/vfio.c", number, lines_below=0)


def _change_header(tree: ForeignDirectory, number: int) -> str:
    # Above the #endif that closes the header's guard.
    return _add_object_content(tree, "include/linux/kvm_host.h", number, lines_below=1)


def _add_object_content(tree: ForeignDirectory, path: str, number: int, *, lines_below: int) -> str:
    """A patch that adds something to every object that is compiled with this file."""
    text = tree.read_text(path)
    if text is None:
        raise RequestError(
            f"the source has no {path}, which a case of the bench changes", "leave it out: --case"
        )
    old = text.splitlines(keepends=True)
    place = len(old) - lines_below
    added = f"static const int kmatrix_bench_{number} __used = {number};\n"
    new = [*old[:place], added, *old[place:]]
    return "".join(difflib.unified_diff(old, new, f"a/{path}", f"b/{path}"))


def _fix_kconfig(_: ForeignDirectory, number: int) -> str:
    """The story's fix, with a comment behind its first new line: another tree for each repetition."""
    lines = _KCONFIG_FIX.read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("+") and line[1:2] != "+")
    lines[first] += f" # bench {number}"
    return "\n".join(lines) + "\n"


CASES = (
    BenchCase("first", "nothing built yet", 0.22, starts_empty=True),
    BenchCase("again", "the very same again", 0.01),
    BenchCase("source", "a patch to virt/kvm/vfio.c", 0.03, write_patch=_change_source),
    BenchCase("header", "a patch to include/linux/kvm_host.h", 0.20, write_patch=_change_header),
    BenchCase(
        "kconfig",
        "the story's Kconfig fix",
        0.10,
        base_patches=(_REGRESSION,),
        write_patch=_fix_kconfig,
    ),
    BenchCase(
        "vmlinux",
        "x86 allnoconfig with KVM and VFIO, whole vmlinux, nothing built yet",
        0.40,
        pool="vmlinux",
        starts_empty=True,
    ),
    BenchCase("next", "another version of the tree", is_next=True),
)
"""In the order of the table, which is that of the work: what one leaves, the next finds."""
