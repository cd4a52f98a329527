"""The story on the real kernel: the test that matters most.

One world for all: the good tree is built first, then, in the same lanes, the broken one with older time
stamps. The source is the one that ``./inv setup`` fetched; lanes and resolutions are this test's own.
"""

import os
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.explain_config import ConfigCheckRequest, explain_config
from matrix.commands.patch import PatchResult
from matrix.commands.patch import evaluate_patch as judge
from matrix.commands.patch_request import PatchRequest as AskedOfPatch
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.images import ensure_base_image
from matrix.findings.finding import Findings
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.events import ProgressEvent
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.mbox.series import read_series
from matrix.source.snapshot import link_tree, list_files
from matrix.verdict.verdict_model import CellFindingStatus, FindingStatus, Transition
from tests.fakes.history import CULPRIT, History
from tests.fakes.scripts import script_of
from tests.minitree import PATCHES

# A fixture of a single test compiles the real kernel, in several lanes and more than once.
pytestmark = [pytest.mark.engine, pytest.mark.kernel, pytest.mark.timeout(1800)]
REGRESSION = PATCHES / "story-regression.patch"
SOURCE = "debian:linux-source-6.12"
BROKEN = {"KVM": "y", "MODULES": "n", "VFIO": "n"}
SAID = {
    "gcc-14": "weak declaration of 'vfio_file_iommu_group' being applied to a already existing, "
    "static definition",
    "clang-19": "attribute declaration must precede definition",
}
PROFILE = """
focus = ["arch/{srcarch}/kvm/", "drivers/vfio/", "lib/math/"]
arch = ["powerpc"]
toolchain = ["gcc-14", "clang-19"]
symbols = { KVM = ["n", "y"], MODULES = ["n", "y"], VFIO = ["n", "y"] }
"""


class Story:
    """Runs of the story's profile in one world."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "cache").mkdir()
        CacheLayout(place / "cache").sources.symlink_to(CacheLayout().sources)
        self.cache = SourceCache(CacheLayout(place / "cache"))
        self.profile = place / "story.toml"
        self.profile.write_text(PROFILE)
        self.events: list[ProgressEvent] = []

    def run(self, *patches: Path, **more: list[str]) -> Run:
        options = {"profile": [str(self.profile)], "source": [SOURCE], **more}
        if patches:
            options["patch"] = [str(patch) for patch in patches]
        world = Environment(connect_engine(), self.cache, self.place / "runs")
        return run_matrix(resolve_profile(options, {}), self.events.append, ["test"], world).run

    def findings(self, done: Run) -> Findings:
        return self.stored(done).findings

    def stored(self, done: Run) -> StoredRun:
        return StoredRun(done, self.place / "runs" / done.id)

    def age_header(self) -> None:
        """Make the broken tree's header older than every object in the lanes."""
        oldest = min(path.stat().st_mtime for path in (self.place / "cache/lanes").rglob("*.o"))
        os.utime(self.broken_tree() / "include/linux/vfio.h", (oldest - 10**6, oldest - 10**6))

    def broken_tree(self) -> Path:
        """The patched tree as the run will find it in the cache."""
        engine = connect_engine()
        tree = fetch_tree(
            SOURCE,
            cache=self.cache,
            engine=engine,
            image=ensure_base_image(engine, self.events.append),
            user=choose_container_user(rootless=engine.query_info().rootless),
            note=lambda _: None,
            patches=read_series(str(REGRESSION)).patches,
        )
        return tree.path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def good(story: Story) -> Run:
    return story.run()


@pytest.fixture(scope="module")
def broken(story: Story, good: Run) -> Run:
    assert good.finished, "the good tree comes first, in the same lanes"
    for lane in (story.place / "cache/lanes").iterdir():
        (lane / "build/left-by-the-test").touch()
    story.age_header()
    return story.run(REGRESSION)


def test_without_the_patch_no_cell_fails(good: Run) -> None:
    assert len(good.cells) == 16
    assert {cell.state for cell in good.cells} <= {State.PASS, State.WARN}


def test_with_it_exactly_the_storys_cells_fail_with_both_compilers(broken: Run) -> None:
    failing = [cell for cell in broken.cells if cell.state is State.FAIL]
    assert [(cell.toolchain, cell.request) for cell in failing] == [("gcc-14", BROKEN), ("clang-19", BROKEN)]
    others = {cell.state for cell in broken.cells if cell.state is not State.FAIL}
    assert others <= {State.PASS, State.WARN}


def test_each_compiler_says_it_in_the_threads_words(broken: Run) -> None:
    for cell in (cell for cell in broken.cells if cell.state is State.FAIL):
        errors = [ref for ref in cell.diagnostics if broken.diagnostics[ref.key].severity == "error"]
        assert errors
        assert {ref.object for ref in errors} == {"virt/kvm/vfio.o"}
        assert {broken.diagnostics[ref.key].message for ref in errors} == {SAID[cell.toolchain]}


def test_both_compilers_messages_are_one_finding_with_its_condition_proven(
    story: Story, good: Run, broken: Run
) -> None:
    assert not [found for found in story.findings(good).findings if found.is_error]
    (found,) = (found for found in story.findings(broken).findings if found.is_error)
    assert found.severity == {"gcc-14": "error", "clang-19": "error"}
    assert found.condition == ({name: (value,) for name, value in BROKEN.items()},)
    assert found.minimal
    assert found.context == {"arch": "powerpc", "base": "defconfig"}
    assert {one.flip: one.has_finding for one in found.proof} == dict.fromkeys(BROKEN, False)
    assert not found.assumes


def test_a_run_of_either_compiler_alone_has_the_same_finding(story: Story, broken: Run) -> None:
    keys = []
    for toolchain in broken.toolchains:
        cells = tuple(cell for cell in broken.cells if cell.toolchain == toolchain)
        alone = story.findings(broken.model_copy(update={"cells": cells}))
        keys.append({key for found in alone.findings if found.is_error for key in found.keys})
    assert keys[0] & keys[1]


def test_the_good_trees_lanes_were_used_and_not_built_anew(story: Story, broken: Run) -> None:
    lanes = sorted((story.place / "cache/lanes").iterdir(), key=lambda lane: len(lane.name))
    assert len(lanes) == 4, "a patched tree has lanes of its own, which start as copies"
    for lane in lanes[2:]:
        assert (lane / "build/left-by-the-test").exists()
        assert f'"tree":"{broken.source.digest}"' in (lane / "lane.json").read_text()


def test_in_the_very_lanes_of_the_good_tree_the_broken_one_fails_though_it_is_older(
    story: Story, broken: Run
) -> None:
    """As a source of its own, not as a patch: so it visits the lanes that built the good tree."""
    story.age_header()
    corner = story.run(source=[str(story.broken_tree())], select=["KVM=y,MODULES=n,VFIO=n"])
    assert corner.source.digest == broken.source.digest
    assert [cell.state for cell in corner.cells] == [State.FAIL, State.FAIL]
    assert len(list((story.place / "cache/lanes").iterdir())) == 4


def test_the_maintainer_who_has_modules_on_is_told_and_gets_his_config_without_them(
    story: Story, broken: Run
) -> None:
    (found,) = (found for found in story.findings(broken).findings if found.is_error)
    his = next(cell for cell in broken.cells if cell.request == {**BROKEN, "MODULES": "y"})
    file = story.place / "his.config"
    file.write_text(str(story.stored(broken).load_config(his)))
    world = Environment(connect_engine(), story.cache, story.place / "runs")
    told = explain_config(story.stored(broken), found, ConfigCheckRequest(file), story.events.append, world)
    assert (told.user_config.arch, told.fit.cell.toolchain) == ("powerpc", "gcc-14")
    assert [(term.axis, term.actual, term.needed) for term in told.fit.missed_terms] == [
        ("MODULES", "y", ("n",))
    ]
    assert told.changed_by_conf == {}
    assert told.change is not None
    assert told.change.file is not None
    changed = Config.parse(told.change.file.read_text())
    assert {name: changed.value_of(name) for name in BROKEN} == BROKEN
    assert Config.parse(file.read_text()).diff(changed).keys() == {"MODULES", *told.change.side_effects}


def judged(story: Story, patch_file: str, select: str = "KVM=y,MODULES=n") -> PatchResult:
    """The verdict on a patch, in the lanes of the broken run: only what it reaches is compiled."""
    options = {"profile": [str(story.profile)], "source": [SOURCE], "select": [select]}
    asked = AskedOfPatch(read_series(str(PATCHES / patch_file)), (str(REGRESSION),), fixes=("F1",))
    world = Environment(connect_engine(), story.cache, story.place / "runs")
    return judge(resolve_profile(options, {}), asked, story.events.append, ["test"], world)


def turned(found: PatchResult, transition: Transition) -> list[tuple[str, dict[str, str]]]:
    cells = (cell for cell in found.verdict.cells if cell.transition is transition)
    return [(cell.toolchain, cell.request) for cell in cells]


@pytest.mark.parametrize(
    ("patch_file", "became"),
    [
        ("story-fix-header.patch", CellFindingStatus.COMPILED),
        ("story-fix-kconfig.patch", CellFindingStatus.NOT_BUILT),
    ],
)
def test_each_of_both_fixes_turns_exactly_the_failing_cells(
    story: Story, broken: Run, patch_file: str, became: CellFindingStatus
) -> None:
    assert broken.finished
    found = judged(story, patch_file)
    assert found.exit_code == 0
    assert turned(found, Transition.FIXED) == [("gcc-14", BROKEN), ("clang-19", BROKEN)]
    assert found.verdict.counts.keys() == {Transition.FIXED, Transition.UNCHANGED}
    fixed = next(row for row in found.verdict.findings if row.before and "F1" in row.before.ids)
    assert (fixed.fate, fixed.became) == (FindingStatus.FIXED, {became: 2})


def test_a_fix_that_silences_one_compiler_is_none(story: Story, broken: Run) -> None:
    assert broken.finished
    found = judged(story, "story-quiet-clang.patch", "KVM=y,MODULES=n,VFIO=n")
    assert found.exit_code == 100
    assert turned(found, Transition.FIXED) == [("clang-19", BROKEN)]
    assert turned(found, Transition.STILL_FAILING) == [("gcc-14", BROKEN)]


def test_a_fix_that_nobody_can_configure_any_more_is_lost(story: Story, broken: Run) -> None:
    assert broken.finished
    found = judged(story, "story-needs-modules.patch", "KVM=y,MODULES=n,VFIO=n")
    assert found.exit_code == 100
    assert turned(found, Transition.LOST) == [("gcc-14", BROKEN), ("clang-19", BROKEN)]
    assert turned(found, Transition.FIXED) == []


def test_a_fix_that_breaks_another_cell_is_told_by_that(story: Story, broken: Run) -> None:
    assert broken.finished
    found = judged(story, "story-breaks-another.patch", "KVM=y,VFIO=n")
    another = {**BROKEN, "MODULES": "y"}
    assert found.exit_code == 100
    assert turned(found, Transition.BROKEN) == [("gcc-14", another), ("clang-19", another)]
    assert turned(found, Transition.FIXED) == [("gcc-14", BROKEN), ("clang-19", BROKEN)]


def test_the_reproducer_given_to_git_bisect_finds_the_commit(
    story: Story, good: Run, broken: Run, tmp_path: Path
) -> None:
    """As it is, over the last commits of a history: the miniature tree's is bisected as a whole."""
    cached = story.cache.find(good.source.digest)
    assert cached is not None
    link_tree(cached.path, [file.path for file in list_files(cached.path)], tmp_path / "tree")
    history = History(tmp_path / "tree", REGRESSION)
    (found,) = (found for found in story.findings(broken).findings if found.is_error)
    script = tmp_path / "repro.sh"
    stored = story.stored(broken)
    script.write_text(script_of(stored, stored.list_affected_cells(found)[0], found))
    said = history.bisect(
        "sh", str(script), "--build", str(tmp_path / "build"), good="KVM does not need MODULES"
    )
    assert f"{history.commits[CULPRIT]} is the first bad commit" in said
