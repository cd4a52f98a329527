"""A tree that goes to another machine's cache arrives as it is, or not at all."""

import os
import tarfile
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.errors import MachineError
from matrix.source.cache import CachedTree, SourceCache
from matrix.source.snapshot import copy_tree, hash_tree, list_files
from matrix.source.transport import pack_tree, unpack_tree
from tests.fakes.small_tree import small_tree


@pytest.fixture
def here(tmp_path: Path) -> SourceCache:
    return SourceCache(CacheLayout(tmp_path / "here"))


@pytest.fixture
def there(tmp_path: Path) -> SourceCache:
    return SourceCache(CacheLayout(tmp_path / "there"))


@pytest.fixture
def tree(here: SourceCache, tmp_path: Path) -> CachedTree:
    """A tree with a link and a script, in the cache of this machine."""
    source = small_tree(tmp_path / "tree")
    with here.create_import_area() as area:
        return here.store_tree(area, copy_tree(source, list_files(source), area / "tree"), "6.12.48-rc1")


def find_leftovers(cache: SourceCache) -> list[str]:
    return [path.name for path in cache.layout.sources.glob("tmp-*")]


def pack(root: Path, packed: Path) -> Path:
    """A directory as a packed tree, whatever is in it."""
    with tarfile.open(packed, "w:gz") as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, path.name)
    return packed


def test_a_tree_arrives_with_its_contents_modes_and_links(
    here: SourceCache, there: SourceCache, tree: CachedTree
) -> None:
    with pack_tree(here, tree.digest) as packed:
        arrived = unpack_tree(packed, tree.digest, there)
    assert not packed.exists()
    assert (arrived.digest, arrived.version) == (tree.digest, tree.version)
    assert hash_tree(arrived.path, list_files(arrived.path)).digest == tree.digest
    assert os.access(arrived.path / "scripts/run.sh", os.X_OK)
    assert (arrived.path / "scripts/include").readlink() == Path("../include")
    assert there.find(tree.digest) is not None
    assert find_leftovers(here) == find_leftovers(there) == []


def test_a_tree_that_the_cache_lacks_cannot_be_packed(here: SourceCache) -> None:
    with (
        pytest.raises(MachineError, match="the source 000000000000 is not in the cache"),
        pack_tree(here, "0" * 64),
    ):
        pass


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_one_that_was_cut_off_is_refused(
    here: SourceCache, there: SourceCache, tree: CachedTree, tmp_path: Path, cut: int
) -> None:
    with pack_tree(here, tree.digest) as packed:
        part = tmp_path / "part"
        part.write_bytes(packed.read_bytes()[:cut])
    with pytest.raises(MachineError, match=r"came (damaged|as another tree)"):
        unpack_tree(part, tree.digest, there)
    assert there.find(tree.digest) is None
    assert find_leftovers(there) == []


def test_another_tree_than_the_one_that_was_named_is_refused(
    there: SourceCache, tree: CachedTree, tmp_path: Path
) -> None:
    other = small_tree(tmp_path / "other", **{"virt/kvm/vfio.c": "int other;\n"})
    with pytest.raises(MachineError, match="came as another tree"):
        unpack_tree(pack(other, tmp_path / "packed"), tree.digest, there)
    assert there.find(tree.digest) is None


def test_nothing_of_it_can_lie_outside(there: SourceCache, tree: CachedTree, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    with tarfile.open(packed, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(MachineError, match="came damaged"):
        unpack_tree(packed, tree.digest, there)
    assert not [*there.layout.root.rglob("outside")]
