"""Kernel trees in the cache: one directory for each digest, complete or not there at all.

<digest>/tree/             the files
<digest>/manifest.json.gz  what they are
<digest>/entry.json        version, count, bytes; its mtime is the last use

Beside them, entries map a spec, a tarball, a commit or a patched base to the digest of its tree.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from matrix.cache_layout import CacheLayout
from matrix.errors import DiskFullError, MachineError
from matrix.foreign_trees import remove_tree
from matrix.fs import is_disk_full, lock_path, measure_free_space, record_use, replace_file, try_lock_path
from matrix.source.manifest import Manifest

# Of a number of files or bytes.
_MAX_DIGITS = 20
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]")
_MAX_KEY_LENGTH = 200
_KEPT_MANIFESTS = 3
"""Each lane of a patched tree asks for its manifest and for its base's. One of Linux takes 42 MB."""
_MANIFEST_LOCK = threading.Lock()
"""Lanes that begin side by side ask for the same manifest at once. Without it, each would read it."""


@dataclass(frozen=True)
class CachedTree:
    """One tree in the cache. ``size`` in bytes, without what it shares with others by hard links."""

    digest: str
    path: Path
    version: str
    file_count: int
    size: int
    last_used: datetime


class SourceCache:
    """The trees of one cache. Safe for several processes at once: the first to finish an import wins."""

    def __init__(self, layout: CacheLayout | None = None) -> None:
        self.layout = layout or CacheLayout()

    @contextmanager
    def lock_shared(self) -> Iterator[None]:
        """While a job needs what is in the cache. Waits for a sweep to end."""
        with ExitStack() as stack:
            with self.translate_disk_errors(), self.translate_root_errors():
                self.layout.create_root()
                stack.enter_context(lock_path(self.layout.in_use_lock, shared=True))
            yield

    @contextmanager
    def try_lock_exclusive(self) -> Iterator[bool]:
        """Whether no job needs the cache now; while it is true, none can begin to."""
        with ExitStack() as stack:
            with self.translate_disk_errors(), self.translate_root_errors():
                self.layout.create_root()
                alone = stack.enter_context(try_lock_path(self.layout.in_use_lock))
            yield alone

    def find(self, digest: str) -> CachedTree | None:
        """The tree of this content, or None; finding it counts as using it."""
        tree = self._load_tree(digest)
        if tree:
            record_use(self.layout.sources / digest / "entry.json")
        return tree

    def load_manifest(self, digest: str) -> Manifest:
        """What the tree of this digest consists of; MachineError when the cache lacks it."""
        path = self.layout.sources / digest / "manifest.json.gz"
        try:
            status = path.stat()
            with _MANIFEST_LOCK:
                return _load_manifest(path, (status.st_ino, status.st_mtime_ns))
        except (OSError, ValueError) as problem:
            raise MachineError(
                f"the cached source {digest[:12]} in {self.layout.sources} is gone or damaged",
                "Run again: it is fetched or copied anew.",
            ) from problem

    def list_trees(self) -> list[CachedTree]:
        """All trees, the least recently used first."""
        digests = [path.parent.name for path in self.layout.sources.glob("*/entry.json")]
        return sorted(filter(None, map(self._load_tree, digests)), key=lambda tree: tree.last_used)

    def remove(self, digest: str) -> None:
        """Delete a tree; a missing one is no error. MachineError when something of it stays.

        Renamed first, so that half of it is never found.
        """
        removed = self.layout.sources / f"{self.layout.import_area_prefix}{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):
            (self.layout.sources / digest).rename(removed)
            remove_tree(removed)

    def remove_stale_entries(self) -> list[str]:
        """Delete the areas of killed imports, and the entries whose tree is gone; return their names."""
        layout = self.layout
        if not layout.sources.is_dir():
            return []
        with lock_path(layout.import_lock):
            areas = layout.sources.glob(f"{layout.import_area_prefix}*")
            abandoned = [area for area in areas if _is_abandoned(area)]
            for area in abandoned:
                remove_tree(area)
        dangling = [path for path in layout.spec_entries.glob("*.json") if not self._has_cached_tree(path)]
        for path in dangling:
            path.unlink(missing_ok=True)
        return [path.name for path in (*abandoned, *dangling)]

    def read_spec_entry(self, key: str) -> dict[str, str] | None:
        """What `write_spec_entry` recorded for this key, as long as the tree is there."""
        path = self._spec_entry_path(key)
        return _load_json_object(path) if self._has_cached_tree(path) else None

    def write_spec_entry(self, key: str, digest: str, **facts: str) -> None:
        """Record the tree that a spec stands for, with other ``facts`` about it, such as its package."""
        with self.translate_disk_errors():
            _write_json_object(self._spec_entry_path(key), {"key": key, "digest": digest, **facts})

    def hash_cache_path(self, directory: Path) -> Path:
        """The file for the hashes of a user's directory; see `matrix.source.snapshot.hash_with_cache`."""
        name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:32]
        return self.layout.hash_caches / f"{name}.json.gz"

    @contextmanager
    def create_import_area(self, needs: int = 0) -> Iterator[Path]:
        """A new directory beside the trees, gone at the end. ``needs``: bytes that must be free.

        It is locked as long as this process lives, so that a sweep in another leaves it alone.
        """
        layout = self.layout
        with self.translate_disk_errors(needs), ExitStack() as lock:
            layout.sources.mkdir(parents=True, exist_ok=True)
            self._refuse_small_disk(needs)
            # Between its making and its locking a new area would look abandoned to a sweep.
            with lock_path(layout.import_lock):
                area = Path(tempfile.mkdtemp(prefix=layout.import_area_prefix, dir=layout.sources))
                lock.enter_context(lock_path(area))
            try:
                yield area
            finally:
                remove_tree(area)

    def store_tree(
        self, area: Path, manifest: Manifest, version: str, own: Iterable[str] | None = None
    ) -> CachedTree:
        """Make ``area/tree`` the cache's tree of this digest, unless another process was faster.

        ``own``: the files that no other tree shares by hard links, all where it is not given.
        """
        entry = area / "entry"
        entry.mkdir(mode=0o755)
        (area / "tree").rename(entry / "tree")
        manifest.dump(entry / "manifest.json.gz")
        facts = {
            "version": version,
            "files": len(manifest.entries),
            "size": _count_disk_bytes(entry / "tree", manifest.entries if own is None else own),
        }
        _write_json_object(entry / "entry.json", facts)
        self._publish_entry(entry, manifest.digest)
        tree = self.find(manifest.digest)
        if tree is None:
            raise MachineError(
                f"{self.layout.sources / manifest.digest} cannot be read", "Remove it, and run again."
            )
        return tree

    @contextmanager
    def translate_disk_errors(self, needs: int = 0) -> Iterator[None]:
        """Turn the errors of a full or forbidden disk into a DiskFullError or MachineError."""
        try:
            yield
        except OSError as problem:
            if is_disk_full(problem):
                raise self.build_disk_full_error(needs) from problem
            root = str(self.layout.root)
            if isinstance(problem, PermissionError) and str(problem.filename).startswith(root):
                raise MachineError(
                    f"{problem.filename} may not be written", "Set KMATRIX_CACHE to a directory of yours."
                ) from problem
            raise

    @contextmanager
    def translate_root_errors(self) -> Iterator[None]:
        """Raise MachineError where the cache's own directory cannot be made, or nothing in it."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise
            # mkdir says of a file that it exists.
            reason = "Not a directory" if isinstance(error, FileExistsError) else error.strerror
            raise MachineError(
                f"the cache {self.layout.root} cannot be used: {reason}",
                "set KMATRIX_CACHE to a directory that you may write",
            ) from error

    def build_disk_full_error(self, needs: int = 0) -> DiskFullError:
        """The error for a disk without room for ``needs`` bytes (0: unknown)."""
        root = self.layout.root
        needed = f", {_format_size(needs)} needed" if needs else ""
        return DiskFullError(
            f"the disk of {root} is full: {_format_size(measure_free_space(root))} free{needed}",
            "Free some space (`./inv sweep` removes what kmatrix can spare), or set KMATRIX_CACHE elsewhere.",
        )

    def _refuse_small_disk(self, needs: int) -> None:
        if needs > measure_free_space(self.layout.sources):
            raise self.build_disk_full_error(needs)

    def _publish_entry(self, entry: Path, digest: str) -> None:
        target = self.layout.sources / digest
        # A complete tree may be mounted in a container: it stays. An incomplete one is only in the way.
        if target.exists() and self._load_tree(digest) is None:
            self.remove(digest)
        try:
            entry.rename(target)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _load_tree(self, digest: str) -> CachedTree | None:
        directory = self.layout.sources / digest
        facts = _load_json_object(directory / "entry.json")
        if (
            facts is None
            or not (directory / "tree").is_dir()
            or not (directory / "manifest.json.gz").is_file()
        ):
            return None
        used = datetime.fromtimestamp((directory / "entry.json").stat().st_mtime, UTC)
        size, files = _parse_count(facts.get("size", "")), _parse_count(facts.get("files", ""))
        return CachedTree(digest, directory / "tree", facts.get("version", ""), files, size, used)

    def _spec_entry_path(self, key: str) -> Path:
        name = _UNSAFE_CHARACTERS.sub(
            lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), key
        )
        if len(name) > _MAX_KEY_LENGTH:
            name = f"{name[:_MAX_KEY_LENGTH]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return self.layout.spec_entries / f"{name}.json"

    def _has_cached_tree(self, path: Path) -> bool:
        facts = _load_json_object(path)
        return facts is not None and self._load_tree(facts.get("digest", "-")) is not None


@lru_cache(maxsize=_KEPT_MANIFESTS)
def _load_manifest(path: Path, _stamp: tuple[int, int]) -> Manifest:
    """A manifest. The stamp, inode and mtime in nanoseconds, tells its file from another in its place."""
    return Manifest.load(path)


def _parse_count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else 0


def _load_json_object(path: Path) -> dict[str, str] | None:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    # Numbers are kept as JSON has them.
    return {key: str(value) for key, value in facts.items()}


def _write_json_object(path: Path, facts: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(facts, indent=1))


def _is_abandoned(area: Path) -> bool:
    """Whether no process holds the lock that an importer keeps on its directory."""
    try:
        with try_lock_path(area, create=False) as free:
            return free
    except OSError:
        return False


def _count_disk_bytes(tree: Path, paths: Iterable[str]) -> int:
    """Bytes that these files of a tree take on the disk."""
    return sum(os.lstat(f"{tree}/{path}").st_blocks * 512 for path in paths)


def _format_size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
