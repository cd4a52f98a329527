import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from matrix.cache_layout import CacheLayout
from matrix.engine.protocol import ContainerSpec, Engine, LineCallback
from matrix.errors import DiskFullError, MachineError, RejectedPatchError, RequestError
from matrix.source import snapshot
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.kernel_tree import SourceTree
from matrix.source.mbox.patch_file import parse_patch_file
from tests.fakes.engine import FakeEngine
from tests.fakes.small_tree import EDIT, FILES, small_tree


@dataclass
class Desk:
    """A user's tree, a cache, and what was said; there is no engine, as no directory needs one.

    With patches there is one, in which the container that applies them says ``lines`` and fails.
    """

    tree: Path
    cache: SourceCache
    notes: list[str] = field(default_factory=list)
    lines: tuple[str, ...] = ()

    def apply(self, _container: ContainerSpec, say: LineCallback) -> int:
        for line in self.lines:
            say(line)
        return 3

    def obtain(self, spec: str | Path = "", *patches: str) -> SourceTree:
        nobody = cast("Engine", object())
        return fetch_tree(
            str(spec or self.tree),
            cache=self.cache,
            engine=FakeEngine(self.apply, images=["base"]) if patches else nobody,
            image="base",
            user="0:0",
            note=self.notes.append,
            patches=[parse_patch_file(name, name, EDIT.encode()) for name in patches],
        )

    def kept(self) -> list[str]:
        return sorted(
            path.name for path in self.cache.layout.sources.glob("*") if path.name not in {"memo", ".lock"}
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(small_tree(tmp_path / "tree"), SourceCache(CacheLayout(tmp_path / "cache")))


def test_a_directory_becomes_a_tree_with_its_version_and_manifest(desk: Desk) -> None:
    tree = desk.obtain()
    assert (tree.spec, tree.version, tree.git, tree.patches) == (str(desk.tree), "6.12.48-rc1", None, ())
    assert (tree.path / "virt/kvm/vfio.c").read_text() == FILES["virt/kvm/vfio.c"]
    assert desk.cache.load_manifest(tree.digest).digest == tree.digest


def test_editing_the_directory_afterwards_changes_nothing(desk: Desk) -> None:
    tree = desk.obtain()
    (desk.tree / "Kconfig").write_text("edited")
    assert (tree.path / "Kconfig").read_text() == FILES["Kconfig"]
    assert desk.obtain().digest != tree.digest


def test_an_unchanged_directory_is_not_copied_again(desk: Desk) -> None:
    first = desk.obtain()
    assert desk.obtain() == first
    assert len(desk.notes) == 1
    assert "snapshot" in desk.notes[0]


def test_two_directories_with_the_same_content_are_one_tree(desk: Desk, tmp_path: Path) -> None:
    first = desk.obtain()
    assert desk.obtain(small_tree(tmp_path / "other")).path == first.path


def test_a_relative_directory_is_seen_from_where_one_stands(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.tree)
    assert desk.obtain(".").version == "6.12.48-rc1"


def test_a_directory_with_a_built_tree_is_refused_and_nothing_is_kept(desk: Desk) -> None:
    (desk.tree / ".config").touch()
    with pytest.raises(RequestError, match="leftovers"):
        desk.obtain()
    assert desk.kept() == []


def test_what_is_no_kernel_tree_is_refused(desk: Desk) -> None:
    with pytest.raises(RequestError, match="not a kernel tree"):
        desk.obtain(desk.tree / "virt")


def failing(code: int, name: str) -> Callable[..., int]:
    def fail(*_args: object) -> int:
        raise OSError(code, os.strerror(code), name)

    return fail


def test_a_disk_that_gets_full_says_so_and_keeps_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_write_copy", failing(errno.ENOSPC, "x"))
    with pytest.raises(DiskFullError, match="needed"):
        desk.obtain()
    assert desk.kept() == []


def test_a_file_that_may_not_be_read_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_hash_file", failing(errno.EACCES, "/tree/Kconfig"))
    with pytest.raises(RequestError, match="/tree/Kconfig cannot be read"):
        desk.obtain()


def test_an_edit_while_the_copy_is_made_is_told_and_the_digest_is_the_copy_s(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshot.create_directories

    def edit_first(to: Path, paths: Iterable[str]) -> None:
        (desk.tree / "Kconfig").write_text("edited")
        real(to, paths)

    monkeypatch.setattr(snapshot, "create_directories", edit_first)
    tree = desk.obtain()
    assert (tree.path / "Kconfig").read_text() == "edited"
    assert desk.cache.load_manifest(tree.digest) == snapshot.hash_tree(
        tree.path, snapshot.list_files(tree.path)
    )
    assert "edited while it was read" in desk.notes[-1]


def test_the_patch_that_does_not_apply_is_known_by_its_index_with_its_hunks(desk: Desk) -> None:
    desk.lines = ("rejected=0001", "error: patch failed", "> @@ -1,3 +1,3 @@")
    with pytest.raises(RejectedPatchError, match="the patch two does not apply to") as caught:
        desk.obtain(desk.tree, "one", "two", "three")
    assert caught.value.patch_index == 1
    assert str(caught.value).endswith(":\nerror: patch failed\n> @@ -1,3 +1,3 @@")
    assert caught.value.exit_code == RequestError.exit_code


def test_a_patch_that_is_in_the_tree_already_is_known_by_its_index(desk: Desk) -> None:
    desk.lines = ("rejected=0002", "already=yes")
    with pytest.raises(RejectedPatchError, match=r"the patch three is in .* already") as caught:
        desk.obtain(desk.tree, "one", "two", "three")
    assert caught.value.patch_index == 2


def test_a_disk_that_fills_up_is_no_patch_s_fault(desk: Desk) -> None:
    desk.lines = ("error: unable to write file 'x': No space left on device", "rejected=0000")
    with pytest.raises(DiskFullError, match="disk is full"):
        desk.obtain(desk.tree, "one")


@pytest.mark.parametrize("said", ["rejected=0003", "rejected=x", "bash: git: command not found"])
def test_what_git_did_not_say_of_a_patch_is_no_patch_s_fault(desk: Desk, said: str) -> None:
    desk.lines = (said,)
    with pytest.raises(MachineError, match="git could not be run on the patches"):
        desk.obtain(desk.tree, "one", "two", "three")
