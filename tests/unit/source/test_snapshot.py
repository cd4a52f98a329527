import os
import socket
import time
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source import snapshot
from matrix.source.hash_cache import hash_with_cache
from matrix.source.manifest import ManifestEntry
from matrix.source.snapshot import (
    copy_tree,
    find_escaping_links,
    hash_tree,
    link_tree,
    list_files,
)
from tests.fakes.small_tree import small_tree


def test_git_s_own_files_are_left_out(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree", **{".git/HEAD": "x", "sub/.git": "gitdir: x", ".gitignore": "x"})
    paths = {file.path for file in list_files(tree)}
    assert ".gitignore" in paths
    assert not {".git/HEAD", "sub/.git"} & paths


def test_a_link_to_a_directory_is_a_link_and_nothing_behind_it_is_listed(tmp_path: Path) -> None:
    kinds = {file.path: file.kind for file in list_files(small_tree(tmp_path / "tree"))}
    assert kinds["scripts/include"] == "link"
    assert kinds["scripts/run.sh"] == "exec"
    assert not any(path.startswith("scripts/include/") for path in kinds)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipes_and_sockets_are_refused_by_name(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as listener:
        os.mkfifo("odd") if kind == "pipe" else listener.bind("odd")
        with pytest.raises(RequestError, match="odd is neither"):
            list_files(tmp_path)


def test_a_copy_has_the_same_content_mtimes_and_links_and_its_manifest_is_its_own(tmp_path: Path) -> None:
    tree, copy = small_tree(tmp_path / "tree"), tmp_path / "copy"
    os.utime(tree / "Kconfig", ns=(1_000_000_001, 1_000_000_001))
    manifest = copy_tree(tree, list_files(tree), copy)
    assert manifest == hash_tree(copy, list_files(copy)) == hash_tree(tree, list_files(tree))
    assert (copy / "Kconfig").stat().st_mtime_ns == 1_000_000_001
    assert (copy / "scripts/include").readlink() == Path("../include")


def test_a_copy_is_readable_for_everybody_whatever_the_umask_and_the_modes(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "Kconfig").chmod(0o600)
    (tree / "virt").chmod(0o700)
    old = os.umask(0o077)
    try:
        copy_tree(tree, list_files(tree), tmp_path / "copy")
    finally:
        os.umask(old)
    modes = {name: (tmp_path / "copy" / name).stat().st_mode & 0o777 for name in (".", "Kconfig", "virt/kvm")}
    assert modes == {".": 0o755, "Kconfig": 0o644, "virt/kvm": 0o755}


def test_a_file_that_goes_away_while_the_tree_is_read_is_told(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    files = list_files(tree)
    (tree / "Kconfig").unlink()
    with pytest.raises(RequestError, match="Kconfig went away"):
        hash_tree(tree, files)


def test_large_files_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/x").write_bytes(bytes(range(256)) * 10)
    whole = hash_tree(tmp_path / "tree", list_files(tmp_path / "tree"))
    monkeypatch.setattr(snapshot, "_READ_BYTES", 100)
    assert copy_tree(tmp_path / "tree", list_files(tmp_path / "tree"), tmp_path / "copy") == whole
    assert (tmp_path / "copy/x").read_bytes() == (tmp_path / "tree/x").read_bytes()


def list_paths(tree: Path) -> list[str]:
    return [file.path for file in list_files(tree)]


def test_the_cheap_copy_shares_its_files_with_the_tree(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    assert link_tree(tree, list_paths(tree), tmp_path / "copy") == []
    assert (tmp_path / "copy/Kconfig").samefile(tree / "Kconfig")
    assert (tmp_path / "copy/scripts/include").is_symlink()


def test_where_there_are_no_hard_links_the_cheap_copy_is_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    tree = small_tree(tmp_path / "tree")
    assert link_tree(tree, list_paths(tree), tmp_path / "copy") == list_paths(tree)
    assert hash_tree(tmp_path / "copy", list_files(tmp_path / "copy")) == hash_tree(tree, list_files(tree))


def test_links_that_lead_out_are_found_even_by_way_of_other_links(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "absolute").symlink_to("/etc/hostname")
    (tree / "self").symlink_to(".")
    (tree / "a").mkdir()
    (tree / "a/sly").symlink_to("../self/../virt/../x")
    assert find_escaping_links(tree, hash_tree(tree, list_files(tree))) == {"absolute", "a/sly"}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour has passed since whatever the test writes."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are hashed from now on."""
    seen: list[str] = []
    real = snapshot._hash_file

    def spy(path: str, file: snapshot.FileStat) -> ManifestEntry:
        seen.append(file.path)
        return real(path, file)

    monkeypatch.setattr(snapshot, "_hash_file", spy)
    return seen


@pytest.mark.usefixtures("later")
def test_an_unchanged_tree_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    tree, memo = small_tree(tmp_path / "tree"), tmp_path / "memo"
    first = hash_with_cache(tree, list_files(tree), memo)
    read.clear()
    assert hash_with_cache(tree, list_files(tree), memo) == first
    assert read == []


@pytest.mark.usefixtures("later")
def test_a_changed_file_is_read_again_even_with_its_old_size_and_mtime(
    tmp_path: Path, read: list[str]
) -> None:
    tree, memo = small_tree(tmp_path / "tree"), tmp_path / "memo"
    info = (tree / "Kconfig").stat()
    hash_with_cache(tree, list_files(tree), memo)
    read.clear()
    time.sleep(0.02)  # ctimes have the resolution of the kernel's tick
    (tree / "Kconfig").write_text("x" * info.st_size)
    os.utime(tree / "Kconfig", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert hash_with_cache(tree, list_files(tree), memo) == hash_tree(tree, list_files(tree))
    assert read[0] == "Kconfig"


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    tree, memo = small_tree(tmp_path / "tree"), tmp_path / "memo"
    hash_with_cache(tree, list_files(tree), memo)
    read.clear()
    hash_with_cache(tree, list_files(tree), memo)
    assert "Kconfig" in read


@pytest.mark.usefixtures("later")
def test_a_hash_cache_that_is_read_counts_as_used(tmp_path: Path) -> None:
    tree, cache_file = small_tree(tmp_path / "tree"), tmp_path / "cache"
    hash_with_cache(tree, list_files(tree), cache_file)
    os.utime(cache_file, (1, 1))
    hash_with_cache(tree, list_files(tree), cache_file)
    assert cache_file.stat().st_mtime > 1


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b\x08\x00"])
def test_a_damaged_memo_is_no_memo(tmp_path: Path, content: bytes) -> None:
    tree, memo = small_tree(tmp_path / "tree"), tmp_path / "memo"
    memo.write_bytes(content)
    assert hash_with_cache(tree, list_files(tree), memo) == hash_tree(tree, list_files(tree))


@pytest.mark.usefixtures("later")
def test_files_that_are_gone_are_gone_from_the_memo_s_answer(tmp_path: Path) -> None:
    tree, memo = small_tree(tmp_path / "tree"), tmp_path / "memo"
    hash_with_cache(tree, list_files(tree), memo)
    (tree / "Kconfig").unlink()
    assert "Kconfig" not in hash_with_cache(tree, list_files(tree), memo).entries


def test_a_link_that_nobody_can_follow_to_its_end_counts_as_one_that_leads_out(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    for number in range(42):
        (tree / f"l{number}").symlink_to(f"l{number + 1}")
    (tree / "loop").symlink_to("loop")
    (tree / "long").symlink_to("./" * 300 + "Kconfig")
    escaping = find_escaping_links(tree, hash_tree(tree, list_files(tree)))
    assert escaping == {"l0", "l1", "loop", "long"}
