"""Images in a file: what is loaded is what was saved, and a stranger's file brings nothing besides."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def test_both_layouts_of_a_configuration_are_read(tmp_path: Path) -> None:
    row = {"Config": f"blobs/sha256/{DIGEST}", "RepoTags": NAMES}
    manifest = json.dumps([row]).encode()
    path = write_archive(tmp_path / "a", (f"blobs/sha256/{DIGEST}", CONFIG), ("manifest.json", manifest))
    assert read_image_ids(path, NAMES) == dict.fromkeys(NAMES, f"sha256:{DIGEST}")


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
