import os
import tarfile
from pathlib import Path

import pytest

from matrix.engine.protocol import ContainerSpec, LineCallback
from matrix.errors import RequestError
from matrix.source.git import export_commit, read_git_provenance, resolve_commit
from matrix.source.kernel_tree import GitProvenance
from matrix.source.sandbox import Sandbox
from tests.fakes.engine import FakeEngine
from tests.fakes.host_git import git, host_sandbox
from tests.fakes.small_tree import small_tree


@pytest.fixture
def sandbox() -> Sandbox:
    return host_sandbox()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit, tagged v6.12."""
    root = small_tree(tmp_path / "tree")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=x")
    git(root, "tag", "--annotate", "--message=x", "v6.12")
    return root


def saying(*lines: str) -> Sandbox:
    """A sandbox in which git prints these lines and fails."""

    def fail(_container: ContainerSpec, say: LineCallback) -> int:
        for line in lines:
            say(line)
        return 127

    return Sandbox(FakeEngine(fail, images=["base"]), "base", "0:0")


def test_a_clean_checkout_stands_at_its_commit(tree: Path, sandbox: Sandbox) -> None:
    assert read_git_provenance(tree, sandbox) == GitProvenance(
        git(tree, "rev-parse", "HEAD"), "v6.12", dirty=False
    )


def test_an_edit_makes_it_dirty_and_an_untracked_file_does_not(tree: Path, sandbox: Sandbox) -> None:
    (tree / "untracked").touch()
    clean = read_git_provenance(tree, sandbox)
    (tree / "Kconfig").write_text("x")
    dirty = read_git_provenance(tree, sandbox)
    assert clean is not None
    assert dirty is not None
    assert (clean.dirty, dirty.dirty) == (False, True)


def test_looking_changes_nothing_in_the_repository(tree: Path, sandbox: Sandbox) -> None:
    os.utime(tree / "Kconfig")  # git would like to refresh its index now
    before = (tree / ".git/index").stat().st_mtime_ns
    read_git_provenance(tree, sandbox)
    assert (tree / ".git/index").stat().st_mtime_ns == before


def test_a_program_that_the_repository_names_is_not_run(tree: Path, sandbox: Sandbox) -> None:
    evil = tree / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tree}/owned\n")
    evil.chmod(0o755)
    git(tree, "config", "core.fsmonitor", str(evil))
    read_git_provenance(tree, sandbox)
    assert not (tree / "owned").exists()


def test_a_directory_that_is_no_repository_s_top_has_no_state(
    tmp_path: Path, tree: Path, sandbox: Sandbox
) -> None:
    assert read_git_provenance(small_tree(tmp_path / "plain"), sandbox) is None
    assert read_git_provenance(tree / "virt", sandbox) is None


def test_a_repository_without_a_commit_has_no_state(tmp_path: Path, sandbox: Sandbox) -> None:
    git(small_tree(tmp_path), "init", "--quiet")
    assert read_git_provenance(tmp_path, sandbox) is None


def test_another_repository_in_the_environment_is_not_taken(
    tree: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert read_git_provenance(tree, sandbox) is not None


def test_what_git_cannot_read_is_said(tree: Path) -> None:
    with pytest.raises(RequestError, match=r"git cannot read .*tree: bash: git: command not found"):
        read_git_provenance(tree, saying("bash: git: command not found"))


def test_what_may_not_be_read_is_neither_clean_nor_dirty(tree: Path) -> None:
    with pytest.raises(RequestError, match=r"may not read all of .*: error: open"):
        read_git_provenance(tree, saying('denied=error: open("x"): Permission denied'))


def test_words_of_git_bring_no_escapes(tree: Path) -> None:
    with pytest.raises(RequestError) as caught:
        resolve_commit(tree, "v1", saying("fatal: \x1b[31mred"))
    assert "\x1b" not in str(caught.value)


def test_a_revision_is_its_commit_however_it_is_called(tree: Path, sandbox: Sandbox) -> None:
    head = git(tree, "rev-parse", "HEAD")
    names = ("HEAD", "v6.12", "@", head[:10])
    assert {resolve_commit(tree, name, sandbox).id for name in names} == {head}
    assert resolve_commit(tree, "@", sandbox).describe == "v6.12"


def test_a_replaced_commit_is_the_one_that_its_hash_says(tree: Path, sandbox: Sandbox) -> None:
    head = git(tree, "rev-parse", "HEAD")
    (tree / "Kconfig").write_text("another")
    git(tree, "commit", "--quiet", "--all", "--message=other")
    other = git(tree, "rev-parse", "HEAD")
    git(tree, "reset", "--quiet", "--hard", head)
    git(tree, "replace", head, other)
    state = read_git_provenance(tree, sandbox)
    assert state is not None
    assert (state.commit, state.dirty) == (head, False)


@pytest.mark.parametrize("revision", ["v9.99", "--help", "HEAD:Kconfig"])
def test_what_is_no_revision_is_refused(tree: Path, sandbox: Sandbox, revision: str) -> None:
    with pytest.raises(RequestError, match="has no revision"):
        resolve_commit(tree, revision, sandbox)


def test_a_revision_of_what_is_no_repository_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(RequestError, match="has no revision"):
        resolve_commit(small_tree(tmp_path), "HEAD", sandbox)


def export(tree: Path, to: Path, sandbox: Sandbox) -> dict[str, bytes]:
    """The files of HEAD as they are exported: name → content."""
    export_commit(resolve_commit(tree, "HEAD", sandbox), to / "x.tar", sandbox)
    with tarfile.open(to / "x.tar") as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive]
        return {name: file.read() for name, file in files if file}


def test_an_archive_holds_the_commit_and_not_what_was_edited_since(
    tree: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    (tree / "Kconfig").write_text("edited")
    files = export(tree, tmp_path / "out", sandbox)
    assert files["Kconfig"] != b"edited"
    assert "virt/kvm/vfio.c" in files


def test_attributes_and_settings_change_no_file_on_its_way_out(
    tree: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    (tree / ".gitattributes").write_text("hidden export-ignore\nid export-subst ident\n*.c text eol=crlf\n")
    (tree / "hidden").write_text("x\n")
    (tree / "id").write_text("$Format:%H$ $Id$\n")
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message=y")
    git(tree, "config", "core.autocrlf", "true")
    files = export(tree, tmp_path / "out", sandbox)
    assert files["hidden"] == b"x\n"
    assert files["id"] == b"$Format:%H$ $Id$\n"
    assert b"\r" not in files["virt/kvm/vfio.c"]
