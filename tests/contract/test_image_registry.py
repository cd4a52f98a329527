"""Images by way of a registry: the same cases on the fake one with the fake engine, and on Debian's
``docker-registry`` with each real engine of the table."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from matrix.engine.image_registry import (
    ensure_registry_image,
    name_registry_image,
    pull_recorded_image,
    push_registry_image,
)
from matrix.engine.protocol import Engine
from matrix.errors import EngineError, RegistryError, RequestError
from tests.engines import REAL_ENGINES, open_engine
from tests.fakes.engine import FakeEngine
from tests.registries import open_registry, write_login

FAKE_PREFIX = "localhost:5000/kmatrix-test"


@dataclass
class Bench:
    """An engine with a small root file system, and a registry. ``names`` are all that images get."""

    engine: Engine
    prefix: str
    root: str
    names: set[str]

    def build(self, word: str, tag: str = "") -> str:
        """Build an image of a tag of its own, or of this one, which differs in a word; its tag."""
        tag = tag or f"kmatrix/contract-{uuid4().hex[:12]}:0123456789ab"
        self.names |= {tag, name_registry_image(self.prefix, tag)}
        files = {"Dockerfile": f"FROM {self.root}\nENV WORD={word}\n"}
        self.engine.build_image(tag, files, lambda _: None)
        return tag

    def push(self, tag: str) -> str:
        digest = push_registry_image(self.engine, self.prefix, tag, lambda _: None)
        self.names.add(digest)
        return digest

    def ensure(self, tag: str) -> str:
        return ensure_registry_image(self.engine, self.prefix, tag, lambda _: None)

    def forget(self, tag: str) -> None:
        """Be another machine: one that has never had the image."""
        image_id = self.engine.find_image_id(tag)
        for name in (name_registry_image(self.prefix, tag), *self.names, tag):
            if self.engine.find_image_id(name) == image_id:
                self.engine.remove_image(name)
        assert image_id is not None
        assert self.engine.find_image_id(image_id) is None


@pytest.fixture(params=["fake", *REAL_ENGINES])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    root = f"kmatrix/contract-root-{uuid4().hex[:12]}:1"
    if request.param == "fake":
        yield Bench(FakeEngine(images=[root]), FAKE_PREFIX, root, set())
        return
    engine = open_engine(request.param)
    with open_registry(tmp_path) as registry:
        bench = Bench(engine, registry.prefix, root, set())
        import_root(engine, root, tmp_path)
        try:
            yield bench
        finally:
            # By their ids: by the digest of an earlier push Podman finds an image, and cannot remove it.
            ids = {engine.find_image_id(name) for name in bench.names} - {None}
            for ref in (*map(str, ids), root):
                engine.remove_image(ref)


def import_root(engine: Engine, name: str, place: Path) -> None:
    (place / "file").write_text("an image of one file")
    with tarfile.open(place / "root.tar", "w") as archive:
        archive.add(place / "file", "file")
    engine.import_rootfs(place / "root.tar", name)


def test_what_was_pushed_is_pulled_as_it_was(bench: Bench) -> None:
    tag = bench.build("one")
    built = bench.engine.find_image_id(tag)
    digest = bench.push(tag)
    bench.forget(tag)
    assert bench.ensure(tag) == built == bench.engine.find_image_id(tag)
    image = bench.engine.inspect_image(tag)
    assert image is not None
    assert image.recipe == tag
    assert digest in image.digests


def test_the_very_image_of_a_record_is_pulled_by_its_digest(bench: Bench) -> None:
    tag = bench.build("one")
    built = bench.engine.find_image_id(tag)
    assert built is not None
    digest = bench.push(tag)
    bench.forget(tag)
    pull_recorded_image(bench.engine, bench.prefix, [digest], built, lambda _: None)
    assert bench.engine.find_image_id(built) == built
    with pytest.raises(EngineError, match="does not give the image"):
        pull_recorded_image(bench.engine, bench.prefix, [digest], "sha256:" + "0" * 64, lambda _: None)


def test_a_second_push_changes_nothing_and_another_build_is_refused(bench: Bench) -> None:
    tag = bench.build("one")
    first, digest = bench.engine.find_image_id(tag), bench.push(tag)
    assert bench.push(tag).partition("@")[0] == digest.partition("@")[0]
    bench.build("two", tag)
    with pytest.raises(RequestError, match="has another build"):
        bench.push(tag)
    assert bench.ensure(tag) == first == bench.engine.find_image_id(tag)


def test_an_image_under_another_s_tag_is_refused_and_not_kept(bench: Bench) -> None:
    tag, other = bench.build("one"), "kmatrix/contract-other:0123456789ab"
    name = name_registry_image(bench.prefix, other)
    bench.engine.tag_image(tag, name)
    bench.engine.push_image(name)
    bench.engine.remove_image(name)
    with pytest.raises(EngineError, match=f"is not the one of {other}"):
        bench.ensure(other)
    assert bench.engine.find_image_id(name) is None


def test_what_a_registry_has_not_is_said_to_be_missing(bench: Bench) -> None:
    with pytest.raises(RegistryError, match="has no image") as caught:
        bench.ensure("kmatrix/contract-none:0123456789ab")
    assert caught.value.is_missing
    assert "./inv images --push" in caught.value.hint


@pytest.mark.parametrize("name", REAL_ENGINES)
def test_who_is_not_logged_in_is_told_to_and_who_is_gets_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, root = open_engine(name), f"kmatrix/contract-root-{uuid4().hex[:12]}:1"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with open_registry(tmp_path, locked=True) as registry:
        bench = Bench(engine, registry.prefix, root, set())
        import_root(engine, root, tmp_path)
        try:
            tag = bench.build("one")
            with pytest.raises(RegistryError, match="it refuses") as caught:
                bench.push(tag)
            assert f"login {registry.host}" in caught.value.hint
            write_login(registry, tmp_path)
            assert bench.push(tag).startswith(registry.prefix)
        finally:
            for ref in (*sorted(bench.names), root):
                engine.remove_image(ref)
