"""Tarballs: opened in a container without network, as a user who owns nothing else."""

import shutil
from pathlib import Path

from matrix.engine.engine import Mount
from matrix.errors import RequestError
from matrix.source.bench import Bench, Done
from matrix.source.cache import Cache
from matrix.source.kernel import kernel_version

# The modes of an archive are its author's: whoever builds must be able to read, and we to remove.
_SCRIPT = """
tar --extract --no-same-owner --no-same-permissions --file="$1" --directory=/out || failed=$?
chmod -R u=rwX,go=rX /out
exit "${failed:-0}"
"""


def unpack(tarball: Path, area: Path, bench: Bench, cache: Cache, spec: str) -> None:
    """Make ``area/tree`` of a tarball that the container's user can read, its single top directory stripped.

    RequestError when it is none, DiskFullError when it does not fit.
    """
    out = bench.directory(area / "unpacked")
    mounts = [Mount(tarball, "/in/tarball"), Mount(out, "/out", read_only=False)]
    done = bench.run(_SCRIPT, "/in/tarball", mounts=mounts)
    if done.disk_full:
        raise cache.full()
    if done.exit:
        raise _refused(spec, done)
    _top(out).rename(area / "tree")
    shutil.rmtree(out, ignore_errors=True)


def _top(out: Path) -> Path:
    """The archive's single directory; the whole, when a kernel tree was packed without one."""
    inside = list(out.iterdir())
    if kernel_version(out) or len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
        return out
    return inside[0]


def _refused(spec: str, done: Done) -> RequestError:
    said = [line for line in done.lines if "Exiting with failure" not in line]
    why = said[0].removeprefix("tar: ") if said else f"tar ended with {done.exit}"
    return RequestError(
        f"{spec} cannot be unpacked: {why}", "Give a whole .tar, .tar.gz, .tar.xz or .tar.zst."
    )
