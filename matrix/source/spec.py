"""Parse what the user gives for a source."""

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import RequestError
from matrix.user_files import expand_user_path, stat_user_path

_PACKAGE_NAME = re.compile(r"linux-source-[a-z0-9][a-z0-9.+-]*")
_PACKAGE_VERSION = re.compile(r"[0-9][A-Za-z0-9.+:~-]*")
SPEC_FORMS = "DIR, DIR@REV, TARBALL (.tar, .tar.gz, .tar.xz, .tar.zst …) or debian:linux-source-6.12"


@dataclass(frozen=True)
class DirectorySpec:
    """A kernel tree that the user may be editing."""

    path: Path


@dataclass(frozen=True)
class RevisionSpec:
    """A revision of the git repository that ``path`` is in."""

    path: Path
    revision: str


@dataclass(frozen=True)
class TarballSpec:
    path: Path


@dataclass(frozen=True)
class PackageSpec:
    """A Debian package with a kernel's source; ``version`` in full, or empty for the newest."""

    name: str
    version: str = ""


SourceSpec = DirectorySpec | RevisionSpec | TarballSpec | PackageSpec


def parse_source_spec(spec: str) -> SourceSpec:
    """Parse a spec, by what exists on this machine; RequestError where it names nothing.

    A path that exists is taken as it is: ``linux@work`` may be a directory's name.
    """
    if spec.startswith("debian:"):
        return _parse_package(spec.removeprefix("debian:"))
    path = expand_user_path(spec)
    status = stat_user_path(path, f"the source {spec}") if spec else None
    if status and stat.S_ISDIR(status.st_mode):
        return DirectorySpec(path)
    if status and stat.S_ISREG(status.st_mode):
        return TarballSpec(path)
    return _parse_revision(spec)


def _parse_package(text: str) -> PackageSpec:
    name, equals, version = text.partition("=")
    if not _PACKAGE_NAME.fullmatch(name) or (equals and not _PACKAGE_VERSION.fullmatch(version)):
        raise RequestError(
            f"debian:{text} names no package with a kernel's source",
            "They are called linux-source-VERSION: debian:linux-source-6.12",
        )
    return PackageSpec(name, version)


def _parse_revision(spec: str) -> RevisionSpec:
    """Split at the first ``@`` that has a directory before it; revisions may hold more of them."""
    for at in (index for index, letter in enumerate(spec) if letter == "@"):
        path, revision = expand_user_path(spec[:at]), spec[at + 1 :]
        status = stat_user_path(path, f"the source {spec[:at]}")
        if spec[:at] and revision and status and stat.S_ISDIR(status.st_mode):
            return RevisionSpec(path, revision)
    raise RequestError(
        f"no source {spec!r}: there is no such directory or file", f"A source is {SPEC_FORMS}."
    )
