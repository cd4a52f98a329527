"""What tests of lanes share: small trees in a cache, a lane in which something was built."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from matrix.builder.lane_dir import LaneDirectory
from matrix.cache_layout import CacheLayout
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import AppliedPatch, SourceTree
from matrix.source.snapshot import hash_tree, list_files

LONG_AGO = 1_500_000_000
ME = f"{os.getuid()}:{os.getgid()}"
GOOD = {
    "Makefile": "VERSION = 6\n",
    "Kconfig": "source init/Kconfig\n",
    "init/Kconfig": "config A\n",
    "include/linux/vfio.h": "extern int f(void);\n",
    "virt/kvm/vfio.c": "int g;\n",
    "arch/x86/entry.S": "ret\n",
    "scripts/mod/modpost.c": "int main;\n",
    "scripts/Makefile.build": "obj :=\n",
    "scripts/setlocalversion": "#!/bin/sh\n",
    "tools/objtool/check.c": "int o;\n",
    "arch/x86/tools/relocs.h": "int r;\n",
    "arch/x86/entry/syscalls/syscall_64.tbl": "0 read\n",
    "kernel/bounds.c": "int b;\n",
}
KEPT = {"virt/kvm/vfio.o"}


class Trees:
    """A cache with small trees in it."""

    def __init__(self, root: Path) -> None:
        self.cache = SourceCache(CacheLayout(root))

    def __call__(self, changes: Mapping[str, str | None] | None = None) -> SourceTree:
        """GOOD with these changes (None: the file is gone), all of it long ago."""
        files = {name: text for name, text in (GOOD | dict(changes or {})).items() if text is not None}
        with self.cache.create_import_area() as area:
            for name, text in files.items():
                path = area / "tree" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                os.utime(path, (LONG_AGO, LONG_AGO))
            manifest = hash_tree(area / "tree", list_files(area / "tree"))
            known = self.cache.store_tree(area, manifest, "6.12")
        return SourceTree(spec="test", path=known.path, version="6.12", digest=known.digest)


Open = Callable[[SourceTree], AbstractContextManager[LaneDirectory]]


def visit(lane: Open, tree: SourceTree) -> None:
    """Build something from this tree, as well as a container would, and remember a warning of it."""
    with lane(tree) as place:
        place.mark_busy()
        (place.build / "vfio.o").write_text("object")
        place.mark_idle()
        place.listed_objects = set(KEPT)
        place.save_state()


def kept(place: LaneDirectory) -> bool:
    """Whether what `visit` built is still there."""
    return (place.build / "vfio.o").exists()


def patched_with(trees: Trees, text: str) -> SourceTree:
    return replace(
        trees({"include/linux/vfio.h": text}), patches=(AppliedPatch(name="fix.patch", sha256="0" * 64),)
    )
