"""Where kmatrix keeps kernel trees: one directory for each digest, complete or not there at all.

sources/<digest>/tree/             the files
sources/<digest>/manifest.json.gz  what they are
sources/<digest>/entry.json        version, count, bytes; its mtime is the last use
sources/by-spec/<key>.json         what a spec (or a tarball, a commit, a patched base) turned out to be
sources/memo/<hash>.json.gz        what the files of a user's directory hashed to
sources/tmp-<random>/              an import that is going on, or that died
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from matrix.errors import DiskFullError, MachineError
from matrix.source.manifest import Manifest

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]")
_MAX_KEY_LENGTH = 200
_TEMPORARY_PREFIX = "tmp-"
_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)


def locate_cache_root() -> Path:
    """``$KMATRIX_CACHE``, else ``$XDG_CACHE_HOME/kmatrix``, else ``~/.cache/kmatrix``; absolute."""
    if own := os.environ.get("KMATRIX_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells programs to ignore a relative path.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kmatrix"


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
    """The trees below one root. Safe for several processes at once: the first to finish an import wins."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or locate_cache_root()
        self.sources = self.root / "sources"

    @contextmanager
    def lock_shared(self) -> Iterator[None]:
        """While a job needs what is in the cache. Waits for a sweep to end."""
        with self._open_lock_file() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def try_lock_exclusive(self) -> Iterator[bool]:
        """Whether no job needs the cache now; while it is true, none can begin to."""
        with self._open_lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _open_lock_file(self) -> TextIO:
        with self.translate_disk_errors():
            self.root.mkdir(parents=True, exist_ok=True)
            return (self.root / "in-use").open("w")

    def find(self, digest: str) -> CachedTree | None:
        """The tree of this content, or None; finding it counts as using it."""
        found = self._load_tree(digest)
        if found:
            # Another user's cache may be readable only: the time of its last use is then not ours to set.
            with suppress(OSError):
                os.utime(self.sources / digest / "entry.json")
        return found

    def load_manifest(self, digest: str) -> Manifest:
        """What the tree of this digest consists of; MachineError when the cache lacks it."""
        try:
            return Manifest.load(self.sources / digest / "manifest.json.gz")
        except (OSError, ValueError, EOFError, zlib.error) as problem:
            raise MachineError(
                f"the cached source {digest[:12]} in {self.sources} is gone or damaged",
                "Run again: it is fetched or copied anew.",
            ) from problem

    def list_trees(self) -> list[CachedTree]:
        """All trees, the least recently used first."""
        digests = [path.parent.name for path in self.sources.glob("*/entry.json")]
        return sorted(filter(None, map(self._load_tree, digests)), key=lambda tree: tree.last_used)

    def remove(self, digest: str) -> None:
        """Delete a tree; one that is not there is no error. Renamed first: half of it is never found."""
        doomed = self.sources / f"{_TEMPORARY_PREFIX}{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):
            (self.sources / digest).rename(doomed)
            shutil.rmtree(doomed)

    def remove_stale_entries(self) -> list[str]:
        """Delete what dead imports left and what points to no tree; the names of what went."""
        if not self.sources.is_dir():
            return []
        with self._lock_imports():
            gone = [path.name for path in self.sources.glob(f"{_TEMPORARY_PREFIX}*") if _is_abandoned(path)]
            for name in gone:
                shutil.rmtree(self.sources / name, ignore_errors=True)
        dangling = [path for path in self.sources.glob("by-spec/*.json") if not self._has_cached_tree(path)]
        for path in dangling:
            path.unlink(missing_ok=True)
        return [*gone, *(path.name for path in dangling)]

    def read_spec_entry(self, key: str) -> dict[str, str] | None:
        """What `remember` was told of this key, as long as the tree is there."""
        path = self._spec_entry_path(key)
        return _load_json_object(path) if self._has_cached_tree(path) else None

    def write_spec_entry(self, key: str, digest: str, **facts: str) -> None:
        """Note that a spec turned out to be this tree, with anything else worth knowing of it."""
        with self.translate_disk_errors():
            _write_json_atomically(self._spec_entry_path(key), {"key": key, "digest": digest, **facts})

    def hash_cache_path(self, directory: Path) -> Path:
        """Where the hashes of a user's directory are noted; see `matrix.source.snapshot`."""
        name = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:32]
        return self.sources / "memo" / f"{name}.json.gz"

    @contextmanager
    def create_import_area(self, needs: int = 0) -> Iterator[Path]:
        """A directory of our own beside the trees, gone at the end. ``needs``: bytes, for a full disk.

        It is locked as long as this process lives, so that `sweep` in another takes it for alive.
        """
        with self.translate_disk_errors(needs):
            self.sources.mkdir(parents=True, exist_ok=True)
            self._refuse_small_disk(needs)
            with self._lock_imports():
                area = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=self.sources))
                lock = _lock_directory(area)
            try:
                yield area
            finally:
                shutil.rmtree(area, ignore_errors=True)
                os.close(lock)

    def store_tree(self, area: Path, manifest: Manifest, version: str) -> CachedTree:
        """Make ``area/tree`` the cache's tree of this digest, unless somebody was faster."""
        entry = area / "entry"
        entry.mkdir(mode=0o755)
        (area / "tree").rename(entry / "tree")
        manifest.dump(entry / "manifest.json.gz")
        facts = {
            "version": version,
            "files": len(manifest.entries),
            "size": _count_unshared_bytes(entry / "tree"),
        }
        _write_json_atomically(entry / "entry.json", facts)
        self._publish_entry(entry, manifest.digest)
        found = self.find(manifest.digest)
        if found is None:
            raise MachineError(
                f"{self.sources / manifest.digest} cannot be read", "Remove it, and run again."
            )
        return found

    @contextmanager
    def translate_disk_errors(self, needs: int = 0) -> Iterator[None]:
        """Make a full or forbidden disk an error that says so."""
        try:
            yield
        except OSError as problem:
            if problem.errno in _DISK_FULL_ERRNOS:
                raise self.build_disk_full_error(needs) from problem
            if isinstance(problem, PermissionError) and str(problem.filename).startswith(str(self.root)):
                raise MachineError(
                    f"{problem.filename} may not be written", "Set KMATRIX_CACHE to a directory of yours."
                ) from problem
            raise

    def build_disk_full_error(self, needs: int = 0) -> DiskFullError:
        """The error for a disk without room for ``needs`` bytes (0: unknown)."""
        wanted = f", {_format_size(needs)} needed" if needs else ""
        return DiskFullError(
            f"the disk of {self.root} is full: {_format_size(_measure_free_space(self.root))} free{wanted}",
            "Free some space (`./inv sweep` removes what kmatrix can spare), or set KMATRIX_CACHE elsewhere.",
        )

    @contextmanager
    def _lock_imports(self) -> Iterator[None]:
        """One at a time: between its making and its locking, a new import would look dead to `sweep`."""
        with (self.sources / ".lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def _refuse_small_disk(self, needs: int) -> None:
        if needs > _measure_free_space(self.sources):
            raise self.build_disk_full_error(needs)

    def _publish_entry(self, entry: Path, digest: str) -> None:
        target = self.sources / digest
        # A complete tree is somebody's mount: it stays. An incomplete one can only be in the way.
        if target.exists() and self._load_tree(digest) is None:
            self.remove(digest)
        try:
            entry.rename(target)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def _load_tree(self, digest: str) -> CachedTree | None:
        place = self.sources / digest
        facts = _load_json_object(place / "entry.json")
        if facts is None or not (place / "tree").is_dir() or not (place / "manifest.json.gz").is_file():
            return None
        used = datetime.fromtimestamp((place / "entry.json").stat().st_mtime, UTC)
        size, files = int(facts.get("size", 0)), int(facts.get("files", 0))
        return CachedTree(digest, place / "tree", facts.get("version", ""), files, size, used)

    def _spec_entry_path(self, key: str) -> Path:
        name = _UNSAFE_CHARACTERS.sub(
            lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), key
        )
        if len(name) > _MAX_KEY_LENGTH:
            name = f"{name[:_MAX_KEY_LENGTH]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        return self.sources / "by-spec" / f"{name}.json"

    def _has_cached_tree(self, path: Path) -> bool:
        facts = _load_json_object(path)
        return facts is not None and self._load_tree(facts.get("digest", "-")) is not None


def _load_json_object(path: Path) -> dict[str, str] | None:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _write_json_atomically(path: Path, facts: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        beside.write_text(json.dumps(facts, indent=1))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _lock_directory(area: Path) -> int:
    lock = os.open(area, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _is_abandoned(area: Path) -> bool:
    """Whether nobody holds the lock that an importer keeps on its directory."""
    try:
        descriptor = os.open(area, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _count_unshared_bytes(tree: Path) -> int:
    """Bytes on disk of the files that are in no other tree."""
    infos = (
        os.lstat(os.path.join(place, name))  # noqa: PTH118 - text is much faster here
        for place, _, names in os.walk(tree)
        for name in names
    )
    return sum(info.st_blocks * 512 for info in infos if info.st_nlink == 1)


def _measure_free_space(path: Path) -> int:
    there = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(there).free


def _format_size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
