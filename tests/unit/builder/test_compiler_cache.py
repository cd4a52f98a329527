"""ccache below the compilers: what a container reads and writes, how it is set, and how large it gets."""

import os
from pathlib import Path

import pytest

from matrix.builder.compiler_cache import CCACHE_MOUNT, CompilerCache, open_compiler_cache, trim_files
from matrix.engine.protocol import Mount
from matrix.source.kernel_tree import AppliedPatch

IMAGE = f"sha256:{'0123456789ab' * 5}0123"
ONE, TWO = AppliedPatch("one", "1" * 64), AppliedPatch("two", "2" * 64)
OWNER = f"{os.geteuid()}:{os.getegid()}"


def opened(folder: Path, *patches: AppliedPatch, image: str = IMAGE) -> CompilerCache:
    return open_compiler_cache(folder, image, patches, OWNER)


def writable(opened: CompilerCache) -> Path:
    (mount,) = (mount for mount in opened.mounts if not mount.read_only)
    return mount.host


def test_a_tree_without_patches_has_the_images_base_layer(tmp_path: Path) -> None:
    cache = opened(tmp_path)
    own = tmp_path / "0123456789ab/base"
    assert cache.mounts == (Mount(own, CCACHE_MOUNT, read_only=False),)
    assert own.stat().st_mode & 0o777 == 0o700
    assert cache.env["CCACHE_REMOTE_STORAGE"] == "file:/ccache|update-mtime=true"
    assert opened(tmp_path) == cache
    assert writable(opened(tmp_path, image=f"sha256:{'f' * 64}")) == tmp_path / f"{'f' * 12}/base"


def test_what_a_patch_produced_serves_that_patch_only(tmp_path: Path) -> None:
    base, first = writable(opened(tmp_path)), writable(opened(tmp_path, ONE))
    other, both = writable(opened(tmp_path, TWO)), opened(tmp_path, ONE, TWO)
    assert len({base, first, other, writable(both)}) == 4
    assert both.mounts[1:] == (Mount(first, "/ccache-1"), Mount(base, "/ccache-2"))
    assert both.env["CCACHE_REMOTE_STORAGE"].split() == [
        "file:/ccache|update-mtime=true",
        "file:/ccache-1|read-only=true",
        "file:/ccache-2|read-only=true",
    ]


def test_a_layer_that_is_not_there_is_not_mounted(tmp_path: Path) -> None:
    assert len(opened(tmp_path, ONE, TWO).mounts) == 1


def test_a_compiler_is_known_by_its_image_and_nothing_is_taken_on_trust(tmp_path: Path) -> None:
    settings = opened(tmp_path).env
    assert settings["CCACHE_COMPILERCHECK"] == f"string:{IMAGE}"
    assert settings["CCACHE_NODISABLE"]
    assert settings["CCACHE_REMOTE_ONLY"]
    # In direct mode a header that a patch adds in front of another would not be seen.
    assert settings["CCACHE_NODIRECT"]
    assert not {"CCACHE_SLOPPINESS", "CCACHE_DEPEND", "CCACHE_BASEDIR"} & settings.keys()
    # A build can write to the mounts: no setting may come from there.
    assert not settings["CCACHE_DIR"].startswith(CCACHE_MOUNT)
    assert not settings["CCACHE_CONFIGPATH"].startswith(CCACHE_MOUNT)


def entry(folder: Path, name: str, used: int) -> Path:
    """A file of 8 KiB that was used so many seconds after the epoch."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(8192))
    os.utime(path, (used, used))
    return path


def test_a_layer_is_cut_down_to_its_size_and_loses_what_was_not_used_for_longest(tmp_path: Path) -> None:
    layer = writable(opened(tmp_path))
    old, new, newest = (entry(layer, f"a{used}/e", used) for used in (1, 2, 3))
    open_compiler_cache(tmp_path, IMAGE, (), OWNER, limit=20_000)
    assert [path.exists() for path in (old, new, newest)] == [False, True, True]


def test_a_patched_tree_does_not_cut_the_base_down(tmp_path: Path) -> None:
    kept = entry(writable(opened(tmp_path)), "aa/e", 1)
    open_compiler_cache(tmp_path, IMAGE, (ONE,), OWNER, limit=0)
    assert kept.exists()


def test_cutting_down_follows_no_link_that_a_build_left(tmp_path: Path) -> None:
    outside = entry(tmp_path, "home/letter", 1)
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "aa").symlink_to(outside.parent)
    (layer / "file").symlink_to(outside)
    (layer / "locked").mkdir()
    inside = entry(layer, "locked/e", 1)
    inside.parent.chmod(0)
    trim_files(layer, 0)
    inside.parent.chmod(0o700)
    assert outside.exists()
    assert not inside.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_containers_user_may_write_to_the_own_layer(tmp_path: Path) -> None:
    open_compiler_cache(tmp_path, IMAGE, (), "12345:12345")
    status = (tmp_path / "0123456789ab/base").stat()
    assert (status.st_uid, status.st_gid) == (12345, 12345)
