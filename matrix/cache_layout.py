"""The cache on disk: each folder of it, what it is for, and what removes what is in it.

All of the cache can be fetched or made again; it saves time and nothing else.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from matrix.fs import create_private_directory, is_open_to_others
from matrix.user_files import expand_user_path, find_home_directory


def locate_cache_root() -> Path:
    """``$KMATRIX_CACHE``, else ``$XDG_CACHE_HOME/kmatrix``, else ``~/.cache/kmatrix``; absolute."""
    if own := os.environ.get("KMATRIX_CACHE"):
        return expand_user_path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification requires that a relative path is ignored.
    return (Path(base) if base.startswith("/") else find_home_directory() / ".cache") / "kmatrix"


@dataclass(frozen=True)
class CacheLayout:
    """The paths below one root. What is inside of a folder is named by the module that writes it.

    ``sources_root``: the root of another cache whose trees this one shares, and nothing else of it.
    """

    root: Path = field(default_factory=locate_cache_root)
    sources_root: Path | None = None

    def create_root(self) -> None:
        """Create the cache, and close it to other users, also one that was wider. OSError where that fails.

        What a build left there would run as its owner. Nothing that kmatrix does needs more: a mount is
        reached without its parents.
        """
        create_private_directory(self.root)
        for folder in self._private_folders:
            create_private_directory(folder)
            if is_open_to_others(folder):
                folder.chmod(0o700)

    def is_private(self) -> bool:
        """Whether only its owner can enter what is there of the cache."""
        if not self.root.is_dir():
            return True
        return not any(is_open_to_others(folder) for folder in self._private_folders if folder.is_dir())

    @property
    def _private_folders(self) -> list[Path]:
        """The root, unless there is more in it than a cache: then it may be anybody's home, and only the
        folders in it are the cache's."""
        folders = [self.sources, self.resolutions, self.memory, self.compiler_caches, self.lanes]
        own = {self.in_use_lock.name, *(folder.name for folder in folders)}
        return [self.root] if all(entry.name in own for entry in self.root.iterdir()) else folders

    @property
    def in_use_lock(self) -> Path:
        """A lock: shared among the processes that need the cache, exclusive for a sweep. Never removed."""
        return self.root / "in-use"

    @property
    def sources(self) -> Path:
        """Kernel trees, each in a folder named by its digest. A sweep removes all that no run uses."""
        return (self.sources_root or self.root) / "sources"

    @property
    def import_lock(self) -> Path:
        """A lock, held while an import area is made or looked for. Never removed."""
        return self.sources / ".lock"

    @property
    def import_area_prefix(self) -> str:
        """The start of the name of each import area: a folder in `sources` that its process keeps locked. A
        sweep removes those that are not locked, as their process was killed."""
        return "tmp-"

    @property
    def spec_entries(self) -> Path:
        """The digest of the tree that each spec stands for. A sweep removes those whose tree is gone."""
        return self.sources / "by-spec"

    @property
    def hash_caches(self) -> Path:
        """The hashes of the files in users' own trees. A sweep removes them by age and size."""
        return self.sources / "memo"

    @property
    def resolutions(self) -> Path:
        """The .config that olddefconfig made for each request. A sweep removes them by age and size."""
        return self.root / "resolutions"

    @property
    def memory(self) -> Path:
        """What was built before, in a folder for each layer: results of cells, and objects. It is kept within
        its size; a sweep removes what no run uses."""
        return self.root / "memory"

    @property
    def compiler_caches(self) -> Path:
        """What ccache kept, in a folder for each image, and in that one for each layer. It is kept within its
        size; a sweep removes what no run uses."""
        return self.root / "ccache"

    @property
    def lanes(self) -> Path:
        """Build directories, each with a lock of its own. A sweep removes all that no process holds."""
        return self.root / "lanes"
