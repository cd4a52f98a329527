"""The objects of a cell that was just built against those on record: the content, but for debug information.

Equal bytes need no further look. Those that differ are stripped by the cell's own objcopy, in a container, as
debug information and build ids may differ where nothing that runs does.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matrix.builder.lane_dir import change_owner
from matrix.builder.run_context import BuiltCell
from matrix.catalog.types import find_objcopy
from matrix.engine.protocol import Mount
from matrix.engine.step import Step
from matrix.errors import MachineError
from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.fs import translate_disk_full
from matrix.memory.layers import Memory
from matrix.memory.objects import ObjectMemory, compute_object_scope
from matrix.memory.results import ResultMemory
from matrix.memory.tree_contents import TreeContents

_MOUNT = "/objects"
_KNOWN, _BUILT = "known", "built"
# What cannot be stripped stays as it is: then its bytes are what differs.
_STRIP_SCRIPT = """\
tool=$1
command -v "$tool" > /dev/null || { echo "there is no $tool"; exit 1; }
for file in known/* built/*; do
    "$tool" --strip-debug --remove-section=.note.gnu.build-id "$file" "$file.stripped" ||
        rm -f "$file.stripped"
done
"""


class ObjectPair(NamedTuple):
    """The contents of an object on record and of the same one built."""

    path: str
    known: bytes
    built: bytes


@dataclass(frozen=True)
class ComparedObjects:
    """How many objects were compared, and which differ: object → SHA-256 on record, and as built, both
    stripped."""

    count: int
    differing: Mapping[str, tuple[str, str]]


def compare_objects(built: BuiltCell, memory: Memory, tree: TreeContents) -> ComparedObjects:
    """Compare each object on record of a cell that was just built with what lies in its directory.

    On record are the objects that the cell's result in the memory was made of, and where there are none, as
    of a cell that failed, those with the keys of what was built. MachineError where they could not be
    stripped.
    """
    count, unequal = 0, []
    for pair in _read_pairs(built, memory, tree):
        count += 1
        if pair.known != pair.built:
            unequal.append(pair)
    stripped = _strip_objects(built, unequal) if unequal else []
    digests = {pair.path: (_digest(pair.known), _digest(pair.built)) for pair in stripped}
    return ComparedObjects(count, {path: pair for path, pair in digests.items() if pair[0] != pair[1]})


def _read_pairs(built: BuiltCell, memory: Memory, tree: TreeContents) -> Iterator[ObjectPair]:
    found = ResultMemory(memory, tree).find(built.inputs)
    parts = found.kept.parts if found else None
    runner, files = built.runner, built.lane.files
    objects = ObjectMemory(memory, compute_object_scope(runner.image, runner.make_line, tree.tools_digest))
    for path, key in sorted({**built.find_keys(), **(parts.keys if parts else {})}.items()):
        known = objects.find_known(path, key)
        remembered = objects.load_files(known) if known else None
        # What was there and is not is told by the list of objects.
        content = files.read_bytes(path) if remembered else None
        if remembered is not None and content is not None:
            yield ObjectPair(path, remembered[0], content)


def _strip_objects(built: BuiltCell, pairs: list[ObjectPair]) -> list[ObjectPair]:
    place = built.lane.root / "objects"
    with translate_disk_full(place):
        _write_pairs(place, pairs, built.lane.owner_ids)
    _run_objcopy(built, place)
    files = ForeignDirectory(place)
    return [
        ObjectPair(
            pair.path,
            _read_stripped(files, f"{_KNOWN}/{number}") or pair.known,
            _read_stripped(files, f"{_BUILT}/{number}") or pair.built,
        )
        for number, pair in enumerate(pairs)
    ]


def _write_pairs(place: Path, pairs: list[ObjectPair], owner: tuple[int, int]) -> None:
    # By number: the paths of objects are a tree's own.
    for folder in (place, place / _KNOWN, place / _BUILT):
        folder.mkdir()
        change_owner(folder, owner)
    for number, pair in enumerate(pairs):
        (place / _KNOWN / str(number)).write_bytes(pair.known)
        (place / _BUILT / str(number)).write_bytes(pair.built)


def _run_objcopy(built: BuiltCell, place: Path) -> None:
    lines: list[str] = []
    step = Step(
        image=built.runner.image,
        command=("sh", "-c", _STRIP_SCRIPT, "kmatrix", find_objcopy(built.runner.make_variables)),
        mounts=(Mount(place, _MOUNT, read_only=False),),
        env={"LC_ALL": "C", "HOME": "/tmp"},  # noqa: S108 - the container's own
        workdir=_MOUNT,
    )
    ended = built.runner.steps.run(step, lines.append)
    if ended.exit or ended.cancelled or ended.timed_out or ended.oom:
        raise MachineError(f"objects could not be stripped: {lines[-1] if lines else f'exit {ended.exit}'}")


def _read_stripped(files: ForeignDirectory, name: str) -> bytes | None:
    try:
        return files.read_bytes(f"{name}.stripped")
    except ForeignFileError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
