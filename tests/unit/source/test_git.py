import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source import git
from matrix.source.kernel_tree import GitProvenance
from tests.fakes.small_tree import small_tree


def run(tree: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "tag.gpgSign=false")
    command = ["git", "-C", str(tree), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit, tagged v6.12."""
    root = small_tree(tmp_path / "tree")
    run(root, "init", "--quiet")
    run(root, "add", "--all")
    run(root, "commit", "--quiet", "--no-gpg-sign", "--message=x")
    run(root, "tag", "--annotate", "--message=x", "v6.12")
    return root


def test_a_clean_checkout_stands_at_its_commit(tree: Path) -> None:
    assert git.read_git_provenance(tree) == GitProvenance(
        run(tree, "rev-parse", "HEAD"), "v6.12", dirty=False
    )


def test_an_edit_makes_it_dirty_and_an_untracked_file_does_not(tree: Path) -> None:
    (tree / "untracked").touch()
    clean = git.read_git_provenance(tree)
    (tree / "Kconfig").write_text("x")
    dirty = git.read_git_provenance(tree)
    assert clean is not None
    assert dirty is not None
    assert (clean.dirty, dirty.dirty) == (False, True)


def test_looking_changes_nothing_in_the_repository(tree: Path) -> None:
    os.utime(tree / "Kconfig")  # git would like to refresh its index now
    before = (tree / ".git/index").stat().st_mtime_ns
    git.read_git_provenance(tree)
    assert (tree / ".git/index").stat().st_mtime_ns == before


def test_a_program_that_the_repository_names_is_not_run(tree: Path) -> None:
    evil = tree / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tree}/owned\n")
    evil.chmod(0o755)
    run(tree, "config", "core.fsmonitor", str(evil))
    git.read_git_provenance(tree)
    assert not (tree / "owned").exists()


def test_a_directory_that_is_no_repository_s_top_has_no_state(tmp_path: Path, tree: Path) -> None:
    assert git.read_git_provenance(small_tree(tmp_path / "plain")) is None
    assert git.read_git_provenance(tree / "virt") is None


def test_a_repository_without_a_commit_has_no_state(tmp_path: Path) -> None:
    run(small_tree(tmp_path), "init", "--quiet")
    assert git.read_git_provenance(tmp_path) is None


def test_another_repository_in_the_environment_is_not_taken(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git.read_git_provenance(tree) is not None


def test_a_machine_without_git_has_no_state(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.read_git_provenance(tree) is None


def test_a_revision_is_its_commit_however_it_is_called(tree: Path) -> None:
    head = run(tree, "rev-parse", "HEAD")
    assert {git.resolve_commit(tree, name) for name in ("HEAD", "v6.12", "@", head[:10])} == {head}


@pytest.mark.parametrize("revision", ["v9.99", "--help", "HEAD:Kconfig"])
def test_what_is_no_revision_is_refused(tree: Path, revision: str) -> None:
    with pytest.raises(RequestError, match="has no revision"):
        git.resolve_commit(tree, revision)


def test_a_revision_of_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has no revision"):
        git.resolve_commit(small_tree(tmp_path), "HEAD")


def test_an_archive_holds_the_commit_and_not_what_was_edited_since(tree: Path, tmp_path: Path) -> None:
    (tree / "Kconfig").write_text("edited")
    git.export_commit(tree, git.resolve_commit(tree, "HEAD"), tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        member = archive.extractfile("Kconfig")
        assert member is not None
        assert member.read() != b"edited"
        assert "virt/kvm/vfio.c" in archive.getnames()


def test_a_tree_inside_a_larger_repository_is_exported_alone(tmp_path: Path) -> None:
    small_tree(tmp_path / "top/linux")
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--no-gpg-sign", "-mx")):
        run(tmp_path / "top", *arguments)
    linux = tmp_path / "top/linux"
    git.export_commit(linux, git.resolve_commit(linux, "HEAD"), tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert "Kconfig" in archive.getnames()
    assert git.find_repository_prefix(linux) == "linux/"
