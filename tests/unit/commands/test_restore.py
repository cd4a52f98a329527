"""What a run was made with, there again: from the cache, fetched anew, or told to be gone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.builder.run_context import Session
from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands import restore
from matrix.commands.restore import restore_session
from matrix.commands.session import Environment
from matrix.engine.image_registry import name_registry_image, push_registry_image
from matrix.engine.images import ensure_base_image
from matrix.errors import RequestError
from matrix.record.events import ProgressNote
from matrix.record.run_model import GitState, Run
from matrix.source.kernel_tree import SourceTree
from tests.fakes.engine import FakeEngine
from tests.unit.commands.run_desk import TWO_LANES, Desk, applying

REGISTRY = "localhost:5000/team"
PATCH = """\
--- a/drivers/vfio/vfio.c
+++ b/drivers/vfio/vfio.c
@@ -1 +1 @@
-int vfio;
+int v;
"""


class Later(Desk):
    """A run that was made, and somebody who wants its parts again."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks(TWO_LANES)
        self.patch = place / "fix.patch"
        self.patch.write_text(PATCH)
        self.kernel.applies = applying

    def ready(self, run: Run) -> Session:
        cache, engine = self.world.cache, self.world.engine
        with restore_session(run, "gcc-14", self.events.append, Environment(engine, cache)) as ready:
            return ready

    def again(self, run: Run) -> SourceTree:
        return self.ready(run).tree

    def publish(self) -> None:
        """Push this machine's images."""
        for tag in [name for name in self.engine.list_images() if not name.startswith("kmatrix/root")]:
            push_registry_image(self.engine, REGISTRY, tag, self.events.append)

    def forget(self) -> None:
        shutil.rmtree(self.place / "cache/sources")

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ProgressNote)]


@pytest.fixture
def later(tmp_path: Path) -> Later:
    return Later(tmp_path)


def test_a_tree_in_the_cache_is_the_runs_own_whatever_became_of_its_source(later: Later) -> None:
    done = later.run()
    shutil.rmtree(later.tree)
    tree = later.again(done)
    assert (tree.digest, tree.version, tree.patches) == (done.source.digest, "6.12.48-rc1", ())
    assert (tree.path / "drivers/vfio/vfio.c").read_text() == "int vfio;\n"


def test_a_tree_that_is_gone_is_fetched_again_with_its_patches(later: Later) -> None:
    done = later.run(patch=[str(later.patch)])
    later.forget()
    tree = later.again(done)
    assert tree.digest == done.source.digest
    assert [patch.name for patch in tree.patches] == ["fix.patch"]
    assert (tree.path / "drivers/vfio/vfio.c").read_text() == "int v;\n"
    assert any("fetching it again" in note for note in later.notes())


def test_a_patched_tree_out_of_the_cache_has_its_patches_named(later: Later) -> None:
    """Lanes tell a patched tree by them."""
    done = later.run(patch=[str(later.patch)])
    assert [patch.name for patch in later.again(done).patches] == ["fix.patch"]


@pytest.mark.parametrize("spoil", ["edit", "remove", "unpatch"])
def test_a_source_that_has_become_another_tree_is_told(later: Later, spoil: str) -> None:
    done = later.run(patch=[str(later.patch)])
    later.forget()
    acts: dict[str, Callable[[], object]] = {
        "edit": lambda: (later.tree / "Kconfig").write_text("edited"),
        "remove": lambda: shutil.rmtree(later.tree),
        "unpatch": later.patch.unlink,
    }
    acts[spoil]()
    with pytest.raises(RequestError) as caught:
        later.again(done)
    assert f"the source of {done.id} is gone" in str(caught.value)
    assert "./inv run" in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "package", "cached", "asked"),
    [
        ("debian:linux-source-6.12", "6.12.48-1", None, "debian:linux-source-6.12=6.12.48-1"),
        ("debian:linux-source-6.12", "6.12.48-1", "6.12.50-1", "debian:linux-source-6.12=6.12.48-1"),
        ("debian:linux-source-6.12", "6.12.48-1", "6.12.48-1", "debian:linux-source-6.12"),
        ("debian:linux-source-6.12=6.12.48-1", "6.12.48-1", None, "debian:linux-source-6.12=6.12.48-1"),
        ("TREE@HEAD", "", None, "TREE@abc123"),
        ("TREE", "", None, "TREE"),
    ],
)
def test_what_moves_is_asked_for_as_it_was_then(
    later: Later, monkeypatch: pytest.MonkeyPatch, spec: str, package: str, cached: str | None, asked: str
) -> None:
    done = later.run()
    git = GitState(commit="abc123", describe="v6.12", dirty=False)
    spec, asked = (text.replace("TREE", str(later.tree)) for text in (spec, asked))
    source = done.source.model_copy(update={"spec": spec, "package": package, "git": git, "digest": "0" * 64})
    assert later.world.cache is not None
    if cached:
        later.world.cache.write_spec_entry(spec, done.source.digest, package=cached)
    specs: list[str] = []

    def fetched(profile: Profile, *_: object) -> SourceTree:
        specs.append(profile.source)
        return SourceTree(profile.source, Path(), "", "f00")

    monkeypatch.setattr(restore, "fetch_source", fetched)
    with pytest.raises(RequestError, match="is another tree now"):
        later.again(done.model_copy(update={"source": source}))
    assert specs == [asked]


def test_an_image_is_the_runs_own_as_long_as_it_is_there(later: Later) -> None:
    done = later.run()
    later.events.clear()
    assert later.ready(done).toolchains == {"gcc-14": done.toolchains["gcc-14"]}
    assert later.notes() == []


def test_an_image_that_is_gone_is_made_from_its_recipe_of_today(later: Later) -> None:
    done = later.run()
    later.engine.remove_image(done.toolchains["gcc-14"].image)
    image = later.ready(done).toolchains["gcc-14"].image_id
    assert later.engine.find_image_id(image) == image
    assert any("The image that this was built with is gone" in note for note in later.notes())


def forget_image(engine: FakeEngine, image_id: str) -> None:
    for name in [name for name, found in engine._ids.items() if found == image_id]:
        engine.remove_image(name)
    assert engine.find_image_id(image_id) is None


def test_an_image_of_a_registry_is_on_record_by_digest_and_fetched_by_it(later: Later) -> None:
    later.publish()
    done = later.run(images=[REGISTRY])
    record = done.toolchains["gcc-14"]
    assert [digest.partition("@")[0] for digest in record.digests] == [f"{REGISTRY}/gcc-14"]
    forget_image(later.engine, record.image_id)
    tag = name_registry_image(REGISTRY, record.image)
    later.engine.shared.images[tag] = "sha256:another"
    assert later.ready(done).toolchains == {"gcc-14": record}
    assert later.engine.shared.asked[-1] == f"pull {record.digests[0]}"


def test_an_image_that_its_registry_lost_is_told_and_made_here(later: Later) -> None:
    later.publish()
    done = later.run(images=[REGISTRY])
    record = done.toolchains["gcc-14"]
    forget_image(later.engine, record.image_id)
    del later.engine.shared.images[record.digests[0]]
    later.engine.shared.asked.clear()
    made = later.ready(done).toolchains["gcc-14"].image_id
    assert later.engine.find_image_id(record.image) == made
    assert any("does not give the image" in note for note in later.notes())
    assert later.engine.shared.asked == [f"pull {record.digests[0]}"]


def test_the_registry_of_a_record_never_gives_a_tag_its_image(later: Later) -> None:
    later.publish()
    done = later.run(images=[REGISTRY])
    record = done.toolchains["gcc-14"]
    forget_image(later.engine, record.image_id)
    later.engine.tag_image(ensure_base_image(later.engine, later.events.append), record.image)
    own = later.engine.find_image_id(record.image)
    assert later.ready(done).toolchains == {"gcc-14": record}
    assert later.engine.find_image_id(record.image) == own


def test_where_no_registry_is_named_none_is_on_record_or_asked(later: Later) -> None:
    later.publish()
    done = later.run()
    assert done.toolchains["gcc-14"].digests == ()
    later.engine.shared.asked.clear()
    forget_image(later.engine, done.toolchains["gcc-14"].image_id)
    later.ready(done)
    assert later.engine.shared.asked == []


def test_a_toolchain_that_has_no_row_any_more_is_told(later: Later) -> None:
    done = later.run()
    gone = done.model_copy(update={"toolchains": {"gcc-9": done.toolchains["gcc-14"]}})
    later.engine.remove_image(done.toolchains["gcc-14"].image)
    cache, engine = later.world.cache, later.world.engine
    with (
        pytest.raises(RequestError, match="the image of gcc-9 is gone, and so is its row"),
        restore_session(gone, "gcc-9", later.events.append, Environment(engine, cache)),
    ):
        pass


def test_the_profile_of_a_run_comes_back_whole(later: Later) -> None:
    done = later.run(patch=[str(later.patch)])
    profile = later.ready(done).profile
    assert (profile.patch, profile.symbols) == ((str(later.patch),), {"VFIO": ("n", "y")})


def test_a_profile_that_cannot_be_read_is_told(later: Later) -> None:
    with pytest.raises(RequestError, match="the profile of this run: shiny: unknown key"):
        parse_recorded_profile({**later.run().profile, "shiny": 1}, "the profile of this run")
