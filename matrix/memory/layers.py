"""The memories that a tree reads and writes: what a patch produced serves that patch only.

A tree without patches has the base's layer. Each further patch has a layer of its own above those of the
patches before it: it reads all of them, and writes its own.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matrix.memory.store import Entry, EntryKind, MemoryStore
from matrix.source.kernel_tree import AppliedPatch

BASE_LAYER = "base"
_PATCHED_PREFIX = "patched-"


def name_layers(patches: Sequence[AppliedPatch]) -> tuple[str, ...]:
    """The layers of a tree with these patches, its own one first."""
    names = [BASE_LAYER]
    for count in range(1, len(patches) + 1):
        text = "".join(patch.sha256 for patch in patches[:count])
        names.insert(0, f"{_PATCHED_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    return tuple(names)


def list_layers(folder: Path) -> list[Path]:
    """The layers that are there, by name: the base's first."""
    paths = sorted(path for path in folder.glob("*/"))
    return [path for path in paths if path.name == BASE_LAYER or path.name.startswith(_PATCHED_PREFIX)]


@dataclass
class Memory:
    """The layers of one tree, for one run. ``fresh``: only what this very run wrote counts.

    ``folder`` holds all layers. Where nothing is to be remembered, there is none.
    """

    folder: Path | None
    patches: Sequence[AppliedPatch]
    run: str
    fresh: bool = False

    @cached_property
    def _stores(self) -> tuple[MemoryStore, ...]:
        """The own layer first, then those below it that exist."""
        if self.folder is None:
            return ()
        own, *below = (self.folder / name for name in name_layers(self.patches))
        return (MemoryStore(own), *(MemoryStore(path) for path in below if path.is_dir()))

    def find_entries(self, kind: EntryKind, scope: str, name: str | None = None) -> list[Entry]:
        """The entries of a scope, or of one name in it: the own layer's first, and the last used."""
        return [
            entry
            for store in self._stores
            for entry in store.find_entries(kind, scope, name)
            if self._counts(entry)
        ]

    def find_entry(self, kind: EntryKind, scope: str, name: str, key: str) -> Entry | None:
        """One entry by all that it is kept under, or None."""
        found = (store.find_entry(kind, scope, name, key) for store in self._stores)
        return next((entry for entry in found if entry is not None and self._counts(entry)), None)

    def list_names(self, kind: EntryKind, scope: str) -> set[str]:
        """The names of a scope that have entries in any layer."""
        return {name for store in self._stores for name in store.list_names(kind, scope)}

    def put_entries(self, entries: Iterable[Entry]) -> None:
        """Keep these in the own layer."""
        for store in self._stores[:1]:
            store.put_entries(entries)

    def put_content(self, content: bytes) -> str:
        """Keep a content in the own layer, also where one below has it and may lose it; its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        for store in self._stores[:1]:
            store.put_content(content)
        return digest

    def get_content(self, digest: str) -> bytes | None:
        """A content out of the first layer that has it whole, or None."""
        contents = (store.get_content(digest) for store in self._stores)
        return next((content for content in contents if content is not None), None)

    def record_use(self, entries: Iterable[Entry]) -> None:
        """Note that these were used now, in whichever layer they are."""
        used = list(entries)
        for store in self._stores:
            store.record_use(used)

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def _counts(self, entry: Entry) -> bool:
        return not self.fresh or entry.run == self.run
