"""Podman behind its Docker-compatible API: what it does otherwise, as the contract tests find it with 4.3."""

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlencode

from matrix.engine.dialect import Dialect
from matrix.engine.docker_api import build_ulimit, get_seccomp_profile, replace_seccomp_profile
from matrix.engine.protocol import ContainerSpec, Mount
from matrix.engine.registry_host import is_on_loopback
from matrix.errors import EngineError

_PID_MAX = Path("/proc/sys/kernel/pid_max")
_DEFAULT_PID_MAX = 32768
# Where Podman keeps images that no registry has, and what it makes of a tag without a registry.
_REGISTRIES = ("localhost/", "docker.io/library/", "docker.io/")
# Podman writes a mount as one line of comma-separated values, in which these would begin other options.
_UNMOUNTABLE = frozenset(',"\r\n')


@dataclass(frozen=True)
class PodmanDialect(Dialect):
    """Podman's way."""

    name: str = "podman"
    clients: tuple[str, ...] = ("podman", "docker")
    client_package: str = "podman"
    # Podman 4.3 looks for the mark of a kill elsewhere than where its monitor leaves it.
    tells_oom: bool = False

    def check_container(self, container: ContainerSpec) -> None:
        for mount in container.mounts:
            _check_mount(mount)

    @contextmanager
    def adapt_request(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The same container, asked for in Podman's way; its seccomp profile is the name of a file."""
        with NamedTemporaryFile("w", prefix="kmatrix-seccomp-", suffix=".json") as file:
            file.write(get_seccomp_profile(body))
            file.flush()
            # The engine may be another user's.
            os.fchmod(file.fileno(), 0o644)
            adapted = replace_seccomp_profile(body, file.name)
            # "NONE" is a health check to it like any other, for which it wants systemd.
            adapted.pop("Healthcheck")
            adapted["HostConfig"] = _adapt_host_config(adapted["HostConfig"])
            yield adapted

    def shorten_tag(self, tag: str) -> str:
        registry = next((name for name in _REGISTRIES if tag.startswith(name)), "")
        return tag.removeprefix(registry)

    def format_pull(self, version: str, repository: str, tag: str) -> str:
        if not is_on_loopback(repository):
            return super().format_pull(version, repository, tag)
        # Docker does without TLS there. Podman has to be told, and takes no word of that where Docker's
        # clients ask.
        ref = f"{repository}{'@' if ':' in tag else ':'}{tag}"
        return f"/v4.0.0/libpod/images/pull?{urlencode({'reference': ref, 'tlsVerify': 'false'})}"

    def format_push(self, version: str, repository: str, tag: str) -> str:
        route = super().format_push(version, repository, tag)
        return f"{route}&tlsVerify=false" if is_on_loopback(repository) else route

    def format_preparation(self, container_id: str) -> str:
        return f"/v4.0.0/libpod/containers/{container_id}/init"


def _check_mount(mount: Mount) -> None:
    if _UNMOUNTABLE & set(f"{mount.host}{mount.path}"):
        raise EngineError(
            f"podman cannot mount {str(mount.host)!r}: its name has a comma, a quote or a line break",
            hint="give the directory another name",
        )
    # Podman would make the directory, as root.
    if not mount.host.exists():
        raise EngineError(f"podman cannot mount {mount.host}: there is no such file or directory")


def _adapt_host_config(host: Mapping[str, Any]) -> dict[str, Any]:
    # With a read-only root Podman mounts a writable /run without bounds. None of these copies what the image
    # has in that place.
    temporary = {"/run": "ro,nosuid,nodev,noexec,size=4096", **host["Tmpfs"]}
    return {
        **host,
        "Tmpfs": {path: f"{options},notmpcopyup" for path, options in temporary.items()},
        # Podman asks for 1048576, and fails where it may not raise the limit. The limit counts processes of
        # one user on the whole machine: only the container's own one bounds it.
        "Ulimits": [*host["Ulimits"], build_ulimit("nproc", _find_process_limit())],
    }


def _find_process_limit() -> int:
    """As many processes as this machine has numbers for: Podman's own limit; or fewer, where it has fewer."""
    try:
        most = int(_PID_MAX.read_text())
    except (OSError, ValueError):
        most = _DEFAULT_PID_MAX
    own = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return most if own == resource.RLIM_INFINITY else min(most, own)
