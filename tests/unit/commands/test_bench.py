"""The bench on the fake engine: every way builds the same cells with the same targets and jobs."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from matrix.bench_times import BenchTable, CaseRow, Compilations
from matrix.cache_layout import CacheLayout
from matrix.commands.bench import run_bench
from matrix.commands.bench_cases import CASES
from matrix.commands.bench_request import parse_bench_request
from matrix.commands.bench_runs import count_compilations, list_remembered_objects, sum_make_seconds
from matrix.commands.bench_ways import TUXMAKE_REQUIREMENT, find_tuxmake
from matrix.commands.settings import resolve_profile
from matrix.engine.images import ImageRecipe
from matrix.engine.protocol import ContainerResult
from matrix.errors import InterruptedRunError, MachineError, RejectedPatchError, RequestError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignDirectory
from matrix.memory.store import Entry, MemoryStore, WrittenEntry
from matrix.record.events import ProgressNote
from matrix.record.run_model import StageRecord
from matrix.record.states import Evidence, State
from matrix.source.cache import SourceCache
from tests.fakes.kernel import Job
from tests.fakes.runs import a_cell, a_run
from tests.unit.commands.run_desk import ERROR, PROFILE, TWO_LANES, VFIO, Desk, always

ROOT = Path(__file__).parents[3]
WAYS = ("cache", "fresh", "kept")
HEADER = "include/linux/kvm_host.h"
NO_REPOSITORY = {**os.environ, "GIT_CEILING_DIRECTORIES": "/"}
STUB = """\
#!/usr/bin/env python3
import json, pathlib, sys
words = sys.argv[1:]
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
build = pathlib.Path(words[words.index("--build-dir") + 1])
asked = [words[n + 1] for n, word in enumerate(words) if word == "--kconfig-add"]
(build / ".config").write_text("".join(f"{line}\\n" for line in asked) + ADDED)
sys.exit(EXIT)
"""


def apply_on_host(job: Job) -> int:
    """Apply the patches of the container to the copies of the files that they touch."""
    for patch in sorted(job.host("/patches").iterdir()):
        applied = subprocess.run(
            ["git", "apply", str(patch)], cwd=job.host("/work"), env=NO_REPOSITORY, check=False
        )
        if applied.returncode:
            job.say(f"rejected={patch.name}")
            return 3
    return 0


class Track(Desk):
    """A user's kmatrix with a tuxmake that only notes how it was called."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.stopped: list[BenchTable] = []
        self.asks(TWO_LANES)
        self.kernel.applies = apply_on_host
        (self.tree / HEADER).write_text("#ifndef H\n#define H\n#endif\n")
        self.install_tuxmake()
        docker = place / "bin/docker"
        docker.write_text("#!/bin/sh\n")
        docker.chmod(0o755)

    def install_tuxmake(self, exit_code: int = 0, added: str = "") -> None:
        program = self.place / "bin/tuxmake"
        program.parent.mkdir(exist_ok=True)
        program.write_text(STUB.replace("EXIT", str(exit_code)).replace("ADDED", repr(added)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    @property
    def tuxmake_calls(self) -> list[list[str]]:
        calls = self.place / "bin/calls"
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    def measure(self, *cases: str, against: str = "tuxmake,fresh,kept", **more: str) -> BenchTable:
        options = {"repeat": "1", "sample": "0", "next_spec": "", **more}
        request = parse_bench_request([",".join(cases)], [against], **options)
        self.kernel.jobs.clear()
        profile = resolve_profile(self._settled({}), {})
        return run_bench(profile, request, self._tell, self.stopped.append, ["test"], self.world)

    def note(self) -> list[str]:
        """What is said from now on."""
        notes: list[str] = []
        self.on_event = lambda event: notes.append(event.text) if isinstance(event, ProgressNote) else None
        return notes

    def fail_in_patched_tree(self, error: BaseException) -> None:
        """Let every build of a tree with the bench's patch end so."""

        def fail(job: Job) -> None:
            if "kmatrix_bench_" in (job.host("/src") / "virt/kvm/vfio.c").read_text():
                raise error

        self.kernel.before = fail

    def builds(self) -> list[Job]:
        return self.kernel.ran(configures=False)

    def builds_in(self, name: str) -> list[Job]:
        """Those in a build directory of this way's; kmatrix's own are in its ``cache``."""
        return [job for job in self.builds() if name in job.host("/build").parts]


@pytest.fixture
def track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Track:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/nowhere/python")
    return Track(tmp_path)


def settled(profile: dict[str, object]) -> set[str]:
    """The keys of a profile on record that say anything."""
    return {name for name, value in profile.items() if value}


def store_objects(directory: Path, paths: list[str]) -> str:
    """Keep a list of objects beside a run, as its own are; its digest."""
    text = "".join(f"{path}\n" for path in paths)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (directory / "objects").mkdir(exist_ok=True)
    (directory / f"objects/{digest}").write_text(text)
    return digest


def row_of(table: BenchTable, name: str = "first") -> CaseRow:
    return next(row for row in table.rows if row.name == name)


def words_after(call: list[str], option: str) -> list[str]:
    return [call[number + 1] for number, word in enumerate(call) if word == option]


# --- the same work


def test_every_way_builds_the_same_cells_with_the_same_targets_and_jobs(track: Track) -> None:
    row = row_of(track.measure("first"))
    assert row.cells == 2
    assert [(way.way, way.built, way.unlike) for way in row.ways] == [
        ("tuxmake", 2, 0),
        ("fresh", 2, 0),
        ("kept", 2, 0),
    ]
    own = track.builds_in("cache")
    assert [job.targets for job in own] == [("drivers/vfio/",)] * 2
    for name in ("fresh", "kept"):
        made = track.builds_in(name)
        assert [job.cell for job in made] == [job.cell for job in own]
        assert [job.command for job in made] == [job.command for job in own]
        assert {job.container.image for job in made} == {job.container.image for job in own}
        assert {job.host("/src") for job in made} == {job.host("/src") for job in own}
    calls = track.tuxmake_calls
    assert [words_after(call, "--make-target") for call in calls] == [["drivers/vfio/"]] * 2
    assert [words_after(call, "--jobs") for call in calls] == [["2"]] * 2
    assert [words_after(call, "--kconfig-add") for call in calls] == [["CONFIG_VFIO=n"], ["CONFIG_VFIO=y"]]
    assert {words_after(call, "--directory")[0] for call in calls} == {str(own[0].host("/src"))}


def test_make_gets_the_configurations_that_the_tree_s_conf_made(track: Track) -> None:
    seen: dict[str, list[str]] = {name: [] for name in WAYS}

    def look(job: Job) -> None:
        for name, texts in seen.items():
            if not job.configures and name in job.host("/build").relative_to(track.place).parts[3:]:
                texts.append((job.host("/build") / ".config").read_text())

    track.kernel.before = look
    track.measure("first", against="fresh,kept")
    assert ["CONFIG_VFIO=y" in text for text in seen["cache"]] == [False, True]
    assert seen["fresh"] == seen["kept"] == seen["cache"]


def test_tuxmake_is_told_the_image_by_its_name_and_the_arch_as_it_calls_it(track: Track) -> None:
    track.measure("first", against="tuxmake")
    call = track.tuxmake_calls[0]
    assert words_after(call, "--image") == [ImageRecipe("gcc-14", "gcc", 14).tag]
    assert words_after(call, "--runtime") == ["docker-local"]
    assert words_after(call, "--target-arch") == ["x86_64"]
    assert words_after(call, "--toolchain") == ["gcc"]
    assert words_after(call, "--kconfig") == ["defconfig"]
    assert "config" in call
    assert not [word for word in call if word.startswith(("ARCH=", "CROSS_COMPILE="))]


def test_clang_s_make_variables_reach_tuxmake(track: Track) -> None:
    track.asks('VFIO = ["y"]\n', PROFILE.replace("gcc-14", "clang-19"))
    track.measure("first", against="tuxmake")
    (call,) = track.tuxmake_calls
    assert words_after(call, "--toolchain") == ["clang"]
    assert "LLVM=1" in call


def test_fresh_make_has_an_empty_directory_each_time_and_kept_make_has_one(track: Track) -> None:
    seen: dict[str, list[bool]] = {"fresh": [], "kept": []}

    def look(job: Job) -> None:
        for name, found in seen.items():
            if not job.configures and name in job.host("/build").parts:
                found.append((job.host("/build") / "drivers").exists())

    track.kernel.before = look
    track.asks('GROUP = ["n", "y"]\n', PROFILE.replace("[symbols]", 'fixed = { VFIO = "y" }\n[symbols]'))
    track.measure("first", against="fresh,kept")
    assert seen == {"fresh": [False, False], "kept": [False, True]}


def test_the_ratio_is_of_the_times_that_were_measured(track: Track) -> None:
    row = row_of(track.measure("first", against="fresh"))
    (way,) = row.ways
    assert way.ratio
    assert way.seconds
    assert way.ratio.median == pytest.approx(row.seconds[0] / way.seconds)


def test_a_request_that_only_repeats_a_configuration_is_built_once_by_every_way(track: Track) -> None:
    knobs = "[knobs.TWIN.x86]\nn = { set = {}, proof = {} }\ny = { set = {}, proof = {} }\n"
    track.asks(f'TWIN = ["n", "y"]\nVFIO = ["n", "m", "y"]\n{knobs}')
    row = row_of(track.measure("first", against="fresh"))
    # Of six requests: m is none without MODULES, and TWIN changes nothing.
    assert row.cells == 2
    assert len(track.builds_in("fresh")) == 2


# --- what ended otherwise


def test_what_fails_everywhere_is_the_same_work(track: Track) -> None:
    track.says(VFIO, always(ERROR))
    track.asks('VFIO = ["y"]\n')
    track.install_tuxmake(2)
    row = row_of(track.measure("first"))
    assert [(way.built, way.unlike) for way in row.ways] == [(1, 0)] * 3


@pytest.mark.parametrize("fails", [True, False])
def test_no_way_makes_modules_of_a_kernel_that_failed(track: Track, *, fails: bool) -> None:
    track.says(VFIO, always(*[ERROR] * fails))
    track.asks(
        'MODULES = ["y"]\nVFIO = ["y"]\n', PROFILE.replace("lanes = 1", 'lanes = 1\nstage = "modules"')
    )
    track.measure("first", against="fresh,kept")
    made = {name: [job.targets for job in track.builds_in(name)] for name in WAYS}
    assert (("modules",) in made["cache"]) == (not fails)
    assert made["fresh"] == made["kept"] == made["cache"]


def test_a_build_that_ended_otherwise_is_not_counted(track: Track) -> None:
    track.install_tuxmake(2)
    (way,) = row_of(track.measure("first", against="tuxmake")).ways
    assert (way.built, way.unlike, way.ratio) == (0, 2, None)


def test_a_build_of_another_configuration_is_not_counted(track: Track) -> None:
    track.install_tuxmake(added="CONFIG_DEBUG_INFO=y\n")
    (way,) = row_of(track.measure("first", against="tuxmake")).ways
    assert (way.built, way.unlike) == (0, 2)


def test_a_tuxmake_that_cannot_build_ends_the_bench(track: Track) -> None:
    track.install_tuxmake(1)
    with pytest.raises(MachineError, match="tuxmake could not build x86/gcc-14"):
        track.measure("first", against="tuxmake")


def test_a_cell_that_kmatrix_could_not_try_ends_the_bench(track: Track) -> None:
    def starve(job: Job) -> ContainerResult | None:
        return None if job.configures else ContainerResult(exit=137, seconds=1.0, timed_out=True)

    track.kernel.before = starve
    with pytest.raises(MachineError, match="kmatrix itself could not try"):
        track.measure("first", against="fresh")


def test_ccache_helps_kmatrix_alone(track: Track) -> None:
    recipe = ImageRecipe("gcc-14", "gcc", 14, with_ccache=True)
    track.engine.registry.add(recipe.tag)
    track.engine.pull_image(recipe.tag)
    track.asks(TWO_LANES, PROFILE.replace("[symbols]", "ccache = true\n[symbols]"))
    track.measure("first", against="fresh,kept")
    with_it = {name: {"CCACHE_DIR" in job.container.env for job in track.builds_in(name)} for name in WAYS}
    assert with_it == {"cache": {True}, "fresh": {False}, "kept": {False}}


def test_ccache_is_asked_for_in_the_whole_kernel_as_well(track: Track) -> None:
    case = next(case for case in CASES if case.name == "vmlinux")
    asked = resolve_profile(track._settled({"ccache": ["yes"]}), {})
    assert case.adapt_profile(asked).ccache
    assert not case.adapt_profile(asked.model_copy(update={"ccache": False})).ccache


def test_what_would_leave_something_unbuilt_or_forget_it_is_not_asked_for(track: Track) -> None:
    settings = 'fresh = true\ndeadline = "1s"\nfail-fast = true\n'
    track.asks(TWO_LANES, PROFILE.replace("[symbols]", f"{settings}[symbols]"))
    track.says(VFIO, always(ERROR))
    (row,) = track.measure("again", against="fresh").rows
    assert (row.cells, row.compilations.compiled) == (2, 0)
    profiles = [
        json.loads((run / "run.json").read_text())["profile"]
        for run in (track.place / "runs").glob("*/runs/*")
    ]
    assert not any({"fresh", "deadline", "fail_fast", "fail-fast"} & settled(used) for used in profiles)


def test_tuxmake_without_docker_is_refused_before_anything_is_built(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "docker" else f"/usr/bin/{name}")
    with pytest.raises(RequestError, match="tuxmake needs the program docker"):
        track.measure("first", against="fresh,tuxmake")
    assert track.kernel.jobs == []


# --- what ends it


def test_a_case_is_told_as_soon_as_it_is_measured(track: Track) -> None:
    notes = track.note()
    track.measure("first", "again", against="fresh")
    rows = [number for number, text in enumerate(notes) if ": kmatrix " in text and "; fresh " in text]
    assert [notes[number].split(":")[0] for number in rows] == ["first", "again"]
    assert "2 cells; fresh" in notes[rows[0]]
    assert ", ratio 0." in notes[rows[0]] or ", ratio " in notes[rows[0]]
    assert not any(text.startswith("again") for text in notes[: rows[0]])


def test_what_was_measured_is_kept_when_a_later_case_fails(track: Track) -> None:
    track.fail_in_patched_tree(MachineError("the disk is full"))
    with pytest.raises(MachineError, match="the disk is full"):
        track.measure("first", "source", against="fresh", sample="1")
    (table,) = track.stopped
    (row,) = table.rows
    assert (row.name, [way.way for way in row.ways if way.ratio]) == ("first", ["fresh"])


def test_what_was_measured_is_kept_when_the_user_interrupts(track: Track) -> None:
    track.fail_in_patched_tree(KeyboardInterrupt())
    with pytest.raises((KeyboardInterrupt, InterruptedRunError)):
        track.measure("first", "source", against="fresh")
    (table,) = track.stopped
    assert [row.name for row in table.rows] == ["first"]


def test_a_way_that_fails_leaves_kmatrix_s_own_time(track: Track) -> None:
    track.install_tuxmake(1)
    with pytest.raises(MachineError, match="tuxmake could not build"):
        track.measure("first", against="fresh,tuxmake")
    ((row,),) = (table.rows for table in track.stopped)
    assert len(row.seconds) == 1
    assert [way.ratio is not None for way in row.ways] == [True, False]


def test_where_no_cell_can_be_built_it_is_said(track: Track) -> None:
    track.asks('VFIO = ["m"]\n')
    with pytest.raises(RequestError, match="no cell of the bench can be built: all 1 requests") as caught:
        track.measure("first", against="kept", sample="4")
    assert "VFIO=m" in str(caught.value)
    assert track.stopped == []


# --- what was there before


def test_first_finds_nothing_that_was_ever_built(track: Track) -> None:
    track.run()
    row = row_of(track.measure("first", against="fresh", repeat="2"))
    assert len(row.seconds) == 2
    assert [job.targets for job in track.builds_in("cache")] == [("drivers/vfio/",)] * 4
    assert row.compilations.compiled == 1


def test_again_builds_what_is_there_before_and_does_not_count_it(track: Track) -> None:
    row = row_of(track.measure("again", against="kept"), "again")
    assert len(row.seconds) == 1
    assert row.compilations.compiled == 0
    # Once as what is there before, once measured.
    assert Counter(job.cell for job in track.builds_in("kept")) == {
        "x86/gcc-14/defconfig/VFIO=n": 2,
        "x86/gcc-14/defconfig/VFIO=y": 2,
    }


def test_again_takes_what_first_has_left(track: Track) -> None:
    table = track.measure("first", "again", against="kept")
    assert [row.name for row in table.rows] == ["first", "again"]
    assert len(track.builds_in("kept")) == 4
    assert len([job for job in track.builds_in("cache") if "first" not in job.cell]) <= 4


@pytest.mark.parametrize(("case", "path"), [("source", "virt/kvm/vfio.c"), ("header", HEADER)])
def test_a_patch_is_judged_with_its_base_on_record(track: Track, case: str, path: str) -> None:
    track.measure(case, against="fresh", repeat="2")
    before, *trees = dict.fromkeys(job.host("/src") for job in track.builds())
    texts = [(tree / path).read_text() for tree in (before, *trees)]
    assert [f"kmatrix_bench_{number}" in text for number, text in enumerate(texts)] == [False, True, True]
    assert before != track.tree
    assert (track.tree / path).read_text() == texts[0]
    assert {job.host("/src") for job in track.builds_in("fresh")} == set(trees)


def test_a_tree_without_the_file_that_a_case_changes_is_refused(track: Track) -> None:
    (track.tree / HEADER).unlink()
    with pytest.raises(RequestError, match=f"the source has no {HEADER}"):
        track.measure("first", "header", against="fresh")
    assert track.builds() == []


def test_a_tree_that_a_case_s_patch_does_not_fit_is_refused_before_anything_is_built(track: Track) -> None:
    with pytest.raises(RejectedPatchError):
        track.measure("first", "kconfig", against="fresh")
    assert track.builds() == []


def test_a_header_s_patch_stays_within_its_guard(tmp_path: Path) -> None:
    (tmp_path / "include/linux").mkdir(parents=True)
    (tmp_path / HEADER).write_text("#ifndef H\nint a;\n#endif\n")
    write = next(case.write_patch for case in CASES if case.name == "header")
    assert write
    lines = write(ForeignDirectory(tmp_path), 3).splitlines()
    added = [
        number for number, line in enumerate(lines) if line.startswith("+static const int kmatrix_bench_3 ")
    ]
    assert len(added) == 1
    assert lines[added[0] + 1] == " #endif"


def test_the_kconfig_fix_is_another_patch_in_each_repetition(tmp_path: Path) -> None:
    write = next(case.write_patch for case in CASES if case.name == "kconfig")
    assert write
    kept = (ROOT / "tests/patches/story-fix-kconfig.patch").read_text().splitlines()
    texts = [write(ForeignDirectory(tmp_path), number).splitlines() for number in (1, 2)]
    for number, text in enumerate(texts, 1):
        (changed,) = [(old, new) for old, new in zip(kept, text, strict=True) if old != new]
        assert changed == ("+\tselect HAVE_KVM_VFIO", f"+\tselect HAVE_KVM_VFIO # bench {number}")


def test_another_version_is_measured_once_as_a_second_time_it_is_on_record(
    track: Track, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(track.tree, other, symlinks=True)
    (other / "drivers/vfio/vfio.c").write_text("int other;\n")
    table = track.measure("again", "next", against="kept", next_spec=str(other), repeat="3")
    assert [len(row.seconds) for row in table.rows] == [3, 1]


def test_next_builds_another_tree_after_the_first(track: Track, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(track.tree, other, symlinks=True)
    (other / "drivers/vfio/vfio.c").write_text("int other;\n")
    table = track.measure("next", against="fresh", next_spec=str(other))
    # What was compiled before the measurement is not in it.
    assert row_of(table, "next").compilations == Compilations(1, 1)
    assert {(job.host("/src") / "drivers/vfio/vfio.c").read_text() for job in track.builds_in("fresh")} == {
        "int other;\n"
    }


def test_vmlinux_is_thirteen_cells_of_a_profile_of_its_own(track: Track) -> None:
    case = next(case for case in CASES if case.name == "vmlinux")
    asked = resolve_profile(track._settled({"jobs": ["7"]}), {})
    profile = case.adapt_profile(asked)
    assert (profile.stage, profile.arch, profile.base) == ("vmlinux", ("x86",), ("allnoconfig-64",))
    assert (profile.jobs, profile.source) == (7, str(track.tree))
    assert profile.focus == ()


# --- samples


def test_ways_that_keep_nothing_share_their_sample_among_the_cases(track: Track) -> None:
    table = track.measure("first", "again", against="fresh", sample="2")
    assert len(track.builds_in("fresh")) == 2
    assert {row.ways[0].built for row in table.rows} == {2}
    assert {row.ways[0].cases for row in table.rows} == {("first", "again")}


def test_a_way_that_keeps_something_is_measured_in_each_case_for_itself(track: Track) -> None:
    table = track.measure("first", "again", against="kept")
    assert [row.ways[0].cases for row in table.rows] == [("first",), ("again",)]


def test_a_sampled_cell_stands_for_all(track: Track) -> None:
    row = row_of(track.measure("first", against="fresh", sample="1"))
    (way,) = row.ways
    assert (len(track.builds_in("fresh")), way.built, way.is_sampled) == (1, 1, True)
    assert way.ratio
    assert (way.ratio.low, way.ratio.high) == (None, None)


def test_kept_walks_two_cells_of_a_lane_at_least(track: Track) -> None:
    row = row_of(track.measure("first", against="kept", sample="1"))
    (way,) = row.ways
    assert (len(track.builds_in("kept")), way.built) == (2, 2)
    assert way.seconds


def test_lanes_are_sampled_at_different_configurations(track: Track) -> None:
    track.asks('GROUP = ["n", "y"]\nVFIO = ["n", "y"]\n', PROFILE.replace("gcc-14", 'gcc-14", "clang-19'))
    row = row_of(track.measure("first", against="fresh", sample="2"))
    assert row.cells == 6
    built = [job.cell.split("/") for job in track.builds_in("fresh")]
    assert {words[1] for words in built} == {"gcc-14", "clang-19"}
    assert len({words[-1] for words in built}) == 2


def test_another_repetition_samples_another_cell(track: Track) -> None:
    track.measure("first", against="fresh", sample="1", repeat="2")
    assert len({job.cell for job in track.builds_in("fresh")}) == 2


# --- compilations


def test_only_the_cells_that_were_built_compiled_anything(tmp_path: Path) -> None:
    stages = (
        StageRecord(name="configure", state=State.PASS, command="make", seconds=9.0),
        StageRecord(name="focus", state=State.PASS, command="make", objects=5, compiled=3, seconds=4.0),
    )
    shares = {"y": Evidence.BUILT, "n": Evidence.UNAFFECTED}
    listed = store_objects(tmp_path, ["a.o", "b.o"])
    cells = [
        a_cell(symbols={"VFIO": v}, stages=stages, evidence=e, objects_sha256=listed)
        for v, e in shares.items()
    ]
    stored = StoredRun(a_run(cells), tmp_path)
    # Two variants of one object; and one that no target has.
    written = [("a.o", "1"), ("a.o", "2"), ("beside.o", "1")]
    remembered = [WrittenEntry("s", name, key, "run") for name, key in written]
    assert count_compilations(stored, remembered) == Compilations(3, 2)
    assert count_compilations(stored, []) == Compilations(3, None)
    assert sum_make_seconds(stored.run) == 4.0


def test_all_objects_that_are_remembered_are_listed(tmp_path: Path) -> None:
    layout = CacheLayout(tmp_path / "own")
    cache = SourceCache(layout)
    assert list_remembered_objects(cache) == set()
    for layer in ("base", "patched-0"):
        with closing(MemoryStore(layout.memory / layer)) as store:
            store.put_entries(Entry("object", "s", name, layer, "{}", "run") for name in ("a.o", "b.o"))
            store.put_entries([Entry("result", "s", "c", layer, "{}", "run")])
    known = list_remembered_objects(cache)
    assert known == {
        WrittenEntry("s", name, layer, "run") for layer in ("base", "patched-0") for name in ("a.o", "b.o")
    }
    with closing(MemoryStore(layout.memory / "base")) as store:
        store.put_entries(Entry("object", "s", name, "base", "{}", "later") for name in ("b.o", "c.o"))
    # What is written anew was compiled anew.
    assert {entry.name for entry in list_remembered_objects(cache) - known} == {"b.o", "c.o"}


def test_kmatrix_s_own_time_and_that_of_its_makes_are_measured(track: Track) -> None:
    track.kernel.before = lambda job: None if job.configures else time.sleep(0.2)
    first, again = track.measure("first", "again", against="fresh").rows
    assert 0 < first.overhead.cpu_seconds < 60
    assert first.overhead.make_seconds >= 0.4
    assert again.overhead.cpu_seconds > 0
    assert again.overhead.share is None


# --- what is left


def test_nothing_is_left_but_the_runs_and_the_patches(track: Track) -> None:
    track.measure("source")
    (kept,) = (track.place / "runs").iterdir()
    assert {path.name for path in kept.iterdir()} == {"runs", "patches"}
    assert not (track.place / "cache/lanes").exists() or not list((track.place / "cache/lanes").iterdir())


def test_the_work_is_removed_also_where_the_bench_fails(track: Track) -> None:
    track.install_tuxmake(1)
    with pytest.raises(MachineError):
        track.measure("first", against="tuxmake")
    (kept,) = (track.place / "runs").iterdir()
    assert not (kept / "work").exists()


# --- what is asked for


def test_without_a_name_all_cases_and_ways_are_measured() -> None:
    request = parse_bench_request([], [], "1", "4", "")
    assert [case.name for case in request.cases] == [case.name for case in CASES if case.name != "next"]
    assert request.against == ("tuxmake", "fresh", "kept")
    assert parse_bench_request([], [], "1", "4", "debian:linux-source-6.13").cases == CASES


def test_cases_are_measured_in_their_order() -> None:
    request = parse_bench_request(["again,first"], ["kept"], "1", "0", "")
    assert [case.name for case in request.cases] == ["first", "again"]


def test_another_version_without_its_case_is_refused() -> None:
    with pytest.raises(RequestError, match="--next is for the case next"):
        parse_bench_request(["first"], ["kept"], "1", "0", "debian:linux-source-6.13")


def test_a_missing_tuxmake_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(RequestError, match="tuxmake is not installed") as caught:
        find_tuxmake()
    assert f"{tmp_path}/python -m pip install '{TUXMAKE_REQUIREMENT}'" in caught.value.hint


def test_a_missing_tuxmake_ends_it_before_anything_is_built(
    track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(track.place / "empty"))
    with pytest.raises(RequestError, match="tuxmake is not installed"):
        track.measure("first")
    assert track.kernel.jobs == []
    assert not (track.place / "runs").exists()


def test_the_extra_group_is_what_the_task_says_to_install() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'bench = ["{TUXMAKE_REQUIREMENT}"]' in text
