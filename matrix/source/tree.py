"""A kernel tree in kmatrix's own cache, as a value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GitProvenance:
    """Where a tree stood in its repository."""

    commit: str
    describe: str
    dirty: bool


@dataclass(frozen=True)
class AppliedPatch:
    """A patch that was applied, by name and content."""

    name: str
    sha256: str


@dataclass(frozen=True)
class SourceTree:
    """A snapshot that nobody edits: mounted read-only at /src, identified by its content.

    ``digest`` is the SHA-256 over every file's path, kind (file, executable, link) and content; other mode
    bits, owners, times and empty directories do not count. ``path`` is the tree's root on this machine;
    ``version`` what its Makefile says (``6.12.48``); ``package`` the full version of the Debian package
    that it came in (``6.12.48-1``), or empty.
    """

    spec: str
    path: Path
    version: str
    digest: str
    git: GitProvenance | None = None
    patches: tuple[AppliedPatch, ...] = ()
    package: str = ""
