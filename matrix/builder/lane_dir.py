"""A lane's directory: kept from cell to cell and from run to run, and dropped when it cannot be trusted.

``build/`` is mounted in the container. Beside it, ``lane.json`` records which tree it was made from. ``busy``
exists while a container works in the directory. A container that was killed leaves objects half-written
under a valid time stamp, so a lane that is busy when it is opened is dropped. So is one with files that are
newer than now: make would take them for newer than whatever is edited until then. And so is one that was
last used before the machine started: where that was a power cut, objects may be empty under valid time
stamps, as a build does not bring them to the disk before their names.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from matrix.file_times import find_future_file
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_text import is_unicode
from matrix.foreign_trees import remove_tree
from matrix.fs import lock_path, translate_disk_full, try_lock_path, write_atomically
from matrix.kernel_files import Impact, classify_impact
from matrix.plan import escape_path_part
from matrix.record.states import UNTRIED_STATES, State
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import compare_manifests, touch_files

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _LaneState(BaseModel):
    """The content of ``lane.json``.

    ``schema_`` is another where what is built here is counted otherwise: such a lane is begun anew.
    ``copy_`` identifies the cache's copy of the tree. ``changed``: every file that ever differed between the
    trees this lane has built. An object that no cell needed since may still be of any of them, so each
    further tree must show all these files as new. ``listed``: the objects of every configuration that was
    built here. ``boot``: the start of the machine in which it was last used.
    """

    schema_: Literal[2]
    tree: str
    copy_: str
    changed: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    boot: str = ""


@dataclass
class LaneDirectory:
    """One lane's directory, locked for this process.

    ``owner`` is the container's user (``uid:gid``). ``listed_objects``: what kbuild's lists named in any
    configuration that was built here. What they never named is made for every configuration (host tools,
    prepared headers, the vdso).
    """

    root: Path
    owner: str
    tree: SourceTree
    changed_files: tuple[str, ...] = ()
    listed_objects: set[str] = field(default_factory=set)

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def owner_ids(self) -> tuple[int, int]:
        """The user and group of what is written in the build directory."""
        return parse_owner(self.owner)

    @property
    def files(self) -> ForeignDirectory:
        """What builds left in the build directory."""
        return ForeignDirectory(self.build)

    @property
    def is_broken(self) -> bool:
        """Whether a container was killed here: some object may be half-written."""
        return _is_marked_busy(self.root)

    def mark_busy(self) -> int:
        """Mark that a container is about to work here; the moment, in the file system's own nanoseconds."""
        mark = self.root / "busy"
        # A new file: its time is what the objects' times are compared with, by the same clock.
        remove_tree(mark)
        with translate_disk_full(mark):
            mark.touch()
        return mark.stat().st_mtime_ns

    def mark_idle(self) -> None:
        """Mark that the container ended by itself: every object is whole."""
        remove_tree(self.root / "busy")

    def prepare_configure(self) -> None:
        """Make the directory ready for conf: empty where it cannot be trusted, and marked busy."""
        if self.is_broken:
            self.reset_build()
        self.mark_busy()

    def finish_step(self, state: State) -> None:
        """Mark the directory idle where make came to its own end, whatever that was.

        Not where it left files from the future: the next cell must not rest on them. ForeignFileError where
        it left what no build leaves.
        """
        if state not in UNTRIED_STATES and not find_future_file(self.build):
            self.mark_idle()

    def save_state(self) -> None:
        """Write down what the objects were built from."""
        state = _LaneState(
            schema_=2,
            tree=self.tree.digest,
            copy_=_identify_copy(self.tree),
            changed=self.changed_files,
            listed=tuple(sorted(self.listed_objects)),
            boot=read_boot_id(),
        )
        write_atomically(self.root / "lane.json", state.model_dump_json())

    def reset_build(self) -> None:
        """Make the build directory anew: empty, and owned by the container's user."""
        remove_tree(self.build)
        with translate_disk_full(self.build):
            self.build.mkdir(parents=True)
        change_owner(self.build, self.owner_ids)
        remove_tree(self.root / "lane.json")
        self.mark_idle()
        self.changed_files, self.listed_objects = (), set()
        self.save_state()

    def put_config(self, text: str) -> None:
        """Make this the configuration. The container's user may edit it: syncconfig does."""
        # An unchanged one keeps its time stamp: with a new one kbuild would run syncconfig again.
        if self._read_config() != text:
            path = self.build / ".config"
            remove_tree(path)
            write_atomically(path, text)
            change_owner(path, self.owner_ids)

    def _read_config(self) -> str | None:
        """The .config that is there; None also where it is no file that could be kept."""
        try:
            return self.files.read_text(".config")
        except ForeignFileError:
            return None

    def remove_objects(self, objects: Iterable[str]) -> None:
        """Remove these objects, so that make makes them again."""
        for name in objects:
            self.files.remove_file(name)


def read_boot_id() -> str:
    """What tells this start of the machine from others; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def parse_owner(owner: str) -> tuple[int, int]:
    """The user and group of ``uid:gid``."""
    user, group = map(int, owner.split(":"))
    return user, group


def change_owner(path: Path, owner: tuple[int, int]) -> None:
    """Give a file to a container's user and group."""
    # Only root can; for any other user, the container's user is the caller.
    if os.geteuid() == 0:
        os.chown(path, *owner, follow_symlinks=False)


def _identify_copy(tree: SourceTree) -> str:
    """Which copy of the tree this is."""
    # The digest alone is not enough: a tree that was fetched again has its old time stamps again, and so
    # lost those that `touch_files` had given to it.
    status = tree.path.stat()
    return f"{status.st_dev}:{status.st_ino}:{status.st_ctime_ns}"


def format_lane_key(fields: Mapping[str, str]) -> str:
    """A directory name: readable, and different for whatever must not share objects."""
    digest = hashlib.sha256(json.dumps(sorted(fields.items())).encode()).hexdigest()[:12]
    return f"{escape_path_part(fields['arch'])}-{escape_path_part(fields['toolchain'])[:40]}-{digest}"


@contextmanager
def open_lane(
    key: str,
    tree: SourceTree,
    cache: SourceCache,
    owner: str,
    end_writers: Callable[[Path], object] = lambda _: None,
    *,
    fresh: bool = False,
) -> Iterator[LaneDirectory]:
    """Open the lane's directory, ready to build ``tree``; while another process holds it, a second one.

    A ``fresh`` one is empty, whatever earlier runs left.

    What a patch built serves that patch only: a patched tree has a lane of its own, which starts as a copy
    of the base's. Its process may have been killed and have left a container at work there: ``end_writers``
    is called with the build directory before anything in it is touched.
    """
    lanes = cache.layout.lanes
    with _acquire_lane(lanes, _name_lane(key, tree)) as root:
        end_writers(root / "build")
        if fresh:
            yield _create_empty_lane(root, tree, owner)
            return
        if tree.patches and not (root / "lane.json").exists():
            _copy_first_idle(root, lanes / key)
        yield _prepare_lane(root, tree, cache, owner)


@contextmanager
def open_lane_copy(key: str, tree: SourceTree, cache: SourceCache, owner: str) -> Iterator[LaneDirectory]:
    """Open a directory of the caller's own, ready to build ``tree``, and remove it at the end.

    It starts as a copy of the lane that builds this tree, or of its base's; empty where none is idle. What
    a killed process leaves counts as an idle lane, which a sweep removes.
    """
    lanes = cache.layout.lanes
    with _create_own_root(lanes, key) as root:
        _copy_first_idle(root, lanes / _name_lane(key, tree), lanes / key)
        yield _prepare_lane(root, tree, cache, owner)


@contextmanager
def open_empty_lane(key: str, tree: SourceTree, cache: SourceCache, owner: str) -> Iterator[LaneDirectory]:
    """The same, empty."""
    with _create_own_root(cache.layout.lanes, key) as root:
        yield _create_empty_lane(root, tree, owner)


@contextmanager
def _create_own_root(lanes: Path, key: str) -> Iterator[Path]:
    with translate_disk_full(lanes):
        lanes.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix=f"{key}-copy-", dir=lanes))
    # Held like a lane's: what a killed process leaves is told from what is at work, and goes like any other.
    with lock_path(_lock_file(root)):
        try:
            yield root
        finally:
            remove_tree(root)


def is_lane_held(root: Path) -> bool:
    """Whether a process works in this lane. One that was never locked is free."""
    try:
        with try_lock_lane(root) as free:
            return not free
    except OSError:
        # What cannot be opened cannot be locked either.
        return False


def was_lane_locked(root: Path) -> bool:
    """Whether a process ever worked in this lane under its lock."""
    return os.path.lexists(_lock_file(root))


def try_lock_lane(root: Path) -> AbstractContextManager[bool]:
    """Lock a lane if no process holds it; whether that was so.

    FileNotFoundError where it was never locked.
    """
    return try_lock_path(_lock_file(root), create=False)


def _is_marked_busy(root: Path) -> bool:
    return os.path.lexists(root / "busy")


def _lock_file(root: Path) -> Path:
    return root / "lock"


def _name_lane(key: str, tree: SourceTree) -> str:
    return f"{key}-{_hash_patches(tree)}" if tree.patches else key


def _hash_patches(tree: SourceTree) -> str:
    return hashlib.sha256("".join(patch.sha256 for patch in tree.patches).encode()).hexdigest()[:12]


def _prepare_lane(root: Path, tree: SourceTree, cache: SourceCache, owner: str) -> LaneDirectory:
    return _adapt_lane(root, tree, cache, owner) or _create_empty_lane(root, tree, owner)


def _create_empty_lane(root: Path, tree: SourceTree, owner: str) -> LaneDirectory:
    lane = LaneDirectory(root, owner, tree)
    lane.reset_build()
    return lane


def _copy_first_idle(root: Path, *lanes: Path) -> None:
    """Copy the first of these lanes that is whole and not in use, with its time stamps."""
    for lane in lanes:
        if (lane / "lane.json").exists() and _copy_if_idle(lane, root):
            return


def _copy_if_idle(lane: Path, root: Path) -> bool:
    # Shared: several processes may copy one idle lane at once.
    with try_lock_path(_lock_file(lane), shared=True) as free:
        if not free or _is_marked_busy(lane):
            return False
        # What cp cannot copy is no more than a slower build: its words would only disturb the display.
        copied = subprocess.run(
            ["cp", "-a", "--", lane / "build", lane / "lane.json", root],
            check=False,
            stderr=subprocess.DEVNULL,
        )
    if copied.returncode:
        # Half a copy would mix with the next lane's.
        remove_tree(root / "build")
        remove_tree(root / "lane.json")
    return copied.returncode == 0


@contextmanager
def _acquire_lane(lanes: Path, key: str) -> Iterator[Path]:
    for number in range(1, 1000):
        root = lanes / (key if number == 1 else f"{key}.{number}")
        with translate_disk_full(root):
            root.mkdir(parents=True, exist_ok=True)
        # Not awaited: the other process may hold it for hours, and objects can be made twice.
        with try_lock_path(_lock_file(root)) as free:
            if free:
                yield root
                return
    raise AssertionError(f"a thousand processes share the lane {key}")


def _adapt_lane(root: Path, tree: SourceTree, cache: SourceCache, owner: str) -> LaneDirectory | None:
    """The lane as it was left, adapted to this tree; None when it must be made anew."""
    try:
        state = _LaneState.model_validate_json(ForeignDirectory(root).read_bytes("lane.json") or b"")
        if state.boot != read_boot_id() or _is_marked_busy(root) or find_future_file(root / "build"):
            return None
    except (ForeignFileError, ValidationError):
        return None
    changed = state.changed
    if (state.tree, state.copy_) != (tree.digest, _identify_copy(tree)):
        differing = _find_changed_files(state.tree, tree.digest, cache)
        if differing is None:
            return None
        changed = tuple(sorted({*changed, *differing}))
        # make compares time stamps: a header that differs but is older than the objects would rebuild
        # nothing, and the build would pass falsely. So what differs gets a fresh time in the cache's copy.
        touch_files(tree.path, changed)
    lane = LaneDirectory(root, owner, tree, changed, set(state.listed))
    lane.save_state()
    return lane


def _find_changed_files(old: str, new: str, cache: SourceCache) -> tuple[str, ...] | None:
    """The files that differ between two trees, or None when make could not follow from one to the other."""
    if old == new:
        return ()
    known, current = cache.find(old), cache.find(new)
    if known is None or current is None:
        return None
    diff = compare_manifests(cache.load_manifest(old), cache.load_manifest(new))
    # A new file can shadow another that was included, and where one vanished another may be found instead.
    moved = any(classify_impact(name) is not Impact.NOTHING for name in (*diff.added, *diff.removed))
    # make has no dependency on what reaches everything, such as the scripts that it runs.
    if moved or any(classify_impact(name) is Impact.EVERYTHING for name in diff.changed):
        return None
    if any(_runs_commands(tree.path, name) for tree in (known, current) for name in diff.changed):
        return None
    if not all(map(is_unicode, diff.changed)):
        return None  # the lane's state cannot hold them
    return diff.changed


def _runs_commands(tree: Path, name: str) -> bool:
    """Whether this file of a tree is a Kconfig file with macros: conf runs what they say, in the build
    directory, where it may leave objects that make takes for its own."""
    if classify_impact(name) is not Impact.CONFIGURATION:
        return False
    try:
        return "$(" in (ForeignDirectory(tree).read_text(name) or "")
    except ForeignFileError:
        return True
