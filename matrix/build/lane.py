"""A lane's directory: kept from cell to cell and from run to run, and dropped when it cannot be trusted.

``build/`` is what the container sees. Beside it ``lane.json`` remembers which tree the objects were
built from and which warnings belong to which object, since kbuild prints those only when it compiles;
``busy`` stands while a container works in it. A container that was killed leaves objects half-written under a
valid time stamp, so a lane that is found busy is dropped.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ValidationError

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.files import write_whole
from matrix.source.cache import Cache
from matrix.source.manifest import difference, freshen
from matrix.source.tree import Tree


def _followed(name: str) -> bool:
    """Whether make itself follows a change of this file to every object that it reaches.

    Sources are in dependency files, and Kconfig acts through .config only. Anything else (a Makefile, a
    script, a host tool, a generator's input) reaches objects in ways that time stamps do not show.
    """
    path = PurePosixPath(name)
    source = path.suffix in {".c", ".h", ".S"} or path.name.startswith("Kconfig")
    return source and not {"scripts", "tools"} & set(path.parts[:-1])


class Kept(BaseModel):
    """What the compiler said when it made an object that was then not made again.

    ``listed``: the object belonged to the configuration's own lists, so it goes when they no longer name it.
    Others (host tools, prepared headers, the link) are made for every configuration.
    """

    stage: str
    listed: bool
    diagnostics: tuple[Diagnostic, ...]


class _Memory(BaseModel):
    tree: str
    warnings: dict[str, Kept] = {}


@dataclass
class LaneDirectory:
    """One lane's place on disk, locked for this process."""

    root: Path
    owner: str
    tree: str
    warnings: dict[str, Kept] = field(default_factory=dict)

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def broken(self) -> bool:
        """A container began to work here and did not end as it should."""
        return (self.root / "busy").exists()

    def begin(self) -> int:
        """A container is about to work here. Returns the moment, in this file system's own nanoseconds."""
        mark = self.root / "busy"
        mark.unlink(missing_ok=True)
        mark.touch()
        return mark.stat().st_mtime_ns

    def end(self) -> None:
        """It ended by itself: every object is whole."""
        (self.root / "busy").unlink(missing_ok=True)

    def remember(self) -> None:
        """Write down what the objects were built from and what was said of them."""
        memory = _Memory(tree=self.tree, warnings=self.warnings)
        write_whole(self.root / "lane.json", memory.model_dump_json())

    def renew(self) -> None:
        """An empty build directory that the container's user owns."""
        shutil.rmtree(self.build, ignore_errors=True)
        self.build.mkdir(parents=True)
        _hand_over(self.build, self.owner)
        self.end()
        self.warnings = {}
        self.remember()


def _hand_over(path: Path, owner: str) -> None:
    user, group = (int(part) for part in owner.split(":"))
    if os.geteuid() == 0:
        os.chown(path, user, group)


def lane_key(fields: Mapping[str, str]) -> str:
    """A directory name: readable, and different for whatever must not share objects."""
    mark = hashlib.sha256(json.dumps(sorted(fields.items())).encode()).hexdigest()[:12]
    return f"{fields['arch']}-{fields['toolchain']}-{mark}"


@contextmanager
def lane_directory(lanes: Path, key: str, tree: Tree, cache: Cache, owner: str) -> Iterator[LaneDirectory]:
    """The lane's directory, ready to build ``tree``. A second process finds it locked and takes a twin."""
    with _locked(lanes, key) as root:
        lane = _recalled(root, owner)
        if lane is None or lane.broken or not _mend(lane, tree, cache):
            lane = LaneDirectory(root, owner, tree.digest)
            lane.renew()
        yield lane


@contextmanager
def _locked(lanes: Path, key: str) -> Iterator[Path]:
    for number in range(1, 1000):
        root = lanes / (key if number == 1 else f"{key}.{number}")
        root.mkdir(parents=True, exist_ok=True)
        with (root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield root
            return
    raise AssertionError(f"a thousand processes share the lane {key}")


def _recalled(root: Path, owner: str) -> LaneDirectory | None:
    try:
        memory = _Memory.model_validate_json((root / "lane.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return (
        LaneDirectory(root, owner, memory.tree, dict(memory.warnings)) if (root / "build").is_dir() else None
    )


def _mend(lane: LaneDirectory, tree: Tree, cache: Cache) -> bool:
    """Make the lane fit for another tree; False when only a new one will do.

    make compares time stamps: a header that differs but is older than the objects rebuilds nothing, and the
    build passes falsely. So what differs gets a fresh time in our own copy of the tree; and where files
    appeared or vanished (one can shadow another), or something changed that make does not follow, the
    lane is dropped.
    """
    if lane.tree == tree.digest:
        return True
    if cache.find(lane.tree) is None:
        return False
    gap = difference(cache.manifest(lane.tree), cache.manifest(tree.digest))
    if gap.appeared or gap.vanished or not all(map(_followed, gap.changed)):
        return False
    freshen(tree.path, gap.changed)
    lane.tree = tree.digest
    lane.remember()
    return True
