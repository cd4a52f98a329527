"""What the engine's HTTP API wants and gives, from and to our own words."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from matrix.engine.engine import LABEL, ContainerLimits, ContainerSpec, EngineInfo, Mount

ApiReply = Mapping[str, Any]
"""A JSON object that the engine gave."""
IMAGE_LABEL_VALUE = "image"
"""The label's value on images that kmatrix made."""

# The usual hard limit of a daemon is higher; a lower one would refuse the start.
_MAX_OPEN_FILES = 4096


def build_create_request(container: ContainerSpec) -> dict[str, Any]:
    """The body of POST /containers/create: no privileges, nothing of the host, everything bounded."""
    return {
        "Image": container.image,
        # The first word as the entrypoint: an image's own must not get in between.
        "Entrypoint": list(container.command[:1]),
        "Cmd": list(container.command[1:]),
        # The same in every container: a host's name must not get into what is built.
        "Hostname": "kmatrix",
        "User": container.user,
        "WorkingDir": container.workdir,
        # An arbitrary user has no home, and / is read-only.
        "Env": [f"{name}={value}" for name, value in {"HOME": "/tmp", **container.env}.items()],  # noqa: S108
        "Labels": {LABEL: "", **container.labels},
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _build_host_config(container),
    }


def build_interactive_request(container: ContainerSpec, *, terminal: bool) -> dict[str, Any]:
    """The same for a container that somebody types to. Its stdin ends when theirs does."""
    return {
        **build_create_request(container),
        "AttachStdin": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": terminal,
    }


def _build_host_config(container: ContainerSpec) -> dict[str, Any]:
    return {
        "ReadonlyRootfs": True,
        "NetworkMode": "default" if container.network else "none",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Mounts": [_build_mount(mount) for mount in container.mounts],
        # Nobody reads it: attaching gets the output, and a long build's second copy would fill the disk.
        "LogConfig": {"Type": "none", "Config": {}},
        **_build_limits(container.limits),
    }


def _build_mount(mount: Mount) -> dict[str, Any]:
    # A mount and not a bind: a bind's missing host directory would be made by the engine, as root, and
    # a colon in its path would end it.
    return {"Type": "bind", "Source": str(mount.host), "Target": mount.path, "ReadOnly": mount.read_only}


def _build_limits(limits: ContainerLimits) -> dict[str, Any]:
    memory = limits.memory or 0
    return {
        "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmpfs}"},  # noqa: S108
        "Memory": memory,
        # Equal to the memory: no swap on top.
        "MemorySwap": memory,
        "PidsLimit": limits.processes,
        "Ulimits": [
            _build_ulimit("fsize", limits.file_size),
            _build_ulimit("core", 0),
            _build_ulimit("nofile", _MAX_OPEN_FILES),
        ],
    }


def _build_ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def pack_build_context(files: Mapping[str, str]) -> io.BytesIO:
    """A build context. No times and no owners: the same files are the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    packed.seek(0)
    return packed


def parse_engine_info(info: ApiReply, version: ApiReply) -> EngineInfo:
    """GET /info and GET /version, as far as they concern us."""
    components = version.get("Components") or [{}]
    podman = "podman" in components[0].get("Name", "").lower()
    return EngineInfo(
        name="podman" if podman else "docker",
        version=str(version.get("Version", "")),
        cpus=int(info.get("NCPU", 0)),
        memory=int(info.get("MemTotal", 0)),
        cgroup=f"v{info.get('CgroupVersion') or 1}",
        storage=str(info.get("Driver", "")),
        rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
    )


def parse_container_runs(containers: Iterable[ApiReply]) -> dict[str, str]:
    """Names and runs out of GET /containers/json. A container that the builder or a user made of one of
    our images inherits that image's label: it is not ours."""
    labels = {
        each["Names"][0].lstrip("/"): str(each["Labels"][LABEL]) for each in containers if each["Names"]
    }
    return {name: run for name, run in labels.items() if run != IMAGE_LABEL_VALUE}


def parse_image_sizes(images: Iterable[ApiReply]) -> dict[str, int]:
    """Tags and bytes out of GET /images/json; what has lost its tag stands under its id."""
    found: dict[str, int] = {}
    for image in images:
        tags = [tag for tag in image["RepoTags"] or () if tag != "<none>:<none>"]
        found.update(dict.fromkeys(tags or [image["Id"]], int(image["Size"])))
    return found
