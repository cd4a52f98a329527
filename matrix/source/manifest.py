"""What a tree consists of: each file's path, kind and content hash; and what differs between two trees."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from matrix.fs import read_gzip_json, write_gzip_json
from matrix.kernel_files import Impact, classify_impact
from matrix.source.tree_links import resolve_inside

FileKind = Literal["file", "exec", "link"]
_LETTER_OF_KIND: dict[FileKind, str] = {"file": "f", "exec": "x", "link": "l"}
_KIND_OF_LETTER: dict[str, FileKind] = {letter: kind for kind, letter in _LETTER_OF_KIND.items()}


class ManifestEntry(NamedTuple):
    """One file: ``sha256`` is of its content, or of a link's target."""

    kind: FileKind
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Path relative to the tree's root (``virt/kvm/vfio.c``) → entry. Directories are not listed."""

    entries: Mapping[str, ManifestEntry]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all entries in the order of their paths: the tree's identity."""
        whole = hashlib.sha256()
        for path, entry in sorted((os.fsencode(path), entry) for path, entry in self.entries.items()):
            whole.update(b"%s %s %s\0" % (entry.kind.encode(), entry.sha256.encode(), path))
        return whole.hexdigest()

    def compute_conf_digest(self) -> str:
        """The digest of what conf may read: equal ones, equal configurations.

        No Kconfig file, and no script that one runs, reads a source or documentation.
        """
        unread = {Impact.NOTHING, Impact.OBJECTS}
        return self._digest_selected(lambda path: classify_impact(path) not in unread)

    def compute_definitions_digest(self) -> str:
        """The digest of the files that may say which symbols the tree defines: all that are named Kconfig,
        or begin so."""
        return self._digest_selected(lambda path: path.rpartition("/")[2].startswith("Kconfig"))

    def _digest_selected(self, is_selected: Callable[[str], bool]) -> str:
        return Manifest({path: entry for path, entry in self.entries.items() if is_selected(path)}).digest

    def dump(self, path: Path) -> None:
        """Write it as gzipped JSON, ``{path: letter of the kind + hash}``."""
        flat = {name: _LETTER_OF_KIND[entry.kind] + entry.sha256 for name, entry in self.entries.items()}
        write_gzip_json(path, flat)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read it again. OSError when it is gone, ValueError when it is damaged."""
        flat = read_gzip_json(path)
        try:
            return cls(
                {name: ManifestEntry(_KIND_OF_LETTER[value[0]], value[1:]) for name, value in flat.items()}
            )
        except (AttributeError, TypeError, LookupError) as error:
            raise ValueError(f"{path} is damaged: it holds no list of files") from error


@dataclass(frozen=True)
class ManifestDiff:
    """Paths, sorted, of the files that differ in content or kind, are new, or are gone."""

    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.changed, *self.added, *self.removed)


def compare_manifests(old: Manifest, new: Manifest) -> ManifestDiff:
    """What differs for a build directory that was built from ``old`` and is to build ``new``."""
    before, after = old.entries, new.entries
    return ManifestDiff(
        changed=tuple(sorted(path for path, entry in after.items() if before.get(path, entry) != entry)),
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


def touch_files(root: Path, paths: Iterable[str]) -> None:
    """Give these files of kmatrix's own copy the present as their mtime.

    kbuild compares mtimes only: a changed file that is older than the objects would never be compiled.
    Files that vanished need nothing (make takes a missing prerequisite for a new one). A patched copy
    shares its untouched files, and so their mtimes, with its base by hard links: freshening one freshens
    the other, which can only cause rebuilds that were not needed, never prevent one.
    """
    for path in paths:
        if target := resolve_inside(str(root), path):
            _touch_recursively(f"{root}/{target}")


def _touch_recursively(target: str) -> None:
    """Touch a file, or every file in what a link made a directory: make follows links."""
    if not os.path.isdir(target):  # noqa: PTH112
        _touch_file(target)
        return
    for directory, _, names in os.walk(target):
        for name in names:
            _touch_file(os.path.join(directory, name))  # noqa: PTH118


def _touch_file(path: str) -> None:
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        return
