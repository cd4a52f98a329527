"""A run and a verdict that an earlier kmatrix (0.1.0) made are still told as they were, to the letter.

`tests/old_run/` holds both, of the story on the miniature tree; `golden/` what that kmatrix printed of them,
with the directory called /tmp/story. A change that is meant to be seen renews its file there.
"""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

import tasks
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import load_run
from matrix.record.run_model import Record
from matrix.verdict.verdict_model import Verdict

OLD = Path(__file__).parents[1] / "old_run"
THERE = "/tmp/story"
COMMANDS = {
    "report-after.terminal": "report --run /tmp/story/after",
    "report-after.text": "report --run /tmp/story/after --format text",
    "report-after.markdown": "report --run /tmp/story/after --format markdown",
    "report-after.html": "report --run /tmp/story/after --format html",
    "report-after.mail": "report --run /tmp/story/after --format mail",
    "report-baseline.mail": "report --run /tmp/story/after --format mail --baseline /tmp/story/before",
    "report-before.text": "report --run /tmp/story/before --format text",
    "verdict.terminal": "report --run /tmp/story",
    "verdict.markdown": "report --run /tmp/story --format markdown",
    "verdict.html": "report --run /tmp/story --format html",
    "verdict.mail": "report --run /tmp/story --format mail",
    "explain.terminal": "explain --run /tmp/story/after",
    "compare.terminal": "compare /tmp/story/before /tmp/story/after",
    "compare.markdown": "compare /tmp/story/before /tmp/story/after --format markdown",
    "compare.mail": "compare /tmp/story/before /tmp/story/after --format mail",
    "repro.terminal": "repro --run /tmp/story/after --finding F1 --out -",
}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(OLD, tmp_path / "story", ignore=shutil.ignore_patterns("golden"))
    for name in ("before", "after"):
        (tmp_path / "story" / name / "report.html").touch()  # only that it is there is told
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "story"


def as_json(record: Record) -> str:
    return record.model_dump_json(by_alias=True, indent=1) + "\n"


def test_every_golden_file_has_its_command() -> None:
    assert {path.name for path in (OLD / "golden").iterdir()} == COMMANDS.keys()


@pytest.mark.parametrize("golden", COMMANDS)
def test_old_run_is_told_as_it_was(golden: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) if golden.startswith("compare") else nullcontext():
        tasks.program.run(["kmatrix", *COMMANDS[golden].replace(THERE, str(directory)).split()])
    said = capsys.readouterr().out.replace(str(directory), THERE)
    assert said == (OLD / "golden" / golden).read_text()


@pytest.mark.parametrize("name", ["before", "after"])
def test_findings_come_out_of_an_old_run_as_they_did(name: str, directory: Path) -> None:
    """Byte for byte: ids, keys, order and all."""
    kept = directory / name / "findings.json"
    before = kept.read_bytes()
    kept.unlink()
    StoredRun.load(directory / name).write_findings()
    assert kept.read_bytes() == before


@pytest.mark.parametrize("name", ["before", "after"])
def test_the_record_of_an_old_run_is_written_as_it_was(name: str, directory: Path) -> None:
    """run.json, read and written again, is the same file."""
    assert as_json(load_run(directory / name)) == (directory / name / "run.json").read_text()


def test_the_verdict_of_an_old_run_is_written_as_it_was(directory: Path) -> None:
    kept = (directory / "after" / "verdict.json").read_text()
    assert as_json(Verdict.model_validate_json(kept)) == kept
