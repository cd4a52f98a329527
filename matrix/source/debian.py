"""Debian's source packages, fetched inside a container: works the same on any host."""

from dataclasses import dataclass
from pathlib import Path

from matrix.engine.protocol import Mount
from matrix.errors import KmatrixError, MachineError, RequestError
from matrix.source.cache import SourceCache
from matrix.source.sandbox import Sandbox, SandboxResult
from matrix.source.spec import PackageSpec

# apt is content without root when everything that it writes is elsewhere. `Error-Mode` makes `update`
# fail when the network does; it would go on with what it has, which is nothing.
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


def download_package(package: PackageSpec, area: Path, bench: Sandbox, cache: SourceCache) -> FetchedPackage:
    """Download a package into ``area`` and take its tarball out of it.

    RequestError when Debian has no such package, MachineError when the network does not give it.
    """
    out = bench.create_directory(area / "fetched")
    name = f"{package.name}={package.version}" if package.version else package.name
    done = bench.run(_DOWNLOAD_SCRIPT, name, mounts=[Mount(out, "/out", read_only=False)], network=True)
    if done.is_disk_full:
        raise cache.build_disk_full_error()
    if done.exit:
        raise _build_download_error(name, done)
    # A link would be followed by the engine when it mounts the tarball for the next step.
    tarballs = [path for path in sorted(out.glob("*.tar.*")) if path.is_file() and not path.is_symlink()]
    if not tarballs:
        raise RequestError(
            f"the package {name} holds no tarball under /usr/src", "Give a linux-source package."
        )
    return FetchedPackage(tarballs[0], done.find_value("version"))


def _build_download_error(name: str, done: SandboxResult) -> KmatrixError:
    if done.exit == _NO_SUCH_PACKAGE:
        available = done.find_value("available").split()
        have = ", ".join(f"debian:{package}" for package in available) or "none"
        return RequestError(f"Debian has no package {name}", f"It has: {have}")
    errors = [line for line in done.lines if line.startswith(("E:", "W:"))] or list(done.lines)
    why = errors[-1] if errors else f"the download ended with {done.exit}"
    if done.exit == _NETWORK_FAILED:
        return MachineError(
            f"{name} could not be fetched: {why}",
            "Check the network of the containers, or give a source of your own: --source DIR or TARBALL.",
        )
    return MachineError(f"{name} could not be unpacked: {why}", "Run again: it is fetched anew.")
