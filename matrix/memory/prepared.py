"""What make prepares for a configuration before it compiles, as it did so before.

That is what conf writes for a .config, which follows from it, from the tree's Kconfig files and from the
tools; and the headers that are generated, which follow from sources as well.
"""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from matrix.memory.layers import Memory
from matrix.memory.store import Entry
from matrix.memory.tree_contents import ABSENT, TreeContents, digest_lines

PREPARED_RECIPE = 1
"""Raised when what was kept before must not be taken any more."""


class _PreparedValue(BaseModel):
    """The JSON of an entry: path → digest. ``sources``: the digest of the list of those that the headers
    follow from, none where that is not known. The contents of ``headers`` are kept of some only."""

    conf: dict[str, str]
    headers: dict[str, str] = {}
    sources: str | None = None


@dataclass(frozen=True)
class KnownFiles:
    """Path → digest of conf's files, and of all prepared headers; None where they may be others now."""

    conf: Mapping[str, str]
    headers: Mapping[str, str] | None


@dataclass
class PreparedMemory:
    """What was prepared by one image and make line, for configurations of trees that differ in contents of
    sources alone. ``scope`` is what `compute_prepared_scope` gives."""

    memory: Memory
    tree: TreeContents
    scope: str
    _keys: dict[str, str] = field(default_factory=dict, repr=False)

    def find(self, config_sha256: str) -> KnownFiles | None:
        """What is known of a configuration; None where nothing is."""
        found = None
        for entry in self.memory.find_entries("prepared", self.scope, config_sha256):
            value = _read_value(entry)
            if value is not None and value.sources and self._find_key(value.sources) == entry.key:
                self.memory.record_use([entry])
                return KnownFiles(value.conf, value.headers)
            if value is not None and found is None:
                found = KnownFiles(value.conf, None)
        return found

    def load(self, files: Mapping[str, str]) -> dict[str, bytes] | None:
        """Path → content; None where one is gone, or was never kept."""
        contents = {path: self.memory.get_content(digest) for path, digest in files.items()}
        known = {path: content for path, content in contents.items() if content is not None}
        return known if len(known) == len(contents) else None

    def keep(
        self,
        config_sha256: str,
        conf: Mapping[str, bytes],
        headers: Mapping[str, str],
        checked: Mapping[str, bytes],
        sources: Set[str] | None,
    ) -> None:
        """Remember what was prepared. ``headers`` are the digests of all headers, ``checked`` those of which
        the contents are kept, and ``sources`` what they follow from; where that is None, they are not
        remembered."""
        value = _PreparedValue(conf=self._put_contents(conf))
        key, kept = ABSENT, list[str]()
        if sources is not None:
            listed = sorted(sources)
            value.headers, value.sources = dict(headers), self._put_list(listed)
            key, kept = (
                self.tree.digest_contents(listed),
                [*self._put_contents(checked).values(), value.sources],
            )
        contents = (*value.conf.values(), *kept)
        text = value.model_dump_json()
        entry = Entry("prepared", self.scope, config_sha256, key, text, self.memory.run, contents)
        self.memory.put_entries([entry])

    def _put_contents(self, files: Mapping[str, bytes]) -> dict[str, str]:
        return {path: self.memory.put_content(content) for path, content in files.items()}

    def _put_list(self, sources: list[str]) -> str:
        return self.memory.put_content(json.dumps(sources).encode())

    def _find_key(self, sources: str) -> str | None:
        """The digest of the present contents of a list of sources; None where the list is gone."""
        if sources not in self._keys:
            content = self.memory.get_content(sources)
            if content is None:
                return None
            self._keys[sources] = self.tree.digest_contents(json.loads(content))
        return self._keys[sources]


def compute_prepared_scope(image: str, make_line: str, tree: TreeContents) -> str:
    """The digest of what all that is prepared in a lane depends on, but for sources and the .config."""
    trees = (tree.kconfig_digest, tree.rest_digest, tree.names_digest, tree.tools_digest)
    return digest_lines((str(PREPARED_RECIPE), image, make_line, *trees))


def digest_file(content: bytes) -> str:
    """The digest under which a content is known."""
    return hashlib.sha256(content).hexdigest()


def _read_value(entry: Entry) -> _PreparedValue | None:
    try:
        return _PreparedValue.model_validate_json(entry.value)
    except ValidationError:
        return None  # of another version
