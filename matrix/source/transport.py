"""A tree of the cache packed into a file, which goes to another machine, and unpacked into its cache."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matrix.errors import MachineError
from matrix.source.cache import CachedTree, SourceCache
from matrix.source.kernel_tree import require_kernel_version
from matrix.source.snapshot import hash_tree, list_files

_LEVEL = 1
"""Of gzip. A kernel's tree then takes a sixth, and more takes longer than it saves on a usual network."""


@contextmanager
def pack_tree(cache: SourceCache, digest: str) -> Iterator[Path]:
    """The tree of this digest as a file, which is gone after the ``with`` block.

    MachineError where the cache has it not.
    """
    tree = cache.find(digest)
    if tree is None:
        raise MachineError(f"the source {digest[:12]} is not in the cache", "run again: it is fetched anew")
    with cache.create_import_area() as area:
        packed = area / "tree.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=_LEVEL) as archive:
            for path in cache.load_manifest(digest).entries:
                archive.add(tree.path / path, path, recursive=False)
        yield packed


def unpack_tree(packed: Path, digest: str, cache: SourceCache) -> CachedTree:
    """Put a packed tree into the cache. MachineError where it is not the tree of this digest."""
    with cache.create_import_area() as area:
        root = area / "tree"
        root.mkdir(mode=0o755)
        try:
            with tarfile.open(packed, "r:gz") as archive:
                # Nothing of it can lie outside: no path, and no link.
                archive.extractall(root, filter="data")
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise MachineError(f"the source {digest[:12]} came damaged: {error}", "run again") from error
        manifest = hash_tree(root, list_files(root))
        if manifest.digest != digest:
            raise MachineError(f"the source {digest[:12]} came as another tree", "run again")
        return cache.store_tree(area, manifest, require_kernel_version(root, digest[:12]))
