import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source.git_repository import GitRepository, find_repository
from tests.fakes.host_git import git
from tests.fakes.small_tree import small_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = small_tree(tmp_path / "tree")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=x")
    return root


def found(directory: Path) -> GitRepository:
    repository = find_repository(directory)
    assert repository is not None
    return repository


def mounted(repository: GitRepository) -> set[str]:
    assert all(mount.read_only for mount in repository.mounts)
    return {mount.path for mount in repository.mounts}


def test_a_clone_is_one_directory(tree: Path) -> None:
    repository = found(tree)
    assert (repository.git_dir, repository.work_tree, repository.prefix) == (tree / ".git", tree, "")
    assert mounted(repository) == {str(tree)}


def test_a_tree_inside_a_larger_repository_has_a_prefix(tree: Path) -> None:
    repository = found(tree / "virt/kvm")
    assert (repository.work_tree, repository.prefix) == (tree, "virt/kvm/")


def test_a_bare_repository_has_no_work_tree(tree: Path, tmp_path: Path) -> None:
    git(tree, "clone", "--quiet", "--bare", str(tree), str(tmp_path / "bare"))
    repository = found(tmp_path / "bare")
    assert (repository.git_dir, repository.work_tree) == (tmp_path / "bare", None)


def test_a_directory_without_a_repository_has_none(tmp_path: Path) -> None:
    assert find_repository(small_tree(tmp_path / "plain")) is None


def test_a_worktree_brings_the_repository_that_it_belongs_to(tree: Path, tmp_path: Path) -> None:
    git(tree, "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    repository = found(tmp_path / "other")
    assert repository.git_dir == tree / ".git/worktrees/other"
    assert mounted(repository) == {str(tmp_path / "other"), str(tree / ".git")}


def test_a_submodule_is_read_with_its_repository(tree: Path, tmp_path: Path) -> None:
    git(
        tree,
        *("-c", "protocol.file.allow=always"),
        *("submodule", "--quiet", "add", f"{tree}/.git", "sub"),
    )
    assert found(tree / "sub").git_dir == tree / ".git/modules/sub"
    assert tmp_path in found(tree / "sub").git_dir.parents


@pytest.mark.parametrize("option", ["--shared", f"--reference={'{tree}'}"])
def test_borrowed_objects_are_there_too(tree: Path, tmp_path: Path, option: str) -> None:
    git(tree, "clone", "--quiet", option.format(tree=tree), str(tree), str(tmp_path / "borrower"))
    git(tree, "clone", "--quiet", "--shared", str(tmp_path / "borrower"), str(tmp_path / "next"))
    expected = {str(tmp_path / "next"), str(tmp_path / "borrower/.git/objects"), str(tree / ".git/objects")}
    assert mounted(found(tmp_path / "next")) == expected


def test_a_linked_repository_is_followed_to_where_it_is(tree: Path, tmp_path: Path) -> None:
    other = small_tree(tmp_path / "other")
    (other / ".git").symlink_to("../tree/.git")
    assert found(other).git_dir == tree / ".git"
    assert mounted(found(other)) == {str(other), str(tree / ".git")}


def test_linked_parts_of_a_repository_are_followed(tree: Path, tmp_path: Path) -> None:
    (tree / ".git/objects").rename(tmp_path / "store")
    (tree / ".git/objects").symlink_to(tmp_path / "store")
    assert mounted(found(tree)) == {str(tree), str(tmp_path / "store")}


def test_a_path_through_a_link_is_there_under_both_names(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tree)
    other = small_tree(tmp_path / "other")
    (other / ".git").write_text(f"gitdir: {tmp_path}/alias/.git\n")
    assert mounted(found(other)) == {str(other), str(tmp_path / "alias/.git"), str(tree / ".git")}


POINTERS = {
    "nothing": ("gitdir: /nonexistent\n", "not there"),
    "empty": ("", "no repository"),
    "words": ("x" * 100, "no repository"),
    "no name": ("gitdir: \n", "not there"),
    "NUL": ("gitdir: a\0b\n", "not there"),
    "itself": ("gitdir: .git\n", "no git repository"),
    "root": ("gitdir: /\n", "no place for a git repository"),
    "system": ("gitdir: /usr\n", "no place for a git repository"),
    "kernel": ("gitdir: /proc/1\n", "no place for a git repository"),
    "no repository": ("gitdir: ..\n", "no git repository"),
    "endless": ("gitdir: " + "a/" * 70_000, "more than 65536 bytes"),
    "long": ("gitdir: " + "a" * 5000, "not there|cannot be read"),
}


@pytest.mark.parametrize("name", POINTERS)
def test_a_git_file_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    text, words = POINTERS[name]
    (small_tree(tmp_path / "tree") / ".git").write_text(text)
    with pytest.raises(RequestError, match=words):
        find_repository(tmp_path / "tree")


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def link_to_zero(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_pipe, link_to_zero])
@pytest.mark.parametrize(
    "name",
    ["HEAD", "config", "index", "packed-refs", "commondir", "info/attributes", "objects/info/alternates"],
)
def test_a_part_that_is_no_file_is_refused_before_git_opens_it(
    tree: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tree / ".git" / name)
    with pytest.raises(RequestError, match=r"no regular file|a link|no place"):
        find_repository(tree)


def test_a_pipe_in_place_of_the_git_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(small_tree(tmp_path / "tree") / ".git")
    with pytest.raises(RequestError, match="no regular file"):
        find_repository(tmp_path / "tree")


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (small_tree(tmp_path / "tree") / ".git").symlink_to(".git")
    with pytest.raises(RequestError, match=r"not there|cannot be read"):
        find_repository(tmp_path / "tree")


def test_a_repository_that_borrows_without_end_is_refused(tree: Path, tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / f"objects-{number}/info"
        folder.mkdir(parents=True)
        (folder / "alternates").write_text(f"{tmp_path}/objects-{number + 1}\n")
    (tmp_path / "objects-40").mkdir()
    (tree / ".git/objects/info/alternates").write_text(f"{tmp_path}/objects-0\n")
    with pytest.raises(RequestError, match="borrows from more than 32"):
        find_repository(tree)


def test_a_stranger_s_pointer_leads_to_nothing_that_is_closed_to_the_stranger(
    tree: Path, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file to somebody else")
    other = small_tree(tmp_path / "other")
    (other / ".git").write_text(f"gitdir: {tree}/.git\n")
    os.chown(other / ".git", 59990, 59990)
    (tree / ".git").chmod(0o700)
    with pytest.raises(RequestError, match="belongs to somebody else"):
        find_repository(other)
