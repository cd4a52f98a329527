"""A verdict that was written and goes on: what its old runs showed is not told as what the new ones show."""

import json
import shutil
from pathlib import Path

import pytest

from matrix.commands.kept_verdicts import describe_stopped_work
from matrix.engine.images import ImageRecipe
from matrix.errors import RequestError
from matrix.record.run_directory import REQUEST_FILE
from matrix.record.states import State
from matrix.verdict.verdict_model import Verdict
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.test_patch_resume import _die, kill_at
from tests.unit.commands.test_patch_resume_kills import ResumedJudge


@pytest.fixture
def judge(tmp_path: Path) -> ResumedJudge:
    return ResumedJudge(tmp_path)


def begin_with_untried_cell(judge: ResumedJudge, side: str = "after") -> tuple[Path, str, str]:
    """The directory of a verdict that was written, a cell that a fault of the machine ended in one of its
    runs, and the state that it would have there."""
    directory = judge.begin().runs[0].directory.parent
    file = directory / side / "run.json"
    record = json.loads(file.read_text())
    cell = record["cells"][0]
    state = cell["state"]
    cell |= {"state": "infra", "reason": "the engine went away"}
    file.write_text(json.dumps(record, indent=1))
    verdict = json.loads((directory / "after/verdict.json").read_text())
    (row,) = (row for row in verdict["cells"] if row["id"] == cell["id"])
    row[side] = "infra"
    (directory / "after/verdict.json").write_text(json.dumps(verdict))
    return directory, cell["id"], state


def kill_resumed(judge: ResumedJudge) -> None:
    judge.on_event = judge._stop_after(1, _die)
    assert judge.fork(judge.go_on)
    judge.on_event = judge.events.append


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_verdict_killed_when_it_goes_on_is_none_until_it_is_written_again(
    judge: ResumedJudge, side: str
) -> None:
    directory, name, state = begin_with_untried_cell(judge, side)
    kill_resumed(judge)
    (words,) = describe_stopped_work(judge.world.runs)
    assert words.startswith(f"{directory.name} was stopped, with ")
    assert words.endswith(f"; to go on: ./inv patch --resume {directory.name}")
    result = judge.go_on()
    (row,) = (row for row in result.verdict.cells if row.id == name)
    assert getattr(row, side) == state != State.INFRA
    kept = Verdict.model_validate_json((directory / "after/verdict.json").read_bytes())
    assert kept == result.verdict
    assert list(describe_stopped_work(judge.world.runs)) == []


def test_a_side_that_is_built_anew_makes_a_new_verdict(judge: ResumedJudge) -> None:
    """Not the one that was written of a run that is gone."""
    directory, name, state = begin_with_untried_cell(judge, "before")
    shutil.rmtree(directory / "before")
    kill_at(judge, "Building after", judge.go_on)
    (row,) = (row for row in judge.go_on().verdict.cells if row.id == name)
    assert row.before == state != State.INFRA


def test_what_is_refused_keeps_its_verdict(judge: ResumedJudge) -> None:
    directory, _, _ = begin_with_untried_cell(judge)
    judge.engine.remove_image(ImageRecipe("gcc-14", "gcc", 14).tag)
    with pytest.raises(RequestError, match="the image of gcc-14 has changed"):
        judge.go_on()
    assert (directory / "after/verdict.json").exists()


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("is_under_runs", [True, False])
def test_a_side_of_a_verdict_goes_on_with_the_verdict_only(
    judge: ResumedJudge, side: str, is_under_runs: bool
) -> None:
    directory, _, _ = begin_with_untried_cell(judge, side)
    if not is_under_runs:
        directory = directory.rename(judge.place / "elsewhere")
    with pytest.raises(RequestError, match="is a side of a verdict") as caught:
        judge.resume(str(directory / side))
    name = directory.name if is_under_runs else str(directory)
    assert caught.value.hint == f"./inv patch --resume {name} goes on with it"
    assert (directory / "after/verdict.json").exists()


@pytest.mark.parametrize("name", [".", "before", "after"])
def test_the_output_of_a_stopped_verdict_is_refused_with_what_goes_on_there(
    judge: ResumedJudge, name: str
) -> None:
    directory = kill_at(judge, "Building after").rename(judge.place / "mine")
    (directory / "after").mkdir()
    (directory / "after/cells.jsonl").touch()
    with pytest.raises(RequestError, match="is in use: it is not empty") as caught:
        judge.run(out=[str(directory / name)])
    assert caught.value.hint.startswith(f"./inv patch --resume {directory} goes on with what was stopped")


def test_a_run_beside_another_programs_request_is_no_side(tmp_path: Path) -> None:
    desk = ResumedDesk(tmp_path)
    desk.kill_after(2)
    (desk.world.runs / REQUEST_FILE).write_text('{"method": "GET"}')
    assert all(cell.is_finished for cell in desk.resume().cells)
