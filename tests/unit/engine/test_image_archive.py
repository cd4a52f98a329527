"""Images in a file: what is loaded is what was saved, and a stranger's file brings nothing besides."""

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from matrix.engine.image_archive import load_images, read_image_ids, save_images
from matrix.errors import EngineError, MachineError, RequestError
from tests.fakes.engine import FakeEngine

NAMES = ["kmatrix/base:0123456789ab", "kmatrix/gcc-14:0123456789ab"]
CONFIG = b'{"os": "linux"}'
DIGEST = hashlib.sha256(CONFIG).hexdigest()
ROW = {"Config": f"{DIGEST}.json", "RepoTags": NAMES}


def write_archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def hold(path: Path, *rows: Mapping[str, Any], more: tuple[tuple[str, bytes], ...] = ()) -> Path:
    """A file with these rows in its manifest."""
    manifest = json.dumps(rows).encode()
    return write_archive(path, (f"{DIGEST}.json", CONFIG), ("manifest.json", manifest), *more)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    here, there = FakeEngine(images=NAMES), FakeEngine()
    saved = save_images(here, NAMES, tmp_path / "images.tar")
    assert saved == {name: here.find_image_id(name) for name in NAMES}
    assert load_images(there, NAMES, tmp_path / "images.tar") == saved
    assert {name: there.find_image_id(name) for name in NAMES} == saved
    assert [path.name for path in tmp_path.iterdir()] == ["images.tar"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_text("old")
    with pytest.raises(EngineError):
        save_images(FakeEngine(images=NAMES[:1]), NAMES, tmp_path / "images.tar")
    assert (tmp_path / "images.tar").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(MachineError, match="cannot be written"):
        save_images(FakeEngine(images=NAMES), NAMES, tmp_path / "gone/images.tar")


def test_a_link_stays_and_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere/kept.tar", tmp_path / "images.tar"
    link.symlink_to(file)
    for _ in range(2):  # it is made, then replaced
        saved = save_images(FakeEngine(images=NAMES), NAMES, link)
        assert link.readlink() == file
        assert load_images(FakeEngine(), NAMES, file) == saved
    assert [path.name for path in file.parent.iterdir()] == ["kept.tar"]


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, copy = tmp_path / "pipe", tmp_path / "copy.tar"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()), daemon=True)
    reader.start()
    saved = save_images(FakeEngine(images=NAMES), NAMES, pipe)
    assert pipe.is_fifo()
    reader.join(60)
    assert load_images(FakeEngine(), NAMES, copy) == saved


def test_both_layouts_of_a_configuration_are_read(tmp_path: Path) -> None:
    row = {"Config": f"blobs/sha256/{DIGEST}", "RepoTags": NAMES}
    manifest = json.dumps([row]).encode()
    path = write_archive(tmp_path / "a", (f"blobs/sha256/{DIGEST}", CONFIG), ("manifest.json", manifest))
    assert read_image_ids(path, NAMES) == dict.fromkeys(NAMES, (f"sha256:{DIGEST}",))


# --- an engine that keeps images as a registry does


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def describe(content: bytes, kind: str, **more: object) -> dict[str, object]:
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def encode(kind: str, **keys: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": f"application/vnd.oci.image.{kind}", **keys}).encode()


LAYER, PROOF = b"\x1f\x8b a layer", b'{"_type": "https://in-toto.io/Statement/v0.1"}'
CONFIGS = {name: json.dumps({"os": "linux", "config": {"Env": [name]}}).encode() for name in NAMES}
MANIFESTS = {
    name: encode(
        "manifest.v1+json",
        config=describe(config, "config.v1+json"),
        layers=[describe(LAYER, "layer.v1.tar+gzip")],
    )
    for name, config in CONFIGS.items()
}
NESTED = encode(
    "index.v1+json",
    manifests=[
        describe(MANIFESTS[NAMES[1]], "manifest.v1+json", platform={"os": "linux", "architecture": "amd64"}),
        describe(PROOF, "manifest.v1+json", platform={"os": "unknown", "architecture": "unknown"}),
    ],
)
"""The second image as BuildKit makes it: an index, with an attestation beside the image."""
TARGETS = {NAMES[0]: (MANIFESTS[NAMES[0]], "manifest.v1+json"), NAMES[1]: (NESTED, "index.v1+json")}
TARGET_IDS = {name: digest_of(target) for name, (target, _) in TARGETS.items()}


def list_layout(names: Sequence[str] = NAMES) -> dict[str, bytes]:
    """What such an engine saves of these: OCI's layout, and a manifest.json for others."""
    blobs = [LAYER, PROOF, NESTED, *CONFIGS.values(), *MANIFESTS.values()]
    named = {name: f"docker.io/{name}" for name in NAMES}
    index = [
        describe(
            target,
            kind,
            annotations={
                "io.containerd.image.name": named[name],
                "org.opencontainers.image.ref.name": name.partition(":")[2],
            },
        )
        for name, (target, kind) in TARGETS.items()
        if name in names
    ]
    rows = [
        {
            "Config": f"blobs/sha256/{digest_of(config)[7:]}",
            "RepoTags": [name],
            "Layers": [f"blobs/sha256/{digest_of(LAYER)[7:]}"],
        }
        for name, config in CONFIGS.items()
        if name in names
    ]
    return {
        **{f"blobs/sha256/{digest_of(blob)[7:]}": blob for blob in blobs},
        "index.json": encode("index.v1+json", manifests=index),
        "manifest.json": json.dumps(rows).encode(),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    }


class RegistryLikeEngine(FakeEngine):
    """Its ids are what an index names."""

    def save_images(self, names: Sequence[str], file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, content in list_layout(names).items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    def load_images(self, file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            for row in json.load(index)["manifests"]:
                name = row["annotations"]["io.containerd.image.name"].removeprefix("docker.io/")
                self._ids[name] = row["digest"]


class ConfigEngine(FakeEngine):
    """Its ids are those of configurations, whoever wrote the file."""

    def load_images(self, file: BinaryIO) -> None:
        assert file.tell() == 0
        self._ids |= {name: digest_of(config) for name, config in CONFIGS.items()}


def test_an_image_may_be_named_by_its_manifest_or_its_index(tmp_path: Path) -> None:
    here, there = RegistryLikeEngine(), RegistryLikeEngine()
    here._ids |= TARGET_IDS
    assert save_images(here, NAMES, tmp_path / "images.tar") == TARGET_IDS
    assert load_images(there, NAMES, tmp_path / "images.tar") == TARGET_IDS
    by_config = {name: digest_of(config) for name, config in CONFIGS.items()}
    assert load_images(ConfigEngine(), NAMES, tmp_path / "images.tar") == by_config


class ConvertingEngine(RegistryLikeEngine):
    """It makes manifests of its own of a file that has none."""

    def load_images(self, file: BinaryIO) -> None:
        assert file.tell() == 0
        self._ids |= TARGET_IDS


def write_older_archive(path: Path, configs: Mapping[str, bytes]) -> Path:
    """A file as older engines save it: a manifest.json, and no index."""
    files = {name: f"{digest_of(config)[7:]}.json" for name, config in configs.items()}
    rows = [{"Config": files[name], "RepoTags": [name]} for name in configs]
    members = [(files[name], config) for name, config in configs.items()]
    return write_archive(path, *members, ("manifest.json", json.dumps(rows).encode()))


def test_a_file_without_an_index_is_the_same_image_in_an_engine_that_converts_it(tmp_path: Path) -> None:
    path = write_older_archive(tmp_path / "images.tar", CONFIGS)
    assert load_images(ConvertingEngine(), NAMES, path) == TARGET_IDS


def test_a_converted_image_with_another_configuration_is_told(tmp_path: Path) -> None:
    path = write_older_archive(tmp_path / "images.tar", {**CONFIGS, NAMES[1]: b'{"os": "other"}'})
    with pytest.raises(EngineError, match=f"the engine has {TARGET_IDS[NAMES[1]]} as {NAMES[1]}, and"):
        load_images(ConvertingEngine(), NAMES, path)


def test_an_engine_that_names_an_image_by_anything_else_is_told(tmp_path: Path) -> None:
    class Other(RegistryLikeEngine):
        def load_images(self, file: BinaryIO) -> None:
            del file
            # What the index names is the index, and neither a manifest in it nor another image's.
            self._ids |= {NAMES[0]: TARGET_IDS[NAMES[0]], NAMES[1]: digest_of(MANIFESTS[NAMES[1]])}

    path = write_archive(tmp_path / "a", *list_layout().items())
    with pytest.raises(EngineError, match=f"as kmatrix/gcc-14.* or {TARGET_IDS[NAMES[1]]}"):
        load_images(Other(), NAMES, path)


def test_a_manifest_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    changed = {f"blobs/sha256/{TARGET_IDS[NAMES[0]][7:]}": b"{}"}
    path = write_archive(tmp_path / "a", *{**list_layout(), **changed}.items())
    with pytest.raises(RequestError, match="is not what its name says"):
        load_images(RegistryLikeEngine(), NAMES, path)


def test_what_an_index_names_and_the_file_lacks_is_no_id(tmp_path: Path) -> None:
    members = list_layout()
    del members[f"blobs/sha256/{TARGET_IDS[NAMES[0]][7:]}"]
    with pytest.raises(EngineError, match="as kmatrix/base"):
        load_images(RegistryLikeEngine(), NAMES, write_archive(tmp_path / "a", *members.items()))


# --- what an engine that unpacks a file might find in it


def add_member(path: Path, name: str, content: bytes = b"[]", **header: object) -> Path:
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for key, value in header.items():
            setattr(member, key, value)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
@pytest.mark.parametrize(
    ("form", "content", "header"),
    [
        ("./{}", b"[]", {}),
        ("x/../{}", b"[]", {}),
        (".//{}", b"[]", {}),
        ("/{}", b"[]", {}),
        ("//{}", b"[]", {}),
        ("../images/{}", b"[]", {}),
        ("{}", b" " * (4 * 2**20 + 1), {}),
        ("{}", b"", {"type": tarfile.SYMTYPE, "linkname": "other.json"}),
        ("{}", b"", {"type": tarfile.LNKTYPE, "linkname": "other.json"}),
        ("{}", b"", {"type": tarfile.DIRTYPE}),
        ("{}", b"", {"type": tarfile.FIFOTYPE}),
    ],
)
def test_no_second_listing_gets_past(
    tmp_path: Path, name: str, form: str, content: bytes, header: dict[str, object]
) -> None:
    engine, path = FakeEngine(), hold(tmp_path / "a", ROW)
    with pytest.raises(RequestError, match="holds no images"):
        load_images(engine, NAMES, add_member(path, form.format(name), content, **header))
    assert engine.list_images() == {}


def test_nothing_lies_below_a_link(tmp_path: Path) -> None:
    path = add_member(hold(tmp_path / "a", ROW), "x", b"", type=tarfile.SYMTYPE, linkname=".")
    assert read_image_ids(path, NAMES)  # older engines have links to layers
    with pytest.raises(RequestError, match="elsewhere than it says"):
        read_image_ids(add_member(path, "x/manifest.json"), NAMES)


def test_a_configuration_is_no_second_one_of_its_name(tmp_path: Path) -> None:
    path = add_member(hold(tmp_path / "a", ROW), f"{DIGEST}.json", b" " * (4 * 2**20 + 1))
    with pytest.raises(RequestError, match="twice"):
        read_image_ids(path, NAMES)


def test_the_directories_of_older_engines_are_no_configurations(tmp_path: Path) -> None:
    path = hold(tmp_path / "a", ROW)
    for _ in range(2):
        add_member(path, "0" * 64, b"", type=tarfile.DIRTYPE)
    assert read_image_ids(path, NAMES)


def test_what_is_kept_of_a_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.engine.image_archive._MAX_KEPT_BYTES", 1000)
    path = hold(tmp_path / "a", ROW)
    add_member(path, f"blobs/sha256/{'0' * 64}", b"\x1f\x8b" + b" " * 2000)
    assert read_image_ids(path, NAMES)  # a layer is not kept
    add_member(path, f"blobs/sha256/{'1' * 64}", b"{" + b" " * 2000)
    with pytest.raises(RequestError, match="more than 1000 bytes of JSON"):
        read_image_ids(path, NAMES)


def test_an_engine_that_has_another_image_then_is_told(tmp_path: Path) -> None:
    class Deaf(FakeEngine):
        def load_images(self, file: Any) -> None:
            """Load nothing."""

    path = hold(tmp_path / "a", ROW)
    with pytest.raises(EngineError, match="has nothing as kmatrix/base"):
        load_images(Deaf(), NAMES, path)


INDEX = {"manifests": [{"annotations": {"io.containerd.image.name": "docker.io/library/debian:trixie"}}]}


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([ROW, {"Config": f"{DIGEST}.json", "RepoTags": ["debian:trixie"]}], (), "it holds debian:trixie"),
        ([{"Config": f"{DIGEST}.json", "RepoTags": NAMES[:1]}], (), "it lacks kmatrix/gcc-14"),
        ([{"Config": f"{DIGEST}.json", "RepoTags": ["a\x1b[31m:b", *NAMES]}], (), "it holds a:b"),
        ([{**ROW, "Config": f"{'0' * 64}.json"}], (), "holds no images"),
        ([{**ROW, "Config": "../../etc/passwd"}], (), "is not what its name says"),
        ([{**ROW, "RepoTags": None}], (), "has no name"),
        ([ROW], ((f"{DIGEST}.json", b"{}"),), "twice"),
        ([ROW], (("manifest.json", b"[]"),), "twice"),
        ([ROW], (("index.json", json.dumps(INDEX).encode()),), "its index has library/debian:trixie"),
        ([], (), "it lacks kmatrix/base"),
        ([{}], (), "holds no images"),
    ],
)
def test_a_file_with_anything_else_is_refused_before_the_engine_sees_it(
    tmp_path: Path, rows: list[Mapping[str, Any]], more: tuple[tuple[str, bytes], ...], said: str
) -> None:
    engine = FakeEngine()
    with pytest.raises(RequestError, match=said):
        load_images(engine, NAMES, hold(tmp_path / "a", *rows, more=more))
    assert engine.list_images() == {}


def test_a_configuration_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    manifest = json.dumps([ROW]).encode()
    path = write_archive(tmp_path / "a", (f"{DIGEST}.json", b"{}"), ("manifest.json", manifest))
    with pytest.raises(RequestError, match="is not what its name says"):
        read_image_ids(path, NAMES)


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240, b"[" * 100_000])
def test_what_is_no_tar_file_of_an_engine_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(RequestError, match="holds no images"):
        read_image_ids(tmp_path / "a", NAMES)


def test_json_without_end_and_members_without_number_are_refused(tmp_path: Path) -> None:
    deep = write_archive(tmp_path / "deep", ("manifest.json", b"[" * 200_000))
    with pytest.raises(RequestError, match="holds no images"):
        read_image_ids(deep, NAMES)
    many = write_archive(tmp_path / "many", *((f"m{number}", b"") for number in range(10_001)))
    with pytest.raises(RequestError, match="more than 10000 members"):
        read_image_ids(many, NAMES)


def test_a_link_in_place_of_the_manifest_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        member = tarfile.TarInfo("manifest.json")
        member.type, member.linkname = tarfile.SYMTYPE, "other.json"
        archive.addfile(member)
        text = json.dumps([ROW]).encode()
        for name, content in (("other.json", text), (f"{DIGEST}.json", CONFIG)):
            other = tarfile.TarInfo(name)
            other.size = len(content)
            archive.addfile(other, io.BytesIO(content))
    with pytest.raises(RequestError, match="holds no images"):
        read_image_ids(tmp_path / "a", NAMES)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read: No such file"):
        load_images(FakeEngine(), NAMES, tmp_path / "gone")
