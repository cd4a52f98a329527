"""What reports leave on stdout and in files, task after task."""

from pathlib import Path

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.tasks import main_job
from tests.fakes.runs import a_cell, a_run
from tests.unit.tasks.command_line import Said, kmatrix, refused, started


@pytest.mark.usefixtures("stored")
def test_an_unknown_format_is_told_with_those_there_are(capsys: Said) -> None:
    said = refused(capsys, 1, "report", "--run", "a-run", "--format", "htm")
    assert "'htm'" in said
    assert "nearest: 'html'" in said
    assert "markdown" in said


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("name", "start"), [("html", "<!doctype html>"), ("markdown", ""), ("text", ""), ("terminal", "")]
)
def test_a_report_is_all_that_stdout_gets(name: str, start: str, capsys: Said) -> None:
    assert kmatrix("report", "--run", "a-run", "--format", name) == 0
    out, err = capsys.readouterr()
    assert out.lower().startswith(start)
    assert "20250601-120000-kvm-vfio" in out
    assert err == ""


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", ["html", "markdown", "terminal"])
def test_a_reader_that_goes_away_is_no_bug(name: str) -> None:
    with started("report", "--run", "runs/a-run", "--format", name) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert "bug" not in said
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


@pytest.mark.usefixtures("stored")
def test_tasks_follow_each_other_each_with_its_options(capsys: Said) -> None:
    assert kmatrix("report", "--run", "a-run", "--format", "html", "report", "--run", "a-run") == 0
    out = capsys.readouterr().out
    assert "</html>" in out
    assert out.split("</html>", 1)[1].strip()


@pytest.mark.usefixtures("stored")
def test_a_task_that_fails_is_the_last(capsys: Said) -> None:
    assert kmatrix("doctor", "report", "--run", "a-run") == 2
    assert "20250601" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [("report", "--run", "nosuch"), ("compare", "nosuch", "nosuch"), ("patch", "nosuch.patch")],
)
def test_a_format_is_checked_before_all_else(words: tuple[str, ...], capsys: Said) -> None:
    assert "there is no report format 'xml'" in refused(capsys, 1, *words, "--format", "xml")


def test_a_run_is_shown_in_the_terminal_and_written_in_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    done = StoredRun(a_run([a_cell(state=State.FAIL)]), tmp_path)
    monkeypatch.setattr(main_job, "run_matrix", lambda *_: done)
    formats = ("--format", f"junit={tmp_path}/j.xml", "--format", f"markdown={tmp_path}/m.md")
    assert kmatrix("run", *formats) == 100
    assert "1 of 1 cell failed" in capsys.readouterr().out
    assert 'failures="1"' in (tmp_path / "j.xml").read_text()
    assert (tmp_path / "m.md").read_text().startswith("# 1 of 1 cell failed")


def test_a_format_on_stdout_has_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setattr(main_job, "run_matrix", lambda *_: StoredRun(a_run([a_cell()]), tmp_path))
    assert kmatrix("run", "--format", "junit") == 0
    out, err = capsys.readouterr()
    assert out.startswith("<?xml")
    assert out.endswith("</testsuites>\n")
    assert "1 cell tried, none failed" in err


def test_the_file_of_a_run_against_its_baseline_is_red_only_for_what_is_new(
    stored: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The story fails, and its baseline failed alike."""
    known = StoredRun.load(stored)
    monkeypatch.setattr(main_job, "run_matrix", lambda *_, **__: known)
    words = ("run", "--baseline", stored.name, "--format", f"junit={tmp_path}/j.xml")
    assert kmatrix(*words) == 0
    assert 'failures="0"' in (tmp_path / "j.xml").read_text()
    assert kmatrix("run", "--format", f"junit={tmp_path}/j.xml") == 100
    assert 'failures="2"' in (tmp_path / "j.xml").read_text()
