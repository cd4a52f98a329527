"""Debian's packages fetched, and archives unpacked, in a container: it works the same on any host."""

from dataclasses import dataclass
from pathlib import Path

from matrix.engine.protocol import Mount
from matrix.errors import KmatrixError, MachineError, RequestError
from matrix.foreign_text import clean_text
from matrix.foreign_trees import remove_tree
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import read_kernel_version
from matrix.source.sandbox import Sandbox, SandboxResult
from matrix.source.snapshot import MAX_TREE_BYTES, MAX_TREE_NAMES
from matrix.source.spec import PackageSpec

# apt works without root when everything that it writes is elsewhere. `Error-Mode` makes `update`
# fail when the network does; by default it goes on with the lists that it has, which are none.
_DOWNLOAD_SCRIPT = r"""
mkdir -p /out/state/lists/partial /out/cache/archives/partial /out/deb
cat >/tmp/apt.conf <<'END'
Dir::State "/out/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "/out/cache";
Dir::Log "/out/state";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
END
export APT_CONFIG=/tmp/apt.conf
apt-get -q update || exit 10
cd /out/deb
if ! apt-get -q download --print-uris "$1" >/dev/null; then
    names=$(apt-cache pkgnames linux-source- | sort -V)
    case $1 in *=*) names=$(apt-cache madison $names | awk '{print $1 "=" $3}') ;; esac
    echo "available=$(echo $names)"
    exit 11
fi
apt-get -q download "$1" || exit 10
deb=$(echo *.deb)
echo "version=$(dpkg-deb --field "$deb" Version)"
dpkg-deb --fsys-tarfile "$deb" |
    tar --extract --directory=/out --wildcards './usr/src/*.tar.*' --transform='s,.*/,,'
rm -r /out/deb /out/state /out/cache
chmod a+r /out/*.tar.*
"""
_NETWORK_FAILED = 10
_NO_SUCH_PACKAGE = 11


@dataclass(frozen=True)
class FetchedPackage:
    """A package's tarball, and the package's full version (``6.12.48-1``)."""

    tarball: Path
    version: str


def download_package(
    package: PackageSpec, area: Path, sandbox: Sandbox, cache: SourceCache
) -> FetchedPackage:
    """Download a package into ``area`` and take its tarball out of it.

    RequestError when Debian has no such package, MachineError when the network does not give it.
    """
    out = sandbox.create_directory(area / "fetched")
    name = f"{package.name}={package.version}" if package.version else package.name
    result = sandbox.run(_DOWNLOAD_SCRIPT, name, mounts=[Mount(out, "/out", read_only=False)], network=True)
    if result.is_disk_full:
        raise cache.build_disk_full_error()
    if result.exit:
        raise _build_download_error(name, result)
    # A link would be followed by the engine when it mounts the tarball for the next step.
    tarballs = [path for path in sorted(out.glob("*.tar.*")) if path.is_file() and not path.is_symlink()]
    if not tarballs:
        raise RequestError(
            f"the package {name} holds no tarball under /usr/src", "Give a linux-source package."
        )
    return FetchedPackage(tarballs[0], clean_text(result.find_value("version")))


def _build_download_error(name: str, result: SandboxResult) -> KmatrixError:
    if result.exit == _NO_SUCH_PACKAGE:
        available = result.find_value("available").split()
        offered = ", ".join(f"debian:{package}" for package in available) or "none"
        return RequestError(f"Debian has no package {name}", f"It has: {offered}")
    errors = [line for line in result.lines if line.startswith(("E:", "W:"))] or list(result.lines)
    reason = clean_text(errors[-1]) if errors else f"the download ended with {result.exit}"
    if result.exit == _NETWORK_FAILED:
        return MachineError(
            f"{name} could not be fetched: {reason}",
            "Check the network of the containers, or give a source of your own: --source DIR or TARBALL.",
        )
    return MachineError(f"{name} could not be unpacked: {reason}", "Run again: it is fetched anew.")


# tar names each member before it is written, so that a bomb is stopped when it goes off: by the sizes that
# the members claim, holes included. The modes of an archive are its author's: the builds' user must be able
# to read, and kmatrix to remove.
_UNPACK_SCRIPT = r"""
mkfifo /tmp/members
tar --extract --no-same-owner --no-same-permissions --file="$1" --directory=/out \
    --verbose --verbose --numeric-owner --quoting-style=escape >/tmp/members &
awk -v names="$2" -v bytes="$3" '
    { total += $3 }
    NR > names { print "bound=" names " files"; exit 9 }
    total > bytes { printf "bound=%d GiB\n", bytes / 2 ^ 30; exit 9 }
' </tmp/members || kill -KILL "$!"
wait "$!" || failed=$?
chmod -R u=rwX,go=rX /out
exit "${failed:-0}"
"""


def unpack_tarball(tarball: Path, area: Path, sandbox: Sandbox, cache: SourceCache, spec: str) -> None:
    """Make ``area/tree`` of a tarball that the container's user can read, its single top directory stripped.

    RequestError when it is none, DiskFullError when it does not fit.
    """
    out = sandbox.create_directory(area / "unpacked")
    mounts = [Mount(tarball, "/in/tarball"), Mount(out, "/out", read_only=False)]
    bounds = (str(MAX_TREE_NAMES), str(MAX_TREE_BYTES))
    result = sandbox.run(_UNPACK_SCRIPT, "/in/tarball", *bounds, mounts=mounts)
    if bound := result.find_value("bound"):
        raise RequestError(f"{spec} holds more than {bound}", "A kernel tree has far less.")
    if result.is_disk_full:
        raise cache.build_disk_full_error()
    if result.exit:
        raise _build_unpack_error(spec, result)
    _find_top_directory(out).rename(area / "tree")
    remove_tree(out)


def _find_top_directory(out: Path) -> Path:
    """The archive's single directory; the whole, when a kernel tree was packed without one."""
    entries = list(out.iterdir())
    if read_kernel_version(out) or len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
        return out
    return entries[0]


def _build_unpack_error(spec: str, result: SandboxResult) -> RequestError:
    lines = [line for line in result.lines if "Exiting with failure" not in line]
    reason = clean_text(lines[0].removeprefix("tar: ")) if lines else f"tar ended with {result.exit}"
    return RequestError(
        f"{spec} cannot be unpacked: {reason}", "Give a whole .tar, .tar.gz, .tar.xz or .tar.zst."
    )
