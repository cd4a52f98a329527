"""A kernel tree as the memories see it: the content of every source, and digests of all else."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path

from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.kconfig.build_effects import list_build_effects
from matrix.kernel_files import Impact, classify_impact
from matrix.source.manifest import Manifest
from matrix.source.tree_links import resolve_inside

ABSENT = "-"
"""In place of the content of a file that the tree has not."""


@dataclass(frozen=True)
class TreeContents:
    """The tree at ``root`` with these files.

    What a build can read is in three groups: sources (.c, .h and .S, but no linker script, which acts on all
    objects), everything else, and the names of all, since a new header can shadow another. Documentation is
    in none. Kconfig files reach a build through its .config, so only what else they bring about is in these.
    """

    manifest: Manifest
    root: Path
    _contents: dict[str, str] = field(default_factory=dict, repr=False)

    @cached_property
    def sources_digest(self) -> str:
        """The digest of all sources' contents."""
        return digest_lines(self._describe(path) for path in self._read_paths if is_plain_source(path))

    @cached_property
    def rest_digest(self) -> str:
        """The digest of everything else that can reach a build: Makefiles, scripts, tables, and Kconfig by
        what it does beside .config."""
        return digest_lines(self._describe_effects(path) for path in self._other_paths)

    @cached_property
    def kconfig_digest(self) -> str:
        """The digest of the contents of all Kconfig files."""
        return digest_lines(self._describe(path) for path in self._other_paths if _is_kconfig(path))

    @cached_property
    def names_digest(self) -> str:
        """The digest of the names of all files that a build can read."""
        return digest_lines(self._read_paths)

    @cached_property
    def tools_digest(self) -> str:
        """The digest of scripts/, tools/ and arch/*/tools/.

        What works on an object besides its compiler is on no list of what went into it.
        """
        return digest_lines(self._describe(path) for path in sorted(self.manifest.entries) if _is_tool(path))

    @cached_property
    def paths_by_name(self) -> Mapping[str, tuple[str, ...]]:
        """A header's own name (``vfio.h``) → all paths that end in it, in order."""
        paths = defaultdict[str, list[str]](list)
        for path in sorted(self.manifest.entries):
            paths[path.rpartition("/")[2]].append(path)
        return {name: tuple(found) for name, found in paths.items()}

    def find_content(self, path: str) -> str:
        """The digest of the content of a file, by its path in the tree as a compiler names it.

        Links and ``..`` are followed. ABSENT where it has none.
        """
        if path not in self._contents:
            entry = self.manifest.entries.get(self.find_plain_path(path))
            self._contents[path] = ABSENT if entry is None or entry.kind == "link" else entry.sha256
        return self._contents[path]

    def digest_contents(self, paths: Iterable[str]) -> str:
        """One digest of the contents of these files, in this order."""
        return digest_lines(f"{self.find_content(path)} {path}" for path in paths)

    def find_plain_path(self, path: str) -> str:
        """The same file's path without links and ``..``; nothing where it leads out of the tree."""
        # Reading links on the disk is slow, and there is hardly a path with one.
        plain = os.path.normpath(path)
        steps = [accumulate(name.split("/"), "{}/{}".format) for name in {path, plain}]
        if self._links.isdisjoint(chain(*steps)):
            return plain
        return resolve_inside(str(self.root), path) or ""

    @cached_property
    def _links(self) -> frozenset[str]:
        return frozenset(path for path, entry in self.manifest.entries.items() if entry.kind == "link")

    @cached_property
    def _read_paths(self) -> tuple[str, ...]:
        entries = self.manifest.entries
        return tuple(sorted(path for path in entries if classify_impact(path) is not Impact.NOTHING))

    @cached_property
    def _other_paths(self) -> tuple[str, ...]:
        return tuple(path for path in self._read_paths if not is_plain_source(path))

    def _describe_effects(self, path: str) -> str:
        """The content of a file, of Kconfig what of it can reach a build beside .config."""
        if not _is_kconfig(path):
            return self._describe(path)
        try:
            text = ForeignDirectory(self.root).read_text(path)
        except ForeignFileError:
            text = None
        if text is None:
            return self._describe(path)
        return f"{digest_lines(list_build_effects(text))} {path}"

    def _describe(self, path: str) -> str:
        entry = self.manifest.entries[path]
        return f"{entry.kind} {entry.sha256} {path}"


def is_plain_source(path: str) -> bool:
    """A source that acts through the objects made of it alone; a linker script acts on all objects."""
    return classify_impact(path) is Impact.OBJECTS and not path.endswith(".lds.S")


def _is_kconfig(path: str) -> bool:
    return classify_impact(path) is Impact.CONFIGURATION


def _is_tool(path: str) -> bool:
    parts = path.split("/")
    return parts[0] in ("scripts", "tools") or (len(parts) > 3 and parts[0] == "arch" and parts[2] == "tools")


def digest_lines(lines: Iterable[str]) -> str:
    """One digest of these lines, in this order."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(os.fsencode(line) + b"\0")
    return whole.hexdigest()
