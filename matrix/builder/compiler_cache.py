"""ccache below the compilers of a run: where it keeps what, and the settings that keep it from giving another
build's object.

A folder for each image, as a compiler is known by its image; in it one for each layer of patched trees. A
tree reads the layers below its own and writes only into that: what a patch produced serves that patch only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.builder.lane_dir import change_owner, parse_owner
from matrix.engine.protocol import TEMPORARY_DIRECTORIES, Mount
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import walk_tree
from matrix.fs import create_private_directory, translate_disk_full
from matrix.memory.eviction import AgedSize
from matrix.memory.layers import name_layers
from matrix.source.kernel_tree import AppliedPatch

CCACHE_MOUNT = "/ccache"
MAX_COMPILER_CACHE = 5 * 2**30
"""Bytes of one layer. An entry of an x86 kernel takes some 30 KiB, so this is some fifty whole kernels."""


@dataclass(frozen=True)
class CompilerCache:
    """What a container needs to call its compilers through ccache."""

    mounts: tuple[Mount, ...]
    env: Mapping[str, str]


def open_compiler_cache(
    folder: Path,
    image: str,
    patches: Sequence[AppliedPatch],
    owner: str,
    limit: int = MAX_COMPILER_CACHE,
    *,
    fresh: bool = False,
) -> CompilerCache:
    """What ccache kept of an image (an id), ready for a container of this user (``uid:gid``) to write to.

    ``folder`` holds all images. The own layer is cut down to ``limit`` bytes before. With ``fresh`` ccache
    keeps what is compiled and gives nothing. MachineError when the disk is full.
    """
    own, *below = (folder / _name_image_folder(image) / layer for layer in name_layers(patches))
    with translate_disk_full(own):
        create_private_directory(own)
    change_owner(own, parse_owner(owner))
    trim_files(own, limit)
    mounts = [Mount(own, CCACHE_MOUNT, read_only=False)]
    storages = [f"file:{CCACHE_MOUNT}|update-mtime=true"]
    for number, layer in enumerate(filter(Path.is_dir, below), start=1):
        mounts.append(Mount(layer, f"{CCACHE_MOUNT}-{number}"))
        storages.append(f"file:{CCACHE_MOUNT}-{number}|read-only=true")
    env = _build_environment(image, storages)
    return CompilerCache(tuple(mounts), {**env, "CCACHE_RECACHE": "1"} if fresh else env)


def _name_image_folder(image: str) -> str:
    return image.removeprefix("sha256:")[:12]


def _build_environment(image: str, storages: Sequence[str]) -> dict[str, str]:
    """The settings of ccache.

    Neither direct nor depend mode, nor any sloppiness: what the preprocessor puts out is looked at each time.
    Without it ccache sees no ``.incbin``, and no new header that is found in place of one that it knows.
    """
    return {
        "CCACHE_NODISABLE": "1",
        "CCACHE_NODIRECT": "1",
        # Of a toolchain's image everything counts, its headers and its assembler as well.
        "CCACHE_COMPILERCHECK": f"string:{image}",
        # Only the "remote" storage, which has layers. Its files are whole or not there, and hold no settings.
        "CCACHE_REMOTE_ONLY": "1",
        "CCACHE_REMOTE_STORAGE": " ".join(storages),
        "CCACHE_DIR": f"{TEMPORARY_DIRECTORIES[0]}/ccache",
        "CCACHE_CONFIGPATH": "/etc/ccache.conf",
        "CCACHE_NOSTATS": "1",
        # It knows a file by its inode and times, which a container's other mounts may have as well.
        "CCACHE_NOINODECACHE": "1",
    }


def trim_files(folder: Path, limit: int) -> None:
    """Remove the files of a foreign folder that were not used for longest, until the rest fits into so many
    bytes. One that cannot be removed stays."""
    size = 0
    for used, path in sorted(_list_files(folder), reverse=True):
        size += used.size
        if size > limit:
            ForeignDirectory(folder).remove_file(path)


def list_compiled_files(folder: Path, cutoff: float) -> list[AgedSize]:
    """What ccache kept of all images and was last used before ``cutoff``."""
    files = _list_files(folder) if folder.is_dir() else ()
    return [used for used, _ in files if used.used < cutoff]


def remove_compiled_files(folder: Path, before: float) -> None:
    """Remove what was last used before a time: to a build that would have taken it, it is a miss."""
    files = [*_list_files(folder)] if folder.is_dir() else []
    for used, path in files:
        if used.used < before:
            ForeignDirectory(folder).remove_file(path)


def _list_files(folder: Path) -> Iterator[tuple[AgedSize, str]]:
    for entry in walk_tree(folder, force=True):
        if entry.status is not None and not entry.is_folder:
            yield AgedSize(entry.status.st_mtime, entry.status.st_blocks * 512), entry.path
