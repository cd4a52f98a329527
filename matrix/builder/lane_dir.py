"""A lane's directory: kept from cell to cell and from run to run, and dropped when it cannot be trusted.

``build/`` is what the container sees. Beside it ``lane.json`` remembers which tree the objects were
built from and which warnings belong to which object, since kbuild prints those only when it compiles;
``busy`` stands while a container works in it. A container that was killed leaves objects half-written under a
valid time stamp, so a lane that is found busy is dropped.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.fs import translate_disk_full, try_lock_path, write_atomically
from matrix.kernel_files import Impact, classify_impact
from matrix.plan import escape_path_part
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import compare_manifests, touch_files


class ObjectWarnings(BaseModel):
    """What the compiler said when it made an object that was then not made again.

    ``listed``: the object belonged to the configuration's own lists, so it goes when they no longer name it.
    Others (host tools, prepared headers, the link) are made for every configuration.
    """

    listed: bool
    diagnostics: tuple[Diagnostic, ...]


class _LaneState(BaseModel):
    """``changed``: every file that ever differed between the trees this lane has seen. An object that no
    cell needed since may still be of any of them, so each further tree must show all these files as new.
    ``listed``: the objects of every configuration that was built here."""

    tree: str
    copy_: str
    changed: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    warnings: dict[str, ObjectWarnings] = {}


@dataclass
class LaneDirectory:
    """One lane's place on disk, locked for this process.

    ``listed``: what kbuild's lists named in any configuration that was built here. What they never named is
    made for every configuration (host tools, prepared headers, the vdso).
    """

    root: Path
    owner: str
    tree: SourceTree
    changed_files: tuple[str, ...] = ()
    listed_objects: set[str] = field(default_factory=set)
    warnings: dict[str, ObjectWarnings] = field(default_factory=dict)

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def is_broken(self) -> bool:
        """A container began to work here and did not end as it should."""
        return (self.root / "busy").exists()

    def mark_busy(self) -> int:
        """A container is about to work here. Returns the moment, in this file system's own nanoseconds."""
        mark = self.root / "busy"
        mark.unlink(missing_ok=True)
        with translate_disk_full(mark):
            mark.touch()
        return mark.stat().st_mtime_ns

    def mark_idle(self) -> None:
        """It ended by itself: every object is whole."""
        (self.root / "busy").unlink(missing_ok=True)

    def save_state(self) -> None:
        """Write down what the objects were built from and what was said of them."""
        memory = _LaneState(
            tree=self.tree.digest,
            copy_=_identify_copy(self.tree),
            changed=self.changed_files,
            listed=tuple(sorted(self.listed_objects)),
            warnings=self.warnings,
        )
        write_atomically(self.root / "lane.json", memory.model_dump_json())

    def reset_build(self) -> None:
        """An empty build directory that the container's user owns."""
        shutil.rmtree(self.build, ignore_errors=True)
        with translate_disk_full(self.build):
            self.build.mkdir(parents=True)
        _change_owner(self.build, self.owner)
        self.mark_idle()
        self.changed_files, self.listed_objects, self.warnings = (), set(), {}
        self.save_state()

    def put_config(self, text: str) -> None:
        """Make this the configuration. An unchanged one keeps its time stamp, so that kbuild need not look
        at it again; another is the container user's to edit."""
        path = self.build / ".config"
        if not path.exists() or path.read_text("utf-8", "replace") != text:
            write_atomically(path, text)
            _change_owner(path, self.owner)

    def remove_objects(self, objects: Iterable[str]) -> None:
        """Remove these objects, so that make makes them again.

        Their names come out of a stranger's log, and what is on the way to them out of a stranger's makefile:
        a path that leads out of the directory is left alone.
        """
        inside = self.build.resolve()
        for name in objects:
            path = self.build / name
            if path.parent.resolve().is_relative_to(inside):
                path.unlink(missing_ok=True)

    def remove_warned_objects(self) -> None:
        """Remove what warned when it was made: made again, it warns again, to whoever looks now."""
        self.remove_objects(self.warnings)
        self.warnings = {}
        self.save_state()


def _change_owner(path: Path, owner: str) -> None:
    user, group = (int(part) for part in owner.split(":"))
    if os.geteuid() == 0:
        os.chown(path, user, group)


def _identify_copy(tree: SourceTree) -> str:
    """Which copy of the tree this is: one that was fetched again has its old time stamps again."""
    state = tree.path.stat()
    return f"{state.st_dev}:{state.st_ino}:{state.st_ctime_ns}"


def format_lane_key(fields: Mapping[str, str]) -> str:
    """A directory name: readable, and different for whatever must not share objects."""
    mark = hashlib.sha256(json.dumps(sorted(fields.items())).encode()).hexdigest()[:12]
    return f"{escape_path_part(fields['arch'])}-{escape_path_part(fields['toolchain'])[:40]}-{mark}"


@contextmanager
def open_lane(key: str, tree: SourceTree, cache: SourceCache, owner: str) -> Iterator[LaneDirectory]:
    """The lane's directory, ready to build ``tree``. A second process finds it locked and takes a twin.

    What a patch built serves that patch only: a patched tree has a lane of its own, which starts as a copy
    of the base's.
    """
    lanes = cache.layout.lanes
    with _acquire_lane(lanes, _name_lane(key, tree)) as root:
        if tree.patches and not (root / "lane.json").exists():
            _copy_first_idle(root, lanes / key)
        yield _prepare_lane(root, tree, cache, owner)


@contextmanager
def open_lane_copy(key: str, tree: SourceTree, cache: SourceCache, owner: str) -> Iterator[LaneDirectory]:
    """A directory that is nobody else's and gone at the end, ready to build ``tree``.

    It starts as a copy of the lane that builds this tree, or of its base's; empty where none is idle. One
    that a killed process left is an idle lane to a sweep.
    """
    lanes = cache.layout.lanes
    with translate_disk_full(lanes):
        lanes.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix=f"{key}-copy-", dir=lanes))
    try:
        _copy_first_idle(root, lanes / _name_lane(key, tree), lanes / key)
        yield _prepare_lane(root, tree, cache, owner)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def is_lane_held(root: Path) -> bool:
    """Whether a process works in this lane. One that was never locked is free."""
    try:
        with try_lock_path(_lock_file(root), create=False) as free:
            return not free
    except FileNotFoundError:
        return False


def _lock_file(root: Path) -> Path:
    return root / "lock"


def _name_lane(key: str, tree: SourceTree) -> str:
    return f"{key}-{_hash_patches(tree)}" if tree.patches else key


def _hash_patches(tree: SourceTree) -> str:
    return hashlib.sha256("".join(patch.sha256 for patch in tree.patches).encode()).hexdigest()[:12]


def _prepare_lane(root: Path, tree: SourceTree, cache: SourceCache, owner: str) -> LaneDirectory:
    lane = _adapt_lane(root, tree, cache, owner)
    if lane is None:
        lane = LaneDirectory(root, owner, tree)
        lane.reset_build()
    return lane


def _copy_first_idle(root: Path, *lanes: Path) -> None:
    """Copy the first of these lanes that is whole and that nobody works in, with its time stamps."""
    for lane in lanes:
        if (lane / "lane.json").exists() and _copy_if_idle(lane, root):
            return


def _copy_if_idle(lane: Path, root: Path) -> bool:
    with try_lock_path(_lock_file(lane), shared=True) as free:
        if not free or (lane / "busy").exists():
            return False
        copied = subprocess.run(["cp", "-a", "--", lane / "build", lane / "lane.json", root], check=False)
    if copied.returncode:
        # Half of it would mix with the next one's.
        shutil.rmtree(root / "build", ignore_errors=True)
        (root / "lane.json").unlink(missing_ok=True)
    return copied.returncode == 0


@contextmanager
def _acquire_lane(lanes: Path, key: str) -> Iterator[Path]:
    for number in range(1, 1000):
        root = lanes / (key if number == 1 else f"{key}.{number}")
        with translate_disk_full(root):
            root.mkdir(parents=True, exist_ok=True)
        with try_lock_path(_lock_file(root)) as free:
            if free:
                yield root
                return
    raise AssertionError(f"a thousand processes share the lane {key}")


def _adapt_lane(root: Path, tree: SourceTree, cache: SourceCache, owner: str) -> LaneDirectory | None:
    """The lane as it was left, made fit for this tree; None when only a new one will do.

    make compares time stamps: a header that differs but is older than the objects rebuilds nothing, and the
    build passes falsely. So what differs gets a fresh time in our own copy of the tree; and where files
    appeared or vanished (one can shadow another), or something changed that make does not follow, the
    lane is dropped.
    """
    try:
        memory = _LaneState.model_validate_json((root / "lane.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if (root / "busy").exists() or not (root / "build").is_dir():
        return None
    changed = memory.changed
    if (memory.tree, memory.copy_) != (tree.digest, _identify_copy(tree)):
        gap = _find_changed_files(memory.tree, tree.digest, cache)
        if gap is None:
            return None
        changed = tuple(sorted({*changed, *gap}))
        touch_files(tree.path, changed)
    lane = LaneDirectory(root, owner, tree, changed, set(memory.listed), dict(memory.warnings))
    lane.save_state()
    return lane


def _find_changed_files(old: str, new: str, cache: SourceCache) -> tuple[str, ...] | None:
    """The files that differ between two trees, or None when make could not follow from one to the other."""
    if old == new:
        return ()
    if cache.find(old) is None:
        return None
    gap = compare_manifests(cache.load_manifest(old), cache.load_manifest(new))
    moved = any(classify_impact(name) is not Impact.NOTHING for name in (*gap.added, *gap.removed))
    if moved or any(classify_impact(name) is Impact.EVERYTHING for name in gap.changed):
        return None
    return gap.changed
