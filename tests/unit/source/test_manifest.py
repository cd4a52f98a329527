import os
import time
from pathlib import Path

import pytest

from matrix.source.manifest import Manifest, ManifestDiff, ManifestEntry, compare_manifests, touch_files
from matrix.source.snapshot import hash_tree, list_files
from tests.fakes.small_tree import small_tree


def manifest_of(root: Path) -> Manifest:
    return hash_tree(root, list_files(root))


def entries(**contents: str) -> Manifest:
    return Manifest({path: ManifestEntry("file", sha256) for path, sha256 in contents.items()})


def age(root: Path) -> float:
    """Make every file an hour old, and say when that is."""
    past = time.time() - 3600
    for file in list_files(root):
        os.utime(root / file.path, (past, past), follow_symlinks=False)
    return past


def test_equal_trees_have_equal_digests_whatever_their_mtimes_and_umask(tmp_path: Path) -> None:
    one, other = small_tree(tmp_path / "one"), small_tree(tmp_path / "other")
    age(other)
    (other / "Kconfig").chmod(0o600)
    assert manifest_of(one).digest == manifest_of(other).digest


@pytest.mark.parametrize("change", ["content", "name", "executable", "link"])
def test_every_change_of_a_tree_changes_its_digest(tmp_path: Path, change: str) -> None:
    tree = small_tree(tmp_path / "tree")
    before = manifest_of(tree).digest
    if change == "content":
        (tree / "Kconfig").write_text("x")
    elif change == "name":
        (tree / "Kconfig").rename(tree / "Kconfig2")
    elif change == "executable":
        (tree / "Kconfig").chmod(0o755)
    else:
        (tree / "scripts/include").unlink()
        (tree / "scripts/include").symlink_to("../virt")
    assert manifest_of(tree).digest != before


def test_a_link_and_a_file_with_its_target_as_content_differ(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/x").symlink_to("y")
    (tmp_path / "b/x").write_text("y")
    assert manifest_of(tmp_path / "a").digest != manifest_of(tmp_path / "b").digest


def test_a_manifest_survives_its_file_even_with_names_that_are_no_utf8(tmp_path: Path) -> None:
    manifest = Manifest(
        {os.fsdecode(b"a\xff\n"): ManifestEntry("exec", "1" * 64), "l": ManifestEntry("link", "2" * 64)}
    )
    manifest.dump(tmp_path / "m.json.gz")
    assert Manifest.load(tmp_path / "m.json.gz") == manifest
    assert manifest.digest == Manifest.load(tmp_path / "m.json.gz").digest


def test_the_difference_names_what_changed_appeared_and_vanished() -> None:
    found = compare_manifests(
        entries(same="1", changed="1", gone="1"), entries(same="1", changed="2", new="1")
    )
    assert found == ManifestDiff(changed=("changed",), added=("new",), removed=("gone",))
    assert found.paths == ("changed", "new", "gone")


def test_a_file_that_became_executable_counts_as_changed() -> None:
    old, new = Manifest({"x": ManifestEntry("file", "1")}), Manifest({"x": ManifestEntry("exec", "1")})
    assert compare_manifests(old, new).changed == ("x",)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("Kconfig", True),
        ("arch/x86/Kconfig.debug", True),
        ("scripts/Kconfig.include", True),
        ("odd/Kconfig.c", True),
        ("Makefile", False),
        ("scripts/kconfig/conf.c", False),
        ("drivers/vfio/vfio.c", False),
    ],
)
def test_the_definitions_are_those_of_files_named_kconfig(path: str, counts: bool) -> None:
    entry = ManifestEntry("file", "1")
    one, other = Manifest({path: entry}), Manifest({path: ManifestEntry("file", "2")})
    digests = {manifest.compute_definitions_digest() for manifest in (one, other)}
    assert (len(digests) == 2) == counts


def test_freshen_touches_the_named_files_only_and_bears_missing_ones(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    past = age(tree)
    touch_files(tree, ["virt/kvm/vfio.c", "no/such.h"])
    assert (tree / "virt/kvm/vfio.c").stat().st_mtime > past + 3000
    assert (tree / "Makefile").stat().st_mtime == pytest.approx(past, abs=1)


def test_freshen_reaches_what_make_sees_through_a_changed_link(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    past = age(tree)
    touch_files(tree, ["scripts/include"])
    assert (tree / "include/linux/vfio.h").stat().st_mtime > past + 3000


def test_freshen_never_touches_a_file_out_of_the_tree(tmp_path: Path) -> None:
    tree, outside = small_tree(tmp_path / "tree"), tmp_path / "outside"
    outside.write_text("")
    os.utime(outside, (1, 1))
    (tree / "evil").symlink_to(outside)
    touch_files(tree, ["evil", "../outside"])
    assert outside.stat().st_mtime == 1
