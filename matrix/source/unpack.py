"""Tarballs: opened in a container without network, as a user who owns nothing else."""

import shutil
from pathlib import Path

from matrix.engine.engine import Mount
from matrix.errors import RequestError
from matrix.source.bench import Sandbox, SandboxResult
from matrix.source.cache import SourceCache
from matrix.source.kernel import read_kernel_version

# The modes of an archive are its author's: whoever builds must be able to read, and we to remove.
_UNPACK_SCRIPT = """
tar --extract --no-same-owner --no-same-permissions --file="$1" --directory=/out || failed=$?
chmod -R u=rwX,go=rX /out
exit "${failed:-0}"
"""


def unpack_tarball(tarball: Path, area: Path, bench: Sandbox, cache: SourceCache, spec: str) -> None:
    """Make ``area/tree`` of a tarball that the container's user can read, its single top directory stripped.

    RequestError when it is none, DiskFullError when it does not fit.
    """
    out = bench.create_directory(area / "unpacked")
    mounts = [Mount(tarball, "/in/tarball"), Mount(out, "/out", read_only=False)]
    done = bench.run(_UNPACK_SCRIPT, "/in/tarball", mounts=mounts)
    if done.is_disk_full:
        raise cache.build_disk_full_error()
    if done.exit:
        raise _build_unpack_error(spec, done)
    _find_top_directory(out).rename(area / "tree")
    shutil.rmtree(out, ignore_errors=True)


def _find_top_directory(out: Path) -> Path:
    """The archive's single directory; the whole, when a kernel tree was packed without one."""
    inside = list(out.iterdir())
    if read_kernel_version(out) or len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
        return out
    return inside[0]


def _build_unpack_error(spec: str, done: SandboxResult) -> RequestError:
    said = [line for line in done.lines if "Exiting with failure" not in line]
    why = said[0].removeprefix("tar: ") if said else f"tar ended with {done.exit}"
    return RequestError(
        f"{spec} cannot be unpacked: {why}", "Give a whole .tar, .tar.gz, .tar.xz or .tar.zst."
    )
