"""Images in one file, to bring them to another machine: what is loaded is what was saved, by id.

The file is what ``docker save`` writes. It may come from somebody else: before the engine gets it, it is
read, and nothing of it is unpacked. Only images that were asked for, by their names, may be in it.
"""

import hashlib
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matrix.engine.protocol import Engine
from matrix.errors import EngineError, RequestError
from matrix.foreign_text import clean_text
from matrix.fs import translate_write_errors

_MANIFEST, _INDEX = "manifest.json", "index.json"
_MAX_JSON_BYTES = 4 * 2**20
_MAX_MEMBERS = 10_000
_CONFIG_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Where an index has the names under which some engines load its images."""


def save_images(engine: Engine, names: Sequence[str], path: Path) -> dict[str, str]:
    """Write these images, with all under them, into a file, whole or not at all; returns their ids by name.

    EngineError where the engine lacks one, MachineError where the file cannot be written.
    """
    with (
        translate_write_errors(path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".images-") as place,
    ):
        half_written = Path(place) / "images.tar"
        with half_written.open("wb") as file:
            engine.save_images(names, file)
        ids = read_image_ids(half_written, names)
        half_written.replace(path)
    return ids


def load_images(engine: Engine, names: Sequence[str], path: Path) -> dict[str, str]:
    """Load these images out of a file; returns their ids by name.

    RequestError where the file has others, or lacks one, EngineError where what the engine has then is not
    what the file has.
    """
    ids = read_image_ids(path, names)
    with _open_archive_file(path) as file:
        engine.load_images(file)
    for name, saved in ids.items():
        found = engine.find_image_id(name)
        if found != saved:
            raise EngineError(
                f"the engine has {found or 'nothing'} as {name} after loading {path}, which has {saved}",
                "build it: ./inv images",
            )
    return ids


def read_image_ids(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The ids of the images in a file, by name. RequestError where these are not exactly the names that are
    wanted, or where the file is not what an engine saves."""
    try:
        with _open_archive_file(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            ids = _read_manifest(_read_small_members(archive))
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RequestError(
            f"{path} holds no images: {clean_text(str(error))}", "./inv images --save FILE writes such a file"
        ) from error
    if set(ids) != set(names):
        differing = sorted(set(ids) ^ set(names))
        word = "holds" if differing[0] in ids else "lacks"
        raise RequestError(
            f"{path} is not of these toolchains, or of another kmatrix: it {word} {clean_text(differing[0])}",
            "save it with the same kmatrix, --profile and --toolchain, or build the images: ./inv images",
        )
    return ids


@contextmanager
def _open_archive_file(path: Path) -> Iterator[Any]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    with file:
        yield file


def _read_small_members(archive: tarfile.TarFile) -> dict[str, bytes]:
    """What of an archive is JSON, by name. ValueError for more members than images have, and for two of one
    name: the engine might take the other."""
    found: dict[str, bytes] = {}
    for count, member in enumerate(archive):
        if count >= _MAX_MEMBERS:
            raise ValueError(f"it has more than {_MAX_MEMBERS} members")
        is_named = member.name in (_MANIFEST, _INDEX) or _CONFIG_NAME.fullmatch(member.name)
        if not is_named or not member.isreg() or member.size > _MAX_JSON_BYTES:
            continue
        if member.name in found:
            raise ValueError(f"it has {member.name} twice")
        content = archive.extractfile(member)
        found[member.name] = content.read() if content else b""
    return found


def _read_manifest(members: Mapping[str, bytes]) -> dict[str, str]:
    """Name → id, as the manifest has them: an image's id is the digest of its configuration."""
    ids: dict[str, str] = {}
    for image in json.loads(members[_MANIFEST]):
        match = _CONFIG_NAME.fullmatch(image["Config"])
        if match is None or hashlib.sha256(members[image["Config"]]).hexdigest() != match[1]:
            raise ValueError(f"{image['Config']} is not what its name says")
        if not image["RepoTags"]:
            raise ValueError("an image in it has no name")
        ids |= {_shorten_name(name): f"sha256:{match[1]}" for name in image["RepoTags"]}
    for other in set(_list_index_names(members)) - set(ids):
        raise ValueError(f"its index has {other}, and its manifest has not")
    return ids


def _list_index_names(members: Mapping[str, bytes]) -> Iterator[str]:
    for manifest in json.loads(members.get(_INDEX, b"{}")).get("manifests", []):
        annotations = manifest.get("annotations") or {}
        # The second key has a tag alone.
        if name := annotations.get(_NAME_KEYS[0]):
            yield _shorten_name(name)
        elif ":" in annotations.get(_NAME_KEYS[1], ""):
            yield _shorten_name(annotations[_NAME_KEYS[1]])


def _shorten_name(name: object) -> str:
    """A name as kmatrix has it: Podman writes it with the registry that is meant where none is named."""
    return str(name).removeprefix("docker.io/")
