"""Read a user's tree with git: on the host, read-only, and without running its hooks."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from matrix.errors import DiskFullError, MachineError, RequestError
from matrix.fs import DISK_FULL_MESSAGES
from matrix.source.kernel_tree import GitProvenance

# The tree may belong to another user (a shared checkout, a container's): git would refuse to read it.
# Its configuration is then that user's, too, and must not name programs that are run here.
_SAFETY_OPTIONS = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


def read_git_provenance(directory: Path) -> GitProvenance | None:
    """The commit that the tree is at; None when it is not the top of a repository, or git is missing."""
    if not (directory / ".git").exists():
        return None
    try:
        commit = _run_git(directory, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        dirty = _run_git(directory, "status", "--porcelain", "--untracked-files=no")
    except (MachineError, subprocess.CalledProcessError):
        return None
    return GitProvenance(commit, describe_commit(directory, commit), bool(dirty))


def resolve_commit(directory: Path, revision: str) -> str:
    """The commit of a revision; RequestError when there is none, or no repository."""
    try:
        return _run_git(directory, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError as problem:
        quoted = shlex.quote(str(directory))
        raise RequestError(
            f"{directory} has no revision {revision}: {_extract_last_line(problem.stderr)}",
            f"See `git -C {quoted} log` and `git -C {quoted} tag`.",
        ) from problem


def describe_commit(directory: Path, commit: str) -> str:
    """``v6.12-rc3-12-g0123456789ab``, or the short commit where no tag leads to it."""
    try:
        return _run_git(directory, "describe", "--always", "--abbrev=12", commit)
    except subprocess.CalledProcessError:
        return commit[:12]


def find_repository_prefix(directory: Path) -> str:
    """Where the directory is below its repository's top (``linux/``); empty at the top."""
    return _run_git(directory, "rev-parse", "--show-prefix")


def export_commit(directory: Path, commit: str, to: Path) -> None:
    """Write the commit's files (of this directory, in a larger repository) as a tar file."""
    try:
        with to.open("wb") as out:
            subprocess.run(
                _build_git_command(directory, "archive", "--format=tar", commit),
                stdout=out,
                stderr=subprocess.PIPE,
                env=_build_git_environment(),
                check=True,
            )
    except subprocess.CalledProcessError as problem:
        line = _extract_last_line(problem.stderr)
        if any(message in line for message in DISK_FULL_MESSAGES):
            raise DiskFullError(f"the disk of {to} is full", "Free some space, and run again.") from problem
        raise RequestError(
            f"git cannot export {commit[:12]} of {directory}: {line}",
            "A partial or shallow clone may lack its files: fetch them first.",
        ) from problem


def _run_git(directory: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            _build_git_command(directory, *arguments),
            capture_output=True,
            env=_build_git_environment(),
            check=True,
        )
    except FileNotFoundError as problem:
        raise MachineError(
            "git is not installed", "Install it (apt install git), or give a directory."
        ) from problem
    return result.stdout.decode(errors="replace").strip()


def _build_git_command(directory: Path, *arguments: str) -> Sequence[str]:
    return ("git", "-C", str(directory), *_SAFETY_OPTIONS, *arguments)


def _build_git_environment() -> dict[str, str]:
    """Messages in English, no lock on the user's index, and no repository but the directory's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def _extract_last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "git does not say why"
