"""A verdict that was stopped goes on: its runs, what was between them, and the verdict itself."""

import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.commands.kept_verdicts import describe_stopped_work
from matrix.commands.patch import PatchResult
from matrix.commands.patch_request import PatchRequest, load_request
from matrix.commands.sweep import sweep_leftovers
from matrix.engine.images import ImageRecipe
from matrix.engine.protocol import LABEL
from matrix.errors import InterruptedRunError, RequestError
from matrix.record.events import ProgressNote
from matrix.record.run_directory import REQUEST_FILE, RunDirectory
from matrix.source.mbox.series import PatchSeries, read_series
from matrix.verdict.verdict_model import FindingStatus, Mailbox
from tests.fakes.described_runs import describe_verdict
from tests.fakes.kernel import Job
from tests.fakes.mails import a_mail, a_mbox
from tests.unit.commands.test_patch import FIX, TESTER
from tests.unit.commands.test_patch_resume_kills import ResumedJudge

OTHER = FIX.replace("+int v;", "+int w;")


@pytest.fixture
def judge(tmp_path: Path) -> ResumedJudge:
    return ResumedJudge(tmp_path)


def _die() -> None:
    signal.raise_signal(signal.SIGKILL)


def _interrupt() -> None:
    raise KeyboardInterrupt


def stop_at(judge: ResumedJudge, words: str, act: Callable[[], object] = _die) -> None:
    """Do this as soon as a note has these words."""

    def watch(event: object) -> None:
        if isinstance(event, ProgressNote) and words in event.text:
            act()

    judge.on_event = watch


def kill_at(judge: ResumedJudge, words: str, begin: Callable[[], object] | None = None) -> Path:
    """The directory of a verdict that was killed when a note had these words."""
    stop_at(judge, words)
    assert judge.fork(begin or judge.begin) == signal.SIGKILL
    judge.on_event = judge.events.append
    return max(judge.world.runs.glob("*-patch*"))


def kill_in_run(judge: ResumedJudge, cells: int) -> Path:
    """The same, once so many cells of its runs are finished."""
    judge.on_event = judge._stop_after(cells, _die)
    assert judge.fork(judge.begin) == signal.SIGKILL
    judge.on_event = judge.events.append
    return max(judge.world.runs.glob("*-patch*"))


def refuse(
    judge: ResumedJudge, spec: str = "latest", /, asked: PatchRequest | None = None, **options: list[str]
) -> str:
    """What is said of a verdict that cannot go on. Nothing that was there is touched."""
    before = {path: path.read_bytes() for path in judge.world.runs.rglob("*") if path.is_file()}
    with pytest.raises(RequestError) as caught:
        judge.go_on(spec, asked or PatchRequest(PatchSeries(())), **options)
    assert {path: path.read_bytes() for path in before} == before
    assert caught.value.hint
    return str(caught.value)


# Where it goes on


@pytest.mark.parametrize("cells", [1, 2, 3, 5, 6])
def test_a_verdict_that_is_killed_in_either_run_goes_on_there(judge: ResumedJudge, cells: int) -> None:
    directory = kill_in_run(judge, cells)
    result = judge.go_on()
    assert result.runs[0].directory.parent == directory
    assert result.exit_code == 0
    assert result.tester == TESTER
    assert FindingStatus.FIXED in {found.fate for found in result.verdict.findings}
    kept = {job.cell for job in judge.kernel.ran(configures=False) if not job.targets[0].endswith(".o")}
    assert len(kept) <= 8 - cells


@pytest.mark.parametrize("moment", ["Building before", "Building after", "Looking at"])
@pytest.mark.parametrize("spec", ["latest", "NAME", "PATH"])
def test_it_goes_on_between_its_parts_however_it_is_named(
    judge: ResumedJudge, moment: str, spec: str
) -> None:
    directory = kill_at(judge, moment)
    result = judge.go_on({"NAME": directory.name, "PATH": str(directory)}.get(spec, spec))
    assert result.runs[0].directory.parent == directory
    assert result.exit_code == 0
    described = describe_verdict(directory, judge.place)
    shutil.rmtree(judge.place / "cache")
    undisturbed = judge.begin().runs[0].directory.parent
    assert described == describe_verdict(undisturbed, judge.place)


def test_ctrl_c_says_how_to_go_on(judge: ResumedJudge) -> None:
    stop_at(judge, "Building after", _interrupt)
    with pytest.raises((InterruptedRunError, KeyboardInterrupt)):
        judge.begin()
    judge.on_event = judge._stop_after(1, _interrupt)
    with pytest.raises(InterruptedRunError) as caught:
        judge.go_on()
    judge.on_event = judge.events.append
    (directory,) = judge.world.runs.glob("*-patch")
    assert caught.value.hint == f"to go on: ./inv patch --resume {directory.name}"
    assert judge.go_on().exit_code == 0


def test_a_verdict_that_is_whole_is_told_so_and_left_alone(judge: ResumedJudge) -> None:
    done = judge.begin()
    judge.engine.query_info = _refuse_engine  # type: ignore[method-assign,assignment]
    again = judge.go_on()
    assert (again.verdict, again.exit_code, again.tester) == (done.verdict, 0, TESTER)
    assert judge.kernel.jobs == []
    assert any("has its result: nothing is left to build" in note for note in judge.notes())


def _refuse_engine() -> None:
    raise AssertionError("nothing is to be asked of the engine")


def test_a_verdict_with_cells_that_a_fault_ended_tries_them_again(judge: ResumedJudge) -> None:
    profile = judge.profile.read_text().replace("lanes = 1", "lanes = 1\nretries = 0")
    judge.profile.write_text(profile)
    judge.kernel.before = lambda job: 137 if _is_build_of(job, "after") else None
    first = judge.begin()
    states = {cell.state.value for cell in first.runs[1].run.cells}
    judge.kernel.before = lambda _: None
    second = judge.go_on()
    assert "infra" in states
    assert "infra" not in {cell.state.value for cell in second.runs[1].run.cells}
    assert (first.exit_code, second.exit_code) != (0, 0)
    assert second.exit_code == 0


def _is_build_of(job: Job, side: str) -> bool:
    source = job.host("/src") / "drivers/vfio/vfio.c"
    return not job.configures and (source.read_text() == "int v;\n") == (side == "after")


def test_each_patch_of_a_series_goes_on_as_well(judge: ResumedJudge) -> None:
    fixes = [FIX, FIX.replace("vfio.c", "group.c").replace("vfio;", "group;").replace("int v;", "int g;")]
    mails = [
        a_mail(f"[PATCH {n}/2] vfio: part {n}", f"Why.\n---\n{fix}", f"m{n}@example.org")
        for n, fix in enumerate(fixes, 1)
    ]
    text = a_mbox(mails)

    def begin() -> PatchResult:
        return judge.judged(text, each_patch=True)

    directory = kill_at(judge, "Building after patch 2", begin)
    assert sorted(path.name for path in directory.iterdir()) == [
        "after-1",
        "before",
        "patches",
        REQUEST_FILE,
    ]
    result = judge.go_on()
    assert [stored.directory.name for stored in result.runs] == ["before", "after-1", "after-2"]
    assert [patch.subject for patch in result.verdict.patches] == ["vfio: part 1", "vfio: part 2"]
    assert [patch.mail.message_id for patch in result.verdict.patches if patch.mail] == [
        "m1@example.org",
        "m2@example.org",
    ]
    assert result.verdict.steps is not None
    described = describe_verdict(directory, judge.place)
    shutil.rmtree(judge.place / "cache")
    assert described == describe_verdict(begin().runs[0].directory.parent, judge.place)


def test_what_is_edited_meanwhile_changes_nothing(judge: ResumedJudge) -> None:
    """Not the tree's origin, and not the file that the patch was in."""
    kill_at(judge, "Building after")
    (judge.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    (judge.place / "fix.patch").write_text("gone")
    result = judge.go_on()
    before, after = (stored.run.source for stored in result.runs)
    assert (result.exit_code, len(before.patches), len(after.patches)) == (0, 0, 1)


def test_a_tree_that_is_edited_while_the_base_is_built_is_not_taken_for_the_patchs_doing(
    judge: ResumedJudge,
) -> None:
    """Also without a stop: both sides are of one tree."""
    tree = judge.tree / "drivers/vfio/group.c"
    stop_at(judge, "Building after", lambda: tree.write_text("int edited;\n"))
    result = judge.begin()
    cache = judge.place / "cache/sources" / result.runs[1].run.source.digest / "tree/drivers/vfio"
    texts = [path.read_text() for path in (judge.place / "cache/sources").rglob("group.c")]
    assert "int edited;\n" not in texts, cache


def test_what_was_left_half_made_and_at_work_is_removed(judge: ResumedJudge) -> None:
    directory = kill_at(judge, "Building after")
    half = [directory / ".request.json.abcdefgh", directory / "before/.findings.json.abcdefgh"]
    for path in half:
        path.write_text("half")
    (directory / "after").mkdir()
    (directory / "after/cells.jsonl").touch()
    own = f"look-{RunDirectory.load(directory / 'before').unique_name}"
    removed: list[str] = []
    judge.engine.list_containers = lambda label=LABEL: {"one": own, "two": "x"} if label == LABEL else {}  # type: ignore[method-assign]
    judge.engine.remove_container = removed.append  # type: ignore[method-assign,assignment]
    assert judge.go_on().exit_code == 0
    assert removed == ["one"]
    assert not any(path.exists() for path in half)


# One process at a time


def test_a_verdict_at_work_is_not_resumed_beside_itself(judge: ResumedJudge) -> None:
    directory = kill_at(judge, "Building after")
    held = os.open(directory / "patches/.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert refuse(judge) == f"another kmatrix is at work on the verdict in {directory}"
    os.close(held)
    assert judge.go_on().exit_code == 0


def test_a_verdict_is_held_between_its_runs(judge: ResumedJudge) -> None:
    said: list[str] = []

    def look() -> None:
        with pytest.raises(RequestError) as caught:
            judge.go_on()
        said.append(str(caught.value))

    stop_at(judge, "Building after", look)
    judge.begin()
    (words,) = said
    assert words.startswith("another kmatrix is at work on the verdict in ")


# What is refused


def asked(judge: ResumedJudge, text: str = FIX, **more: object) -> PatchRequest:
    file = judge.place / "fix.patch"
    file.write_text(text)
    return PatchRequest(read_series(str(file)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": ["vmlinux"]}, "stage is vmlinux, and was focus"),
        ({"toolchain": ["gcc-14"]}, "toolchain is gcc-14, and was gcc-14, clang-19"),
        ({"out": ["elsewhere"]}, "out is elsewhere, and was not set"),
    ],
)
def test_another_request_is_refused_with_what_differs(
    judge: ResumedJudge, options: dict[str, list[str]], words: str
) -> None:
    kill_at(judge, "Building after")
    assert f"cannot be resumed: {words}" in refuse(judge, "latest", None, **options)


def test_another_patch_question_or_base_is_refused(judge: ResumedJudge) -> None:
    kill_at(judge, "Building after")
    assert "the patch fix.patch has changed" in refuse(judge, asked=asked(judge, OTHER))
    assert "fixes is F2, and was F1" in refuse(judge, asked=asked(judge, fixes=("F2",)))
    assert "each is True, and was False" in refuse(judge, asked=asked(judge, each_patch=True))
    assert "before is x.patch, and was nothing" in refuse(
        judge, asked=asked(judge, base_patches=("x.patch",))
    )
    (judge.place / "other.patch").write_text(FIX)
    other = PatchRequest(read_series(str(judge.place / "other.patch")))
    assert "the series is other.patch, and was fix.patch" in refuse(judge, asked=other)
    again = judge.go_on("latest", asked(judge, fixes=("F1",)), jobs=["1"])
    assert again.exit_code == 0


def test_a_tester_may_be_named_when_it_goes_on(judge: ResumedJudge) -> None:
    kill_at(judge, "Building after", lambda: judge.judged(fixes=("F1",)))
    other = Mailbox(name="O", address="o@example.org")
    assert judge.go_on("latest", PatchRequest(PatchSeries(()), tester=other)).tester == other


def test_another_kmatrix_is_refused(judge: ResumedJudge) -> None:
    file = kill_at(judge, "Building after") / REQUEST_FILE
    kept = json.loads(file.read_text())
    kept["tool"]["version"] = "0.0.9"
    file.write_text(json.dumps(kept))
    assert re.search(r"cannot be resumed: kmatrix is .*, and was 0\.0\.9", refuse(judge))


def test_another_image_is_refused(judge: ResumedJudge) -> None:
    kill_at(judge, "Building after")
    judge.engine.remove_image(ImageRecipe("gcc-14", "gcc", 14).tag)
    assert "the image of gcc-14 has changed" in refuse(judge)


def test_a_source_that_was_edited_before_anything_was_built_is_refused(judge: ResumedJudge) -> None:
    kill_at(judge, "Building before")
    (judge.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    assert re.search("the source is sha256 .*, and was ", refuse(judge))


def test_a_source_that_is_named_again_has_to_be_what_it_was(judge: ResumedJudge) -> None:
    kill_at(judge, "Building after")
    assert judge.settled_profile.source == str(judge.tree)
    (judge.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    assert re.search("the source is sha256 .*, and was ", refuse(judge, source=[str(judge.tree)]))
    assert judge.go_on().exit_code == 0


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("nothing")])
def test_a_patch_that_is_damaged_is_told(judge: ResumedJudge, damage: Callable[[Path], object]) -> None:
    damage(kill_at(judge, "Building after") / "patches/fix.patch")
    with pytest.raises(RequestError, match=r"fix\.patch"):
        judge.go_on()


def test_a_verdict_without_its_patches_is_told(judge: ResumedJudge) -> None:
    shutil.rmtree(kill_at(judge, "Building after") / "patches")
    with pytest.raises(RequestError, match="cannot be held: No such file"):
        judge.go_on()


def test_a_verdict_with_a_link_in_it_is_refused(judge: ResumedJudge) -> None:
    directory = kill_at(judge, "Building after")
    (directory / "after").symlink_to(judge.place)
    assert "is a link" in refuse(judge)


@pytest.mark.parametrize(
    ("spec", "words", "hint"),
    [
        ("nosuch", "there is no verdict 'nosuch'", "./inv patch makes another"),
        ("latest", "there is no verdict in ", "./inv patch makes one"),
        ("RUN", "is a run, not a verdict", "./inv run --resume "),
    ],
)
def test_what_is_no_verdict_is_refused(judge: ResumedJudge, spec: str, words: str, hint: str) -> None:
    judge.run(select=["VFIO=y"])
    with pytest.raises(RequestError, match=re.escape(words)) as caught:
        judge.go_on(judge.directory.name if spec == "RUN" else spec)
    assert caught.value.hint.startswith(hint)


def test_a_verdict_is_no_run_to_resume(judge: ResumedJudge) -> None:
    directory = kill_at(judge, "Building after")
    with pytest.raises(RequestError, match="is a verdict, not a run") as caught:
        judge.resume(directory.name)
    assert caught.value.hint == f"./inv patch --resume {directory.name}"


def test_a_request_that_is_refused_for_its_question_does_not_go_on(judge: ResumedJudge) -> None:
    with pytest.raises(RequestError, match="no finding 'F7'"):
        judge.judged(fixes=("F7",))
    assert "there is no verdict in" in refuse(judge)


# What another verdict, and a sweep, tell of it


def mentions(judge: ResumedJudge, begin: Callable[[], object]) -> list[str]:
    """What a new verdict says of stopped ones."""
    judge.events.clear()
    begin()
    return [note for note in judge.notes() if "patch --resume" in note]


def test_a_verdict_tells_of_a_stopped_one_of_the_same_request(judge: ResumedJudge) -> None:
    directory = kill_in_run(judge, 6)
    (said,) = mentions(judge, judge.begin)
    assert said == (
        f"The same request: {directory.name} was stopped, with 6 of 8 cells finished; "
        f"to go on: ./inv patch --resume {directory.name}"
    )
    assert mentions(judge, judge.begin) == [], "it is whole now, and the newest"


def test_it_does_not_tell_of_another_request_or_of_one_at_work(judge: ResumedJudge) -> None:
    directory = kill_at(judge, "Building after")
    assert mentions(judge, lambda: judge.judged(OTHER, fixes=("F1",))) == []
    assert mentions(judge, lambda: judge.judged(fixes=("F2",))) == []
    held = os.open(directory / "patches/.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert mentions(judge, judge.begin) == []
    os.close(held)


def test_a_sweep_tells_of_a_stopped_verdict_once_and_keeps_it(judge: ResumedJudge) -> None:
    directory = kill_in_run(judge, 2)
    (words,) = describe_stopped_work(judge.world.runs)
    assert words == (
        f"{directory.name} was stopped, with 2 of 8 cells finished; "
        f"to go on: ./inv patch --resume {directory.name}"
    )
    sweep_leftovers(remove=True, engine=judge.engine, cache=judge.world.cache, runs=judge.world.runs)
    assert judge.go_on().exit_code == 0
    assert list(describe_stopped_work(judge.world.runs)) == []


def test_the_beginning_of_a_verdict_without_a_request_goes_after_an_hour(judge: ResumedJudge) -> None:
    begun = kill_at(judge, "Exporting", lambda: _stop_before_request(judge))
    mine = judge.world.runs / "mine/patches"
    mine.mkdir(parents=True)
    for path in (begun, mine, mine.parent):
        os.utime(path, (1, 1))
    assert load_request(begun) is None
    found = sweep_leftovers(remove=True, engine=judge.engine, cache=judge.world.cache, runs=judge.world.runs)
    assert [waste.name for waste in found if waste.kind == "half-made"] == [begun.name]
    assert (begun.exists(), mine.exists()) == (False, True)


def _stop_before_request(judge: ResumedJudge) -> None:
    def die(_: Job) -> int:
        signal.raise_signal(signal.SIGKILL)
        return 1

    judge.kernel.applies = die
    judge.begin()
