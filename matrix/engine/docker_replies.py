"""Replies of the engine's HTTP API, read strictly: what answers at that address may be no engine at all."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from matrix.engine.docker_api import LineDecoder
from matrix.engine.protocol import LABEL, RECIPE_LABEL, EngineInfo, ImageDescription
from matrix.foreign_text import clean_text

IMAGE_LABEL_VALUE = "image"
"""The label's value on images that kmatrix made."""
MAX_REPLY = 64 * 2**20
"""Bytes of a reply. The longest, the list of all images, has some kilobytes."""

_MAX_OBJECT = 2**20
"""Characters of one JSON object in a stream: of a build's output, or of how far a pull is."""
_SHOWN_LENGTH = 200
_TOLD_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})", re.IGNORECASE)
"""How Docker and Podman tell what an image is called in a registry."""
_ENDED_STATUSES = ("exited", "dead")
T = TypeVar("T", str, int, bool, list[object], dict[str, object])


class UnreadableReplyError(ValueError):
    """A reply that no engine gives."""


def join_bounded(pieces: Iterable[bytes], seconds: float) -> bytes:
    """The whole of a reply. UnreadableReplyError when it does not end within so many seconds or MAX_REPLY."""
    deadline = time.monotonic() + seconds
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > MAX_REPLY or time.monotonic() > deadline:
            raise UnreadableReplyError("it has no end")
    return bytes(whole)


def check_output_stream(status: int, headers: Mapping[str, str]) -> None:
    """UnreadableReplyError where it is no container's output that follows: nobody would ever end it."""
    kind = headers.get("Content-Type", "")
    if status != HTTPStatus.SWITCHING_PROTOCOLS and not kind.endswith("-stream"):
        raise UnreadableReplyError(f"no output, but {kind or 'nothing'}")


def decode_objects(pieces: Iterable[bytes | str]) -> Iterator[dict[str, object]]:
    """The JSON objects of a stream, which stand on a line each. UnreadableReplyError for anything else."""
    lines = LineDecoder(_MAX_OBJECT)
    for piece in pieces:
        for line in lines.feed(piece.encode() if isinstance(piece, str) else piece):
            yield from _decode_object(line)
    for line in lines.flush():
        yield from _decode_object(line)


def _decode_object(line: str) -> Iterator[dict[str, object]]:
    if line.strip():
        value = json.loads(line)
        if not isinstance(value, dict):
            raise UnreadableReplyError(f"no object, but {_shorten(value)}")
        yield value


def get_value(reply: object, key: str, kind: type[T]) -> T:
    """A value of a JSON object. UnreadableReplyError where it is not there, or is of another kind."""
    if not isinstance(reply, Mapping) or key not in reply:
        raise UnreadableReplyError(f"no {key} in {_shorten(reply)}")
    value = reply[key]
    # In Python True is an int.
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise UnreadableReplyError(f"{key} is {_shorten(value)}")
    return value


def _shorten(value: object) -> str:
    return clean_text(repr(value), _SHOWN_LENGTH)


def parse_id(reply: object) -> str:
    """The id of a container or image, out of what creates or inspects it."""
    identifier = get_value(reply, "Id", str)
    if not identifier:
        raise UnreadableReplyError("the Id is empty")
    return identifier


def parse_image(reply: object) -> ImageDescription:
    """An image, out of GET /images/NAME/json."""
    optional = reply if isinstance(reply, Mapping) else {}
    config = get_value(reply, "Config", dict) if optional.get("Config") else {}
    labels = get_value(config, "Labels", dict) if config.get("Labels") else {}
    digests = get_value(reply, "RepoDigests", list) if optional.get("RepoDigests") else []
    return ImageDescription(parse_id(reply), str(labels.get(RECIPE_LABEL, "")), tuple(map(str, digests)))


def parse_transfer(replies: Iterable[Mapping[str, object]]) -> tuple[str, str]:
    """What became of an image on its way to a registry or back: an error that ended it, and its digest;
    each empty where none was told."""
    digest = ""
    for reply in replies:
        if error := reply.get("error"):
            return str(error), digest
        if match := _TOLD_DIGEST.search(str(reply.get("status", ""))):
            digest = match[1]
    return "", digest


def is_podman(version: object) -> bool:
    """Whether it is Podman that gave this reply to GET /version."""
    components = version.get("Components") if isinstance(version, Mapping) else None
    return bool(components) and "podman" in _shorten(components).lower()


def parse_engine_info(info: object, version: object) -> EngineInfo:
    """The engine's description, out of GET /info and GET /version."""
    cpus, memory = get_value(info, "NCPU", int), get_value(info, "MemTotal", int)
    if cpus < 1 or memory < 1:
        raise UnreadableReplyError(f"a machine of {cpus} processors and {memory} bytes of memory")
    optional = info if isinstance(info, Mapping) else {}
    return EngineInfo(
        name="podman" if is_podman(version) else "docker",
        version=get_value(version, "Version", str),
        cpus=cpus,
        memory=memory,
        cgroup=f"v{optional.get('CgroupVersion') or 1}",
        storage=str(optional.get("Driver", "")),
        # Docker has it among its options, Podman for itself.
        rootless=optional.get("Rootless") is True or "rootless" in str(optional.get("SecurityOptions")),
    )


@dataclass(frozen=True)
class ContainerState:
    """A container's state, out of GET /containers/ID/json. ``error``: why it did not start, if so."""

    has_ended: bool
    exit: int
    oom: bool
    error: str


def parse_container_state(reply: object) -> ContainerState:
    """Whether a container has ended, and how."""
    state = get_value(reply, "State", dict)
    return ContainerState(
        has_ended=get_value(state, "Status", str) in _ENDED_STATUSES,
        exit=get_value(state, "ExitCode", int),
        oom=bool(state.get("OOMKilled")),
        error=clean_text(str(state.get("Error") or "")),
    )


def parse_container_process(reply: object) -> int:
    """The number of a container's first process, out of GET /containers/ID/json; 0 where it has none."""
    return get_value(get_value(reply, "State", dict), "Pid", int)


def parse_container_owners(containers: object) -> dict[str, str]:
    """Names and owners out of GET /containers/json. A container that the builder or a user made of a
    kmatrix image inherits that image's label, and is left out."""
    owners = {}
    for container in _check_list(containers):
        for name in get_value(container, "Names", list)[:1]:
            owners[str(name).lstrip("/")] = get_value(get_value(container, "Labels", dict), LABEL, str)
    return {name: owner for name, owner in owners.items() if owner != IMAGE_LABEL_VALUE}


def parse_image_sizes(images: object) -> dict[str, int]:
    """Tags and bytes out of GET /images/json; an image without a tag has its id instead. What it is called by
    digest, which Podman lists as well, is no name of its own: with the tags it goes."""
    sizes: dict[str, int] = {}
    for image in _check_list(images):
        tags = get_value(image, "RepoTags", list) if image.get("RepoTags") else []
        names = [str(tag) for tag in tags if tag != "<none>:<none>" and "@" not in str(tag)]
        sizes.update(dict.fromkeys(names or [parse_id(image)], get_value(image, "Size", int)))
    return sizes


def _check_list(reply: object) -> list[dict[str, object]]:
    if not isinstance(reply, list) or not all(isinstance(item, dict) for item in reply):
        raise UnreadableReplyError(f"no list of objects, but {_shorten(reply)}")
    return reply
