"""Images in a registry: every machine gets the one that was pushed, or is told why not, and builds none."""

from typing import Any

import pytest

from matrix.catalog.types import ROOT_IMAGE
from matrix.engine import images
from matrix.engine.image_registry import (
    ensure_registry_image,
    list_registry_digests,
    name_registry_image,
    pull_recorded_image,
    push_registry_image,
)
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.protocol import ImageDescription
from matrix.errors import EngineError, RegistryError, RequestError
from matrix.record.events import ProgressEvent, ProgressNote
from tests.fakes.engine import FakeEngine, FakeRegistry

REGISTRY = "localhost:5000/team"
GCC = ImageRecipe("gcc-14", "gcc", 14)
NAME = f"{REGISTRY}/{GCC.tag.removeprefix('kmatrix/')}"


class Heard:
    """What was said meanwhile."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, event: ProgressEvent) -> None:
        if isinstance(event, ProgressNote):
            self.notes.append(event.text)


def machine(shared: FakeRegistry) -> FakeEngine:
    return FakeEngine(registry=[ROOT_IMAGE.upstream], shared=shared)


def built(shared: FakeRegistry, packages: str = "") -> FakeEngine:
    """A machine that has built the image of GCC, with the packages of its day."""
    engine = machine(shared)
    engine.packages = packages
    images.ensure_toolchain_image(engine, GCC, Heard())
    return engine


@pytest.fixture
def shared() -> FakeRegistry:
    return FakeRegistry()


def push(engine: FakeEngine) -> str:
    return push_registry_image(engine, REGISTRY, GCC.tag, Heard())


def ensure(engine: FakeEngine, heard: Heard | None = None) -> str:
    return images.ensure_toolchain_image(engine, GCC, heard or Heard(), registry=REGISTRY)


def test_the_tag_in_a_registry_is_that_of_the_recipe() -> None:
    assert name_registry_image("r.example/a/b", "kmatrix/gcc-14:0123456789ab") == (
        "r.example/a/b/gcc-14:0123456789ab"
    )


class TestPull:
    def test_another_machine_gets_the_very_image_and_builds_nothing(self, shared: FakeRegistry) -> None:
        here, there, heard = built(shared), machine(shared), Heard()
        push(here)
        there.packages = "newer"
        assert ensure(there, heard) == here.find_image_id(GCC.tag) == there.find_image_id(GCC.tag)
        assert there.built == {}
        assert heard.notes == [f"Pulling the image {NAME}.", f"Pulled the image {NAME}."]

    def test_the_base_comes_from_there_too(self, shared: FakeRegistry) -> None:
        here, there = built(shared), machine(shared)
        push_registry_image(here, REGISTRY, compute_base_tag(), Heard())
        found = images.ensure_base_image(there, Heard(), registry=REGISTRY)
        assert found == here.find_image_id(compute_base_tag()) == there.find_image_id(compute_base_tag())
        assert there.built == {}

    def test_one_that_is_there_is_asked_for_no_more(self, shared: FakeRegistry) -> None:
        push(built(shared))
        there = machine(shared)
        first = ensure(there)
        shared.fault, heard = "connection refused", Heard()
        assert ensure(there, heard) == first
        assert heard.notes == []

    def test_one_that_was_built_here_gives_way_and_that_is_said(self, shared: FakeRegistry) -> None:
        here, there, heard = built(shared, "old"), built(shared, "new"), Heard()
        push(here)
        assert there.find_image_id(GCC.tag) != here.find_image_id(GCC.tag)
        assert ensure(there, heard) == here.find_image_id(GCC.tag) == there.find_image_id(GCC.tag)
        assert "no longer what was built here" in heard.notes[-1]

    def test_where_it_is_not_there_the_tag_is_said_and_how_to_push_it(self, shared: FakeRegistry) -> None:
        engine = built(shared)
        engine.built.clear()
        with pytest.raises(RegistryError, match="none is built where a registry is named") as caught:
            ensure(engine)
        assert NAME in str(caught.value)
        assert f"./inv images --push {REGISTRY}" in caught.value.hint
        assert engine.built == {}

    @pytest.mark.parametrize(
        ("fault", "words", "hint"),
        [
            ("no basic auth credentials", "it refuses", "fake login localhost:5000"),
            ("dial tcp: lookup r: no such host", "it does not answer", "is at work"),
            ("http: server gave HTTP response to HTTPS client", "no TLS", "insecure-registries"),
            ("x509: certificate signed by unknown authority", "certificate", "certs.d/localhost:5000/ca.crt"),
            ("write /x: no space left on device", "the disk is full", "./inv sweep"),
        ],
    )
    def test_a_fault_is_said_with_a_way_out(
        self, shared: FakeRegistry, fault: str, words: str, hint: str
    ) -> None:
        shared.fault = fault
        with pytest.raises(RegistryError, match=words) as caught:
            ensure(machine(shared))
        assert hint in caught.value.hint
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize("recipe", ["kmatrix/gcc-14:ffffffffffff", "none of kmatrix's"])
    def test_an_image_of_another_recipe_is_refused_and_not_kept(
        self, shared: FakeRegistry, recipe: str
    ) -> None:
        engine = machine(shared)
        if recipe.startswith("kmatrix/"):
            images.ensure_base_image(engine, Heard())
            shared.images[NAME] = engine.build_image(
                recipe, {"Dockerfile": f"FROM {compute_base_tag()}\n"}, lambda _: None
            )
        else:
            shared.images[NAME] = FakeEngine(images=["debian:1"])._ids["debian:1"]
        with pytest.raises(EngineError, match=f"is not the one of {GCC.tag}"):
            ensure(engine)
        assert engine.find_image_id(NAME) is None
        assert engine.find_image_id(GCC.tag) is None

    def test_an_image_that_is_gone_when_it_was_pulled_is_the_engines_error(
        self, shared: FakeRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FakeEngine, "pull_image", lambda *_: None)
        with pytest.raises(EngineError, match="has no such image"):
            ensure(machine(shared))


class TestPush:
    def test_it_says_what_the_image_is_called_there(self, shared: FakeRegistry) -> None:
        engine = built(shared)
        digest = push(engine)
        assert digest.startswith(f"{REGISTRY}/gcc-14@sha256:")
        assert shared.images[digest] == shared.images[NAME] == engine.find_image_id(GCC.tag)

    def test_one_that_is_there_is_not_pushed_again(self, shared: FakeRegistry) -> None:
        engine, heard = built(shared), Heard()
        digest = push(engine)
        shared.asked.clear()
        assert push_registry_image(engine, REGISTRY, GCC.tag, heard) == digest
        assert [words.split()[0] for words in shared.asked] == ["pull"]
        assert "already" in heard.notes[-1]

    def test_another_build_of_the_recipe_is_not_replaced(self, shared: FakeRegistry) -> None:
        push(built(shared, "old"))
        before = dict(shared.images)
        with pytest.raises(RequestError, match="has another build") as caught:
            push(built(shared, "new"))
        assert f"./inv images --images {REGISTRY}" in caught.value.hint
        assert shared.images == before

    def test_a_push_that_fails_leaves_no_name_that_says_it_is_there(
        self, shared: FakeRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = built(shared)

        def interrupt(*_: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(FakeRegistry, "take", interrupt)
        with pytest.raises(KeyboardInterrupt):
            push(engine)
        assert engine.find_image_id(NAME) is None
        assert engine.find_image_id(GCC.tag)

    def test_a_registry_that_gives_something_else_back_is_said(
        self, shared: FakeRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine, take = built(shared), FakeRegistry.take

        def garble(self: FakeRegistry, ref: str, image_id: str) -> str:
            digest = take(self, ref, image_id)
            self.images = dict.fromkeys(self.images, FakeEngine(images=["x:1"])._ids["x:1"])
            return digest

        monkeypatch.setattr(FakeRegistry, "take", garble)
        with pytest.raises(EngineError, match="was pushed"):
            push(engine)
        assert engine.find_image_id(NAME) is None

    def test_a_registry_that_refuses_is_not_taken_for_one_that_is_empty(self, shared: FakeRegistry) -> None:
        shared.fault = "denied: requested access to the resource is denied"
        with pytest.raises(RegistryError, match="refuses"):
            push(built(shared))
        assert shared.asked == [f"pull {NAME}"]

    def test_an_image_of_an_earlier_kmatrix_gets_its_label_first(self, shared: FakeRegistry) -> None:
        engine, heard = FakeEngine(images=[GCC.tag], shared=shared), Heard()
        before = engine.find_image_id(GCC.tag)
        push_registry_image(engine, REGISTRY, GCC.tag, heard)
        assert engine.find_image_id(GCC.tag) != before
        assert "An earlier kmatrix built" in heard.notes[0]
        assert ensure(machine(shared)) == engine.find_image_id(GCC.tag)

    def test_what_is_not_here_is_not_pushed(self, shared: FakeRegistry) -> None:
        with pytest.raises(EngineError, match="there is no image"):
            push(machine(shared))


class TestRecorded:
    def record(self, shared: FakeRegistry) -> dict[str, Any]:
        engine = built(shared, "old")
        return {"digests": [push(engine)], "image_id": str(engine.find_image_id(GCC.tag))}

    def pull(self, engine: FakeEngine, **record: Any) -> None:
        pull_recorded_image(engine, REGISTRY, record["digests"], record["image_id"], Heard())

    def test_it_is_fetched_by_digest_also_when_its_tag_has_moved_on(self, shared: FakeRegistry) -> None:
        record = self.record(shared)
        shared.images[NAME] = "sha256:other"
        engine = machine(shared)
        self.pull(engine, **record)
        assert engine.find_image_id(record["image_id"]) == record["image_id"]
        assert shared.asked[-1] == f"pull {record['digests'][0]}"

    def test_a_digest_of_another_image_than_the_record_says_is_told(self, shared: FakeRegistry) -> None:
        record = self.record(shared)
        with pytest.raises(EngineError, match="does not give the image sha256:0") as caught:
            self.pull(machine(shared), digests=record["digests"], image_id="sha256:0")
        assert f"{record['digests'][0]} is {record['image_id']}" in str(caught.value)

    def test_no_other_registry_is_asked_whatever_the_record_names(self, shared: FakeRegistry) -> None:
        with pytest.raises(EngineError, match="the record does not say"):
            self.pull(machine(shared), digests=["evil.example/x@sha256:0"], image_id="sha256:0")
        assert shared.asked == []

    def test_one_that_is_gone_there_is_told(self, shared: FakeRegistry) -> None:
        with pytest.raises(EngineError, match="it has no such image"):
            self.pull(machine(shared), digests=[f"{REGISTRY}/gcc-14@sha256:0"], image_id="sha256:0")


@pytest.mark.parametrize(
    ("registry", "digest"),
    [
        ("localhost:5000/team", "localhost:5000/team/gcc-14@sha256:1"),
        ("docker.io/team", "team/gcc-14@sha256:1"),
    ],
)
def test_digests_are_those_of_the_registry_in_its_own_words(registry: str, digest: str) -> None:
    known = ("kmatrix/gcc-14@sha256:1", "localhost:5000/team/gcc@sha256:1", "odd", digest)
    found = list_registry_digests(ImageDescription("sha256:0", digests=known), registry, "kmatrix/gcc-14:1")
    assert found == [f"{registry}/gcc-14@sha256:1"]


def test_an_image_is_taken_by_its_name_there_as_long_as_the_engine_has_it(shared: FakeRegistry) -> None:
    """A build by hand that took our tag since changes nothing."""
    push(built(shared))
    there = machine(shared)
    first = ensure_registry_image(there, REGISTRY, GCC.tag, Heard())
    images.ensure_base_image(there, Heard())
    there.build_image(GCC.tag, {"Dockerfile": f"FROM {compute_base_tag()}\n"}, lambda _: None)
    assert ensure(there) == first == there.find_image_id(GCC.tag)
