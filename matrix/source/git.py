"""Read a user's repository with git: in a container, read-only, without network.

A repository's own configuration names programs (filters, hooks, monitors, signature checkers) that git runs,
and a submodule has another. The repository may be a stranger's, so git never runs on the host.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matrix.engine.protocol import Mount
from matrix.errors import RequestError
from matrix.foreign_text import clean_text
from matrix.shell_words import quote_word
from matrix.source.git_repository import GitRepository, find_repository
from matrix.source.kernel_tree import GitProvenance
from matrix.source.sandbox import Sandbox, SandboxLimitError, SandboxResult

# No replacement refs: a commit is what its hash says. No lock on the index; no asking a network for objects.
_GIT_FUNCTION = r"""
export GIT_CONFIG_NOSYSTEM=1 GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_LAZY_FETCH=1
export GIT_NO_REPLACE_OBJECTS=1 GIT_ATTR_NOSYSTEM=1 GIT_DIR="$1"
[ -z "$2" ] || export GIT_WORK_TREE="$2"
[ -z "$2" ] || cd "$2"
git() { command git -c safe.directory='*' -c core.fsmonitor=false -c core.hooksPath=/dev/null "$@"; }
describe() { git describe --always --abbrev=12 "$1" 2>/dev/null || echo "${1:0:12}"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"""
# What is not readable is neither changed nor unchanged.
_PROVENANCE_SCRIPT = r"""
commit=$(git rev-parse --verify --quiet 'HEAD^{commit}') || { echo "commit="; exit 0; }
git status --porcelain --untracked-files=no >"$scratch/status" 2>"$scratch/errors"
if grep -m 1 -iE '^(error|fatal|warning): .*permission denied' "$scratch/errors" >"$scratch/denied"; then
    echo "denied=$(cat "$scratch/denied")"
    exit 3
fi
echo "commit=$commit"
echo "describe=$(describe "$commit")"
[ ! -s "$scratch/status" ] || echo "dirty=yes"
"""
_RESOLVE_SCRIPT = r"""
commit=$(git rev-parse --verify --end-of-options "$3^{commit}")
echo "commit=$commit"
echo "describe=$(describe "$commit")"
"""
# From a repository of its own that borrows the objects: attributes and settings of the user's change nothing,
# so that every file is as it was committed.
_EXPORT_SCRIPT = r"""
format=$(git rev-parse --show-object-format)
objects=$(cd "$(git rev-parse --git-path objects)" && pwd)
unset GIT_WORK_TREE
export GIT_DIR="$scratch/plain.git"
command git init --quiet --bare --object-format="$format" "$GIT_DIR"
printf '%s\n' "$objects" >"$GIT_DIR/objects/info/alternates"
mkdir -p "$GIT_DIR/info"
attributes='* -export-subst -export-ignore -filter -text -ident !eol -working-tree-encoding'
echo "$attributes" >"$GIT_DIR/info/attributes"
time=$(command git show --no-patch --format=%ct "$3")
command git archive --format=tar ${4:+"--mtime=@$time"} --output="$5" "$3${4:+:${4%/}}"
"""
_FACTS_SECONDS = 300.0
_EXPORT_SECONDS = 3600.0
_COMMIT_ID = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class GitCommit:
    """A commit, what it is called after the nearest tag, and the repository that it is in."""

    id: str
    describe: str
    repository: GitRepository


def read_git_provenance(directory: Path, sandbox: Sandbox) -> GitProvenance | None:
    """The commit that the tree is at; None when it is not the top of a repository, or that has no commit.

    RequestError where git cannot say: a part is missing, or the container's user may not read it.
    """
    if not os.path.lexists(directory / ".git"):
        return None
    repository = find_repository(directory)
    if repository is None:
        return None
    try:
        result = _run_git(_PROVENANCE_SCRIPT, repository, sandbox)
    except SandboxLimitError as problem:
        raise RequestError(f"git could not read {directory}: {problem}", "Give a clone of it.") from problem
    if denied := result.find_value("denied"):
        raise RequestError(
            f"git may not read all of {directory}: {clean_text(denied)}", "Give a clone that is readable."
        )
    if result.exit:
        raise RequestError(
            f"git cannot read {directory}: {_extract_reason(result)}", "Repair its repository."
        )
    commit, describe = _read_commit(result)
    return GitProvenance(commit, describe, bool(result.find_value("dirty"))) if commit else None


def resolve_commit(directory: Path, revision: str, sandbox: Sandbox) -> GitCommit:
    """The commit of a revision; RequestError when there is none, or no repository."""
    repository = find_repository(directory)
    quoted = quote_word(str(directory))
    if repository is None:
        raise RequestError(
            f"{directory} has no revision {revision}: not a git repository", "Give a clone: DIR@REV"
        )
    result = _run_git(_RESOLVE_SCRIPT, repository, sandbox, revision)
    if result.exit:
        raise RequestError(
            f"{directory} has no revision {revision}: {_extract_reason(result)}",
            f"See `git -C {quoted} log` and `git -C {quoted} tag`.",
        )
    return GitCommit(*_read_commit(result), repository)


def export_commit(commit: GitCommit, to: Path, sandbox: Sandbox) -> SandboxResult:
    """Write the commit's files, those of its prefix alone, as a tar file into a directory of its own.

    RequestError where git cannot; a full disk is in the result.
    """
    reader = _choose_reader(commit.repository, sandbox)
    folder = reader.create_directory(to.parent)
    mount = Mount(folder, str(folder), read_only=False)
    arguments = (commit.id, commit.repository.prefix, str(to))
    result = _run_git(
        _EXPORT_SCRIPT, commit.repository, sandbox, *arguments, more=[mount], seconds=_EXPORT_SECONDS
    )
    if result.exit and not result.is_disk_full:
        raise RequestError(
            f"git cannot export {commit.id[:12]} of {commit.repository.git_dir}: {_extract_reason(result)}",
            "A partial or shallow clone may lack its files: fetch them first.",
        )
    return result


def _run_git(
    script: str,
    repository: GitRepository,
    sandbox: Sandbox,
    *arguments: str,
    more: Sequence[Mount] = (),
    seconds: float | None = None,
) -> SandboxResult:
    return _choose_reader(repository, sandbox).run(
        _GIT_FUNCTION + script,
        str(repository.git_dir),
        str(repository.work_tree or ""),
        *arguments,
        mounts=[*repository.mounts, *more],
        seconds=seconds or _FACTS_SECONDS,
    )


def _choose_reader(repository: GitRepository, sandbox: Sandbox) -> Sandbox:
    """The sandbox as a user who can read the repository, and who never is root.

    Root reads everything outside and nothing more than others inside: there it is the owner. Another user
    keeps the group through which a shared repository is readable.
    """
    uid, _, gid = sandbox.user.partition(":")
    status = repository.git_dir.stat()
    if uid == "0":
        return sandbox
    if os.geteuid() == 0:
        return replace(sandbox, user=f"{status.st_uid}:{status.st_gid}") if status.st_uid else sandbox
    return replace(sandbox, user=f"{uid}:{status.st_gid if status.st_gid in os.getgroups() else gid}")


def _read_commit(result: SandboxResult) -> tuple[str, str]:
    """A commit's id, empty where there is none, and its description."""
    commit = result.find_value("commit")
    return (commit if _COMMIT_ID.fullmatch(commit) else ""), clean_text(result.find_value("describe"))


def _extract_reason(result: SandboxResult) -> str:
    """What git said last, as one harmless line."""
    return clean_text(result.lines[-1]) if result.lines else "git does not say why"
