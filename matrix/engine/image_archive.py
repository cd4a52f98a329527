"""Images in one file, to bring them to another machine: what is loaded is what was saved, by id.

The file is what ``docker save`` writes. It may come from somebody else: before the engine gets it, it is
read, and nothing of it is unpacked. Only images that were asked for, by their names, may be in it.

Engines name an image by one of two digests: that of its configuration, or, where they keep images as a
registry does (Docker's containerd image store, Docker 29's default), that of its manifest or index.
"""

import hashlib
import json
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from matrix.engine.protocol import Engine
from matrix.errors import EngineError, RequestError
from matrix.foreign_text import clean_text
from matrix.fs import translate_write_errors

_MANIFEST, _INDEX = "manifest.json", "index.json"
_BLOBS = "blobs/sha256/"
_MAX_JSON_BYTES = 4 * 2**20
_MAX_KEPT_BYTES = 64 * 2**20
_MAX_MEMBERS = 10_000
_CONFIG_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Where an index has the names under which some engines load its images."""


def save_images(engine: Engine, names: Sequence[str], path: Path) -> dict[str, str]:
    """Write these images, with all under them, into a file, whole or not at all; returns the engine's ids of
    them by name. A link stays, and leads to the file; a pipe or a device is given what is complete.

    EngineError where the engine lacks one, MachineError where the file cannot be written.
    """
    with translate_write_errors(path):
        is_file = path.is_file() or not path.exists()
        # Of /dev/stdout there is no real path where a pipe is behind it.
        target = Path(os.path.realpath(path)) if is_file else path
        place = target.parent if is_file else None
        with tempfile.TemporaryDirectory(dir=place, prefix=".images-") as directory:
            half_written = Path(directory) / "images.tar"
            with half_written.open("wb") as file:
                engine.save_images(names, file)
            ids = _find_own_ids(engine, read_image_ids(half_written, names), path)
            if is_file:
                half_written.replace(target)
            else:
                _copy_into(half_written, target)
    return ids


def _copy_into(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("wb") as opened:
        shutil.copyfileobj(content, opened)


def load_images(engine: Engine, names: Sequence[str], path: Path) -> dict[str, str]:
    """Load these images out of a file; returns the engine's ids of them by name.

    RequestError where the file has others, or lacks one, EngineError where what the engine has then is not
    what the file has.
    """
    with _open_archive_file(path) as file:
        ids = _read_ids(file, path, names)
        file.seek(0)
        has_index = _has_index(file)
        file.seek(0)
        engine.load_images(file)
    if not has_index:
        ids = {name: (*held, *_list_converted_ids(engine, name, held)) for name, held in ids.items()}
    return _find_own_ids(engine, ids, path)


def _has_index(file: Any) -> bool:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        return _INDEX in archive.getnames()


def _list_converted_ids(engine: Engine, name: str, possible: Sequence[str]) -> tuple[str, ...]:
    """The ids of an image that the engine keeps in another form than the file has: it makes a manifest of its
    own where the file has none. It is the same image if what the engine saves of it has the same
    configuration, which names all layers by their contents."""
    if engine.find_image_id(name) in (None, *possible):
        return ()
    with tempfile.TemporaryFile() as file:
        engine.save_images([name], file)
        file.seek(0)
        own = _read_ids(file, Path("what the engine saves"), [name])[name]
    return own if own[0] == possible[0] else ()


def _find_own_ids(engine: Engine, held: Mapping[str, Sequence[str]], path: Path) -> dict[str, str]:
    """What the engine calls the images of a file: one of the ids that each may have."""
    ids: dict[str, str] = {}
    for name, possible in held.items():
        found = engine.find_image_id(name)
        if found is None or found not in possible:
            raise EngineError(
                f"the engine has {found or 'nothing'} as {name}, and {path} has {' or '.join(possible)}",
                "build it: ./inv images",
            )
        ids[name] = found
    return ids


def read_image_ids(path: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The ids that engines may give the images in a file, by name. RequestError where these are not exactly
    the names that are wanted, or where the file is not what an engine saves."""
    with _open_archive_file(path) as file:
        return _read_ids(file, path, names)


def _read_ids(file: Any, path: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
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
    """What of an archive is JSON, by name. ValueError for more than images have, and for whatever an engine
    that unpacks it might take for another file than is read here."""
    found: dict[str, bytes] = {}
    kept = 0
    for member in _iterate_named_members(archive):
        content = archive.extractfile(member) if member.size <= _MAX_JSON_BYTES else None
        if content is None or _is_layer(member.name, content):
            continue
        kept += member.size
        if kept > _MAX_KEPT_BYTES:
            raise ValueError(f"it has more than {_MAX_KEPT_BYTES} bytes of JSON")
        found[member.name] = content.read()
    return found


def _is_layer(name: str, content: IO[bytes]) -> bool:
    """Whether a blob is a layer: a tar file, or compressed. It stays at its begin."""
    begin = content.read(1)
    content.seek(0)
    return name.startswith(_BLOBS) and begin != b"{"


def _iterate_named_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The regular files that are the manifest, the index, or may be configurations: each name once."""
    seen: set[str] = set()
    links: set[str] = set()
    for count, member in enumerate(archive):
        if count >= _MAX_MEMBERS:
            raise ValueError(f"it has more than {_MAX_MEMBERS} members")
        _check_place(member.name, links)
        if member.issym() or member.islnk():
            links.add(member.name)
        is_listing = member.name in (_MANIFEST, _INDEX)
        if not is_listing and (member.isdir() or not _CONFIG_NAME.fullmatch(member.name)):
            continue
        if member.name in seen:
            raise ValueError(f"it has {member.name} twice")
        if not member.isreg() or (is_listing and member.size > _MAX_JSON_BYTES):
            raise ValueError(f"its {member.name} is no file that an engine writes")
        seen.add(member.name)
        yield member


def _check_place(name: str, links: set[str]) -> None:
    """ValueError for a member that would be unpacked elsewhere than at its name."""
    is_plain = posixpath.normpath(name) == name and not name.startswith(("/", ".."))
    if not is_plain or not links.isdisjoint(map(str, PurePosixPath(name).parents)):
        raise ValueError(f"it has {name}, which lies elsewhere than it says")


def _read_manifest(members: Mapping[str, bytes]) -> dict[str, tuple[str, ...]]:
    """Name → ids: the digest of its configuration, as the manifest has it, then those in the index."""
    ids: dict[str, tuple[str, ...]] = {}
    for image in json.loads(members[_MANIFEST]):
        match = _CONFIG_NAME.fullmatch(image["Config"])
        if match is None or hashlib.sha256(members[image["Config"]]).hexdigest() != match[1]:
            raise ValueError(f"{image['Config']} is not what its name says")
        if not image["RepoTags"]:
            raise ValueError("an image in it has no name")
        ids |= {_shorten_name(name): (f"sha256:{match[1]}",) for name in image["RepoTags"]}
    for name, manifest in _iterate_index(members):
        if name not in ids:
            raise ValueError(f"its index has {name}, and its manifest has not")
        ids[name] += tuple(_find_digest(manifest, members))
    return ids


def _iterate_index(members: Mapping[str, bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What an index names: the name, and the descriptor of its manifest, or of an index of its own."""
    for manifest in json.loads(members.get(_INDEX, b"{}")).get("manifests", []):
        annotations = manifest.get("annotations") or {}
        # The second key has a tag alone.
        if name := annotations.get(_NAME_KEYS[0]):
            yield _shorten_name(name), manifest
        elif ":" in annotations.get(_NAME_KEYS[1], ""):
            yield _shorten_name(annotations[_NAME_KEYS[1]]), manifest


def _find_digest(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> Iterator[str]:
    """The digest in a descriptor, where the file has what it is of. ValueError where that is another."""
    digest = str(manifest.get("digest"))
    blob = members.get(_BLOBS + digest.removeprefix("sha256:"))
    if blob is None:
        return
    if digest != f"sha256:{hashlib.sha256(blob).hexdigest()}":
        raise ValueError(f"{digest} is not what its name says")
    yield digest


def _shorten_name(name: object) -> str:
    """A name as kmatrix has it: Podman writes it with the registry that is meant where none is named."""
    return str(name).removeprefix("docker.io/")
