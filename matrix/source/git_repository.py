"""Find what git must see to read a repository: its directories, wherever links and `.git` files lead.

Nothing of git is run here, and nothing of the repository's configuration is obeyed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from matrix.engine.protocol import Mount
from matrix.errors import RequestError
from matrix.foreign_files import ForeignDirectory, ForeignFileError

_POINTER_BYTES = 1 << 16
_MAX_ALTERNATES = 32
# Files and directories of a repository that may be links: `repo` and git-new-workdir make such.
_LINKED_NAMES = ("HEAD", "config", "index", "info", "logs", "objects", "packed-refs", "refs", "shallow")
# A file of these that is no regular file would block git, or feed it for ever.
_PLAIN_FILES = ("HEAD", "config", "config.worktree", "index", "packed-refs", "shallow", "info/attributes")
# What the container needs of its own, so that no directory of the host may lie above it.
_CONTAINER_DIRECTORIES = tuple(
    Path(path)
    for path in ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sys", "/tmp", "/usr/bin", "/usr/lib")  # noqa: S108
)
_KERNEL_FILE_SYSTEMS = (Path("/dev"), Path("/proc"), Path("/sys"))


@dataclass(frozen=True)
class GitRepository:
    """Where a repository's parts are. ``work_tree`` is None for a bare one; ``prefix`` is where the kernel
    tree is below it (``linux/``), or empty. ``mounts`` are the parts at their own paths, read-only."""

    git_dir: Path
    work_tree: Path | None
    prefix: str
    mounts: tuple[Mount, ...]


def find_repository(directory: Path) -> GitRepository | None:
    """The repository that a directory is in, or is, as a bare one; None where there is none.

    RequestError where a part of it is no part of a repository, or leads to where its owner may not go.
    """
    try:
        return _find_repository(Path(os.path.realpath(directory)))
    except (OSError, RecursionError) as problem:
        raise RequestError(
            f"the git repository of {directory} cannot be read: {problem}", "Give a clone that is readable."
        ) from problem


def _find_repository(top: Path) -> GitRepository | None:
    for parent in (top, *top.parents):
        if os.path.lexists(parent / ".git"):
            parts = _PartFinder()
            git_dir = parts.find_git_dir(parent)
            prefix = "" if parent == top else f"{top.relative_to(parent)}/"
            return GitRepository(git_dir, parent, prefix, parts.list_mounts())
    if not _has_shape(top):
        return None
    parts = _PartFinder()
    parts.add_repository(top)
    return GitRepository(top, None, "", parts.list_mounts())


@dataclass
class _PartFinder:
    """Follows a repository's pointers. ``places``: the path that git will open → the directory behind it."""

    places: dict[Path, Path] = field(default_factory=dict)

    def list_mounts(self) -> tuple[Mount, ...]:
        """Each place once, without those that another one shows already."""
        return tuple(
            Mount(real, str(path)) for path, real in sorted(self.places.items()) if not self._is_shown(path)
        )

    def find_git_dir(self, work_tree: Path) -> Path:
        """Add a work tree and its repository, which `.git` is or leads to."""
        self._add_place(work_tree, work_tree)
        pointer = work_tree / ".git"
        if pointer.is_symlink():
            git_dir = self._follow(pointer, str(pointer.readlink()), work_tree)
        elif pointer.is_dir():
            git_dir = pointer
        else:
            text = _read_pointer(work_tree, ".git") or ""
            if not text.startswith("gitdir:"):
                raise RequestError(f"{pointer} is no repository", "Give a clone, or a directory without it.")
            git_dir = self._follow(pointer, text.removeprefix("gitdir:").strip(), work_tree)
        self.add_repository(git_dir)
        return git_dir

    def add_repository(self, git_dir: Path) -> None:
        """Add a repository's directory, and whatever it shares with others."""
        self._add_place(git_dir, git_dir)
        common = _read_pointer(git_dir, "commondir")
        shared = self._follow(git_dir / "commondir", common.strip(), git_dir) if common else git_dir
        if not _has_shape(shared):
            raise RequestError(f"{shared} is no git repository", "Give a clone, or a directory without .git.")
        for place in dict.fromkeys((git_dir, shared)):
            self._add_linked_parts(place)
            _refuse_odd_files(place)
        self._add_alternates(shared / "objects")

    def _add_linked_parts(self, git_dir: Path) -> None:
        for name in _LINKED_NAMES:
            if (git_dir / name).is_symlink() and (git_dir / name).exists():
                self._follow(git_dir / name, str((git_dir / name).readlink()), git_dir)

    def _add_alternates(self, objects: Path) -> None:
        """Add the object directories that this one borrows from, and those that they borrow from."""
        waiting = [objects]
        seen: set[Path] = set()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MAX_ALTERNATES:
                raise RequestError(
                    f"{objects} borrows from more than {_MAX_ALTERNATES} others", "Repack it: git repack -ad"
                )
            waiting += list(self._follow_alternates(Path(os.path.realpath(place))))

    def _follow_alternates(self, objects: Path) -> Iterator[Path]:
        name = "info/alternates"
        for line in (_read_pointer(objects, name) or "").splitlines():
            # git leaves out one that is not there, and so does this.
            if line and not line.startswith("#") and (objects / line).is_dir():
                yield self._follow(objects / name, line, objects)

    def _follow(self, pointer: Path, target: str, base: Path) -> Path:
        """The place that a pointer leads to, added to the parts; RequestError where it may not lead there."""
        path = Path(os.path.normpath(base / target))
        real = Path() if "\0" in target else Path(os.path.realpath(base / target))
        if not target or "\0" in target or not real.exists():
            raise RequestError(f"{pointer} leads to {target!r}, which is not there", "Repair the repository.")
        if not real.is_relative_to(base) and not _may_lead(pointer, real):
            raise RequestError(
                f"{pointer} leads to {real}, which belongs to somebody else, and is not open to its owner",
                "Give a clone of that repository instead.",
            )
        self._add_place(path, real)
        return real

    def _add_place(self, path: Path, real: Path) -> None:
        for place in (path, real):
            if any(own.is_relative_to(place) for own in _CONTAINER_DIRECTORIES) or any(
                place.is_relative_to(top) for top in _KERNEL_FILE_SYSTEMS
            ):
                raise RequestError(f"{place} is no place for a git repository", "Move it to one of your own.")
            self.places[place] = real

    def _is_shown(self, path: Path) -> bool:
        """Whether the mount of a parent shows the same at this path."""
        return any(
            parent in self.places and self.places[parent] / path.relative_to(parent) == self.places[path]
            for parent in path.parents
        )


def _has_shape(git_dir: Path) -> bool:
    return (
        os.path.lexists(git_dir / "HEAD") and (git_dir / "objects").is_dir() and (git_dir / "refs").is_dir()
    )


def _may_lead(pointer: Path, target: Path) -> bool:
    """Whether whoever made the pointer could read the target: it is theirs, or open to everybody."""
    if pointer.lstat().st_uid == target.stat().st_uid:
        return True
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (target, *target.parents) if place.is_dir())


def _refuse_odd_files(git_dir: Path) -> None:
    for name in _PLAIN_FILES:
        if (git_dir / name).exists() and not (git_dir / name).is_file():
            raise RequestError(f"{git_dir / name} is no regular file", "Give a clone of the repository.")


def _read_pointer(directory: Path, name: str) -> str | None:
    """The text of a small file that names another place; None where there is none."""
    try:
        content = ForeignDirectory(directory).read_bytes(name, _POINTER_BYTES)
    except ForeignFileError as problem:
        raise RequestError(f"{directory}: {problem}", "Give a clone of the repository.") from problem
    return None if content is None else os.fsdecode(content)
