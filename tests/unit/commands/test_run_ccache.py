"""A run whose compilers are called through ccache: another image, a place to keep things, the same make."""

from pathlib import Path

import pytest

from matrix.engine.images import ImageRecipe
from matrix.errors import RequestError
from tests.unit.commands.run_desk import Desk, applying, states

ONE = 'VFIO = ["y"]\n'
PLAIN = ImageRecipe("gcc-14", "gcc", 14)
LAYERED = ImageRecipe("gcc-14", "gcc", 14, with_ccache=True)
ON = ["yes"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.asks(ONE)
    return desk


def test_without_it_nothing_of_it_is_there(desk: Desk) -> None:
    done = desk.run()
    assert done.toolchains["gcc-14"].image == PLAIN.tag
    assert desk.engine.built == {}
    for job in desk.kernel.jobs:
        assert len(job.container.mounts) == 2
        assert not [name for name in job.container.env if name.startswith("CCACHE")]
    assert not (desk.place / "cache/ccache").exists() or not [*(desk.place / "cache/ccache").iterdir()]


def test_with_it_the_image_has_one_more_layer_and_the_commands_are_the_same(desk: Desk) -> None:
    desk.run()
    plain = [(job.command, job.targets) for job in desk.kernel.jobs if not job.configures]
    done = desk.run(ccache=ON)
    record = done.toolchains["gcc-14"]
    assert record.image == LAYERED.tag
    assert record.recipe == LAYERED.dockerfiles
    assert [(job.command, job.targets) for job in desk.kernel.jobs if not job.configures] == plain
    assert states(done) == ["pass"]
    assert len(desk.lanes()) == 2, "objects of the one kind never meet those of the other"
    for job in desk.kernel.jobs:
        assert job.container.env["CCACHE_COMPILERCHECK"] == f"string:{record.image_id}"
        assert job.host("/ccache").parent.parent == desk.place / "cache/ccache"


def test_a_patched_tree_writes_to_a_layer_of_its_own_and_only_reads_the_bases(desk: Desk) -> None:
    desk.run(ccache=ON)
    base = desk.kernel.jobs[0].host("/ccache")
    desk.kernel.applies = applying
    patch = desk.place / "one.patch"
    patch.write_text(
        "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
    )
    desk.run(ccache=ON, patch=[str(patch)])
    mounts = {mount.path: mount for mount in desk.kernel.jobs[-1].container.mounts}
    assert mounts["/ccache"].host != base
    assert mounts["/ccache-1"].host == base
    assert mounts["/ccache-1"].read_only


def test_fresh_takes_nothing_of_it_and_keeps_what_is_compiled(desk: Desk) -> None:
    desk.run(ccache=ON)
    assert all("CCACHE_RECACHE" not in job.container.env for job in desk.kernel.jobs)
    desk.run(ccache=ON, fresh=ON)
    jobs = desk.kernel.ran(configures=False)
    assert jobs
    assert all(job.container.env["CCACHE_RECACHE"] == "1" for job in jobs)
    assert all(job.host("/ccache") for job in jobs)


def test_a_named_image_is_refused_before_any_work(desk: Desk) -> None:
    mine = '[toolchains.gcc-14]\nimage = "mine:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    desk.asks(ONE + mine)
    with pytest.raises(RequestError, match="gcc-14 names an image") as caught:
        desk.run(ccache=ON)
    assert "template" in str(caught.value.hint)
    assert desk.engine.ran == []
