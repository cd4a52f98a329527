"""Strangers' git repositories, read by git in kmatrix's own base image."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.images import ensure_base_image
from matrix.errors import RequestError
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.git import read_git_provenance, resolve_commit
from matrix.source.kernel_tree import GitProvenance, SourceTree
from matrix.source.sandbox import Sandbox
from tests.fakes.host_git import git
from tests.fakes.small_tree import small_tree

pytestmark = pytest.mark.engine
STRANGER = 59991


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    engine = connect_engine()
    user = choose_container_user(rootless=engine.query_info().rootless)
    return Sandbox(engine, ensure_base_image(engine, lambda _: None), user)


@pytest.fixture
def fetch(sandbox: Sandbox, tmp_path: Path) -> Callable[[str | Path], SourceTree]:
    def fetch_spec(spec: str | Path) -> SourceTree:
        return fetch_tree(
            str(spec),
            cache=SourceCache(CacheLayout(tmp_path / "cache")),
            engine=sandbox.engine,
            image=sandbox.image,
            user=sandbox.user,
            note=lambda _: None,
        )

    return fetch_spec


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit, tagged v6.12."""
    return make_repository(tmp_path / "tree")


def make_repository(root: Path, **more: str) -> Path:
    small_tree(root, **more)
    git(root, "init", "--quiet")
    commit_all(root)
    tag_release(root)
    return root


def tag_release(root: Path) -> None:
    git(root, "tag", "--force", "--annotate", "--message=x", "v6.12")


def commit_all(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=x")


def give_away(root: Path) -> None:
    """Make everything a stranger's, where root can."""
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def make_stale(root: Path) -> None:
    """Let git compare the contents of what did not change."""
    later = time.time_ns() + 10**10
    for name in ("virt/kvm/vfio.c", "sub/x"):
        if (root / name).exists():
            os.utime(root / name, ns=(later, later))


# Each trap is given the repository and a command that leaves a trace beside it, and returns what of git
# springs it on the host.


def set_filter(kind: str) -> Callable[[Path, str], tuple[str, ...]]:
    def set_trap(root: Path, command: str) -> tuple[str, ...]:
        (root / ".git/info/attributes").write_text("* filter=evil\n")
        git(root, "config", f"filter.evil.{kind}", command)
        make_stale(root)
        return ("archive", "HEAD") if kind == "smudge" else ("status",)

    return set_trap


def include_a_filter(setting: str) -> Callable[[Path, str], tuple[str, ...]]:
    def set_trap(root: Path, command: str) -> tuple[str, ...]:
        command_line = set_filter("clean")(root, command)
        (root / ".git/config").rename(root / ".git/more")
        (root / ".git/config").write_text(f"[core]\nrepositoryformatversion = 0\n[{setting}]\npath = more\n")
        return command_line

    return set_trap


def filter_in_worktree_configuration(root: Path, command: str) -> tuple[str, ...]:
    git(root, "config", "extensions.worktreeConfig", "true")
    (root / ".git/info/attributes").write_text("* filter=evil\n")
    git(root, "config", "--worktree", "filter.evil.clean", command)
    make_stale(root)
    return ("status",)


def filter_in_committed_attributes(root: Path, command: str) -> tuple[str, ...]:
    (root / ".gitattributes").write_text("*.c filter=evil\n")
    commit_all(root)
    tag_release(root)
    git(root, "config", "filter.evil.clean", command)
    make_stale(root)
    return ("status",)


def filter_of_a_submodule(root: Path, command: str) -> tuple[str, ...]:
    module = root / "sub"
    module.mkdir()
    (module / "x").write_text("x")
    git(module, "init", "--quiet")
    commit_all(module)
    git(root, "add", "sub")
    commit_all(root)
    tag_release(root)
    set_filter("clean")(module, command)
    make_stale(root)
    return ("status",)


def monitor_files(root: Path, command: str) -> tuple[str, ...]:
    git(root, "config", "core.fsmonitor", command)
    return ("status",)


def hook_the_index(root: Path, command: str) -> tuple[str, ...]:
    write_program(root / ".git/hooks/post-index-change", command)
    make_stale(root)
    return ("status",)


def hook_the_index_elsewhere(root: Path, command: str) -> tuple[str, ...]:
    write_program(root / "hooks/post-index-change", command)
    git(root, "config", "core.hooksPath", str(root / "hooks"))
    make_stale(root)
    return ("status",)


def check_signatures(root: Path, command: str) -> tuple[str, ...]:
    """The commit has a signature, and whatever shows it asks what that is worth."""
    git(root, "config", "log.showSignature", "true")
    signature = "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n"
    signer = f"cat >/dev/null; printf '\\n[GNUPG:] SIG_CREATED \\n' >&2; printf -- '{signature}'"
    git(root, "config", "gpg.program", write_program(root / ".git/signer", signer))
    git(root, "commit", "--quiet", "--allow-empty", "--gpg-sign=x", "--message=x")
    tag_release(root)
    git(root, "config", "gpg.program", write_program(root / ".git/gpg", command))
    return ("show",)


def compare_with_a_program(root: Path, command: str) -> tuple[str, ...]:
    git(root, "config", "diff.external", command)
    (root / "Kconfig").write_text("edited")
    return ("diff",)


def convert_with_a_program(root: Path, command: str) -> tuple[str, ...]:
    (root / ".git/info/attributes").write_text("* diff=evil\n")
    git(root, "config", "diff.evil.textconv", command)
    (root / "Kconfig").write_text("edited")
    return ("diff",)


def miss_an_object(root: Path, command: str) -> tuple[str, ...]:
    """A partial clone whose other end is a program."""
    name = git(root, "rev-parse", "HEAD:scripts/run.sh")
    settings = {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ssh://nowhere{root}",
        "remote.origin.promisor": "true",
        "core.sshCommand": command,
    }
    for setting, value in settings.items():
        git(root, "config", setting, value)
    (root / f".git/objects/{name[:2]}/{name[2:]}").unlink()
    return ("archive", "HEAD")


def write_program(path: Path, command: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return str(path)


TRAPS = {
    "clean filter": set_filter("clean"),
    "filter process": set_filter("process"),
    "smudge filter": set_filter("smudge"),
    "included filter": include_a_filter("include"),
    "conditionally included filter": include_a_filter('includeIf "gitdir:**"'),
    "filter of a worktree": filter_in_worktree_configuration,
    "filter of committed attributes": filter_in_committed_attributes,
    "filter of a submodule": filter_of_a_submodule,
    "file system monitor": monitor_files,
    "hook": hook_the_index,
    "hook elsewhere": hook_the_index_elsewhere,
    "signature checker": check_signatures,
    "external diff": compare_with_a_program,
    "text conversion": convert_with_a_program,
    "partial clone over ssh": miss_an_object,
}


@pytest.mark.parametrize("name", TRAPS)
def test_no_program_that_a_repository_names_runs_on_the_host(
    tree: Path, tmp_path: Path, fetch: Callable[[str | Path], SourceTree], name: str
) -> None:
    trace = tmp_path / "trace"
    spring = TRAPS[name](tree, f"touch {trace}; cat")
    host = ("git", "-c", "safe.directory=*", "-C", str(tree), *spring)
    subprocess.run(host, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert trace.exists(), "this is no trap"
    trace.unlink()
    make_stale(tree)
    give_away(tree)
    committed = git_of_stranger(tree, "rev-parse", "HEAD")
    assert fetch(tree).git == GitProvenance(
        committed, "v6.12", dirty=(tree / "Kconfig").read_text() == "edited"
    )
    if name == "partial clone over ssh":
        with pytest.raises(RequestError, match="cannot export"):
            fetch(f"{tree}@HEAD")
    else:
        assert fetch(f"{tree}@HEAD").git == GitProvenance(committed, "v6.12", dirty=False)
    assert not trace.exists()


def git_of_stranger(root: Path, *arguments: str) -> str:
    return git(root, "-c", "safe.directory=*", *arguments)


def edit_mode(root: Path) -> None:
    (root / "Kconfig").chmod(0o755)


def edit_mode_where_modes_do_not_count(root: Path) -> None:
    git(root, "config", "core.fileMode", "false")
    edit_mode(root)


def write_crlf(root: Path) -> None:
    (root / "Kconfig").write_bytes((root / "Kconfig").read_bytes().replace(b"\n", b"\r\n"))


def write_crlf_that_git_converts(root: Path) -> None:
    git(root, "config", "core.autocrlf", "true")
    write_crlf(root)


def replace_link_by_file(root: Path) -> None:
    (root / "scripts/include").unlink()
    (root / "scripts/include").write_text("../include")


def remove_file(root: Path) -> None:
    (root / "scripts/run.sh").unlink()


def hide_an_edit(flag: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        git(root, "update-index", flag, "scripts/run.sh")
        (root / "scripts/run.sh").write_text("edited")

    return edit


def stage_an_edit(root: Path) -> None:
    (root / "scripts/run.sh").write_text("edited")
    git(root, "add", "--all")


def add_untracked(root: Path) -> None:
    (root / "untracked").touch()


def add_ignored(root: Path) -> None:
    (root / ".git/info/exclude").write_text("*.tmp\n")
    (root / "x.tmp").touch()


def add_submodule(*, edited: bool) -> Callable[[Path], None]:
    def add(root: Path) -> None:
        make_repository(root.parent / "other")
        git(
            root,
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            str(root.parent / "other"),
            "s",
        )
        commit_all(root)
        if edited:
            (root / "s/Kconfig").write_text("edited")

    return add


def rewrite_the_same(root: Path) -> None:
    make_stale(root)


def leave_out_files(root: Path) -> None:
    git(root, "sparse-checkout", "set", "--no-cone", "/*", "!/scripts/run.sh")


def split_the_index(root: Path) -> None:
    git(root, "update-index", "--split-index")


def pack_everything(root: Path) -> None:
    git(root, "gc", "--quiet")


HONEST = {
    "nothing": lambda _: None,
    "edited mode": edit_mode,
    "mode that does not count": edit_mode_where_modes_do_not_count,
    "CRLF": write_crlf,
    "CRLF that git converts": write_crlf_that_git_converts,
    "file for a link": replace_link_by_file,
    "removed": remove_file,
    "assume unchanged": hide_an_edit("--assume-unchanged"),
    "skip worktree": hide_an_edit("--skip-worktree"),
    "staged": stage_an_edit,
    "untracked": add_untracked,
    "ignored": add_ignored,
    "submodule": add_submodule(edited=False),
    "edited submodule": add_submodule(edited=True),
    "same content again": rewrite_the_same,
    "sparse": leave_out_files,
    "split index": split_the_index,
    "packed": pack_everything,
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_repository_is_in_the_state_that_git_says(tree: Path, sandbox: Sandbox, name: str) -> None:
    HONEST[name](tree)
    state = read_git_provenance(tree, sandbox)
    dirty = git(tree, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    expected = (git(tree, "rev-parse", "HEAD"), git_describe(tree), bool(dirty))
    assert state is not None
    assert (state.commit, state.describe, state.dirty) == expected


def test_a_worktree_and_a_borrowing_clone_and_a_bare_one_are_read(
    tree: Path, sandbox: Sandbox, fetch: Callable[[str | Path], SourceTree], tmp_path: Path
) -> None:
    git(tree, "worktree", "add", "--quiet", "--detach", str(tmp_path / "work"))
    git(tree, "clone", "--quiet", "--shared", str(tree), str(tmp_path / "borrower"))
    git(tree, "clone", "--quiet", "--bare", str(tree), str(tmp_path / "bare"))
    whole = fetch(f"{tree}@HEAD")
    for name in ("tree", "work", "borrower", "bare"):
        give_away(tmp_path / name)
    for name in ("work", "borrower", "bare"):
        assert fetch(f"{tmp_path / name}@HEAD").digest == whole.digest
        assert resolve_commit(tmp_path / name, "v6.12", sandbox).describe == git_describe(tree)
    for name in ("work", "borrower"):
        assert fetch(tmp_path / name).git == whole.git


def git_describe(root: Path) -> str:
    return git_of_stranger(root, "describe", "--always", "--abbrev=12")


@pytest.mark.parametrize("kind", ["sha256"])
def test_a_repository_of_another_format_is_read(
    tmp_path: Path, fetch: Callable[[str | Path], SourceTree], kind: str
) -> None:
    root = small_tree(tmp_path / "tree")
    git(root, "init", "--quiet", f"--object-format={kind}")
    commit_all(root)
    assert fetch(f"{root}@HEAD").digest == fetch(root).digest


def test_a_tree_inside_a_larger_repository_is_exported_alone(
    tmp_path: Path, fetch: Callable[[str | Path], SourceTree]
) -> None:
    small_tree(tmp_path / "top/linux")
    git(tmp_path / "top", "init", "--quiet")
    commit_all(tmp_path / "top")
    exported = fetch(f"{tmp_path / 'top/linux'}@HEAD")
    assert exported.digest == fetch(tmp_path / "top/linux").digest
    made = (exported.path / "Kconfig").stat().st_mtime
    assert made == int(git(tmp_path / "top", "show", "--no-patch", "--format=%ct"))


def test_a_repository_that_only_its_owner_reads_is_read_as_its_owner(
    tree: Path, fetch: Callable[[str | Path], SourceTree]
) -> None:
    if os.geteuid():
        pytest.skip("only root reads what is somebody else's")
    give_away(tree)
    for path in (tree, tree / ".git", tree / ".git/objects"):
        path.chmod(0o700)
    assert fetch(tree).git is not None
    assert fetch(f"{tree}@HEAD").git is not None


def test_a_pipe_that_a_configuration_includes_holds_nothing_up(
    tree: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrix.source.git._FACTS_SECONDS", 3.0)
    os.mkfifo(tree / ".git/more")
    git(tree, "config", "include.path", "more")
    with pytest.raises(RequestError, match="could not read"):
        read_git_provenance(tree, sandbox)
