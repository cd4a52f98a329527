"""``--format``: which formats go where, what is refused, and files that are whole or not there."""

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from matrix import fs
from matrix.errors import RequestError
from matrix.side_failures import take_side_failures
from reports import FORMATS, NO_OPTIONS
from reports.format_outputs import FormatOutputs, parse_format_outputs
from tests.fakes.runs import the_story
from tests.fakes.sides import a_side
from tests.fakes.verdicts import header_fix


@pytest.fixture(autouse=True)
def _no_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)


def show(outputs: FormatOutputs) -> str:
    with redirect_stdout(StringIO()) as out:
        outputs.show_run(a_side(the_story()))
    return out.getvalue()


def refuse(*words: str, out: str | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse_format_outputs(words).check_files(out)
    return caught.value


def test_without_a_format_the_terminals_is_shown() -> None:
    outputs = parse_format_outputs([])
    assert (outputs.stdout_format, outputs.has_stdout) == ("terminal", False)


def test_formats_with_files_leave_stdout_to_the_terminal(tmp_path: Path) -> None:
    outputs = parse_format_outputs([f"junit={tmp_path}/out.xml", f"markdown={tmp_path}/a=b.md"])
    outputs.check_files()
    assert not outputs.has_stdout
    assert "2 of 98 cells failed" in show(outputs)
    assert (tmp_path / "out.xml").read_text() == FORMATS["junit"].render_run(a_side(the_story()), NO_OPTIONS)
    assert (tmp_path / "a=b.md").read_text().startswith("# 2 of 98 cells failed")


@pytest.mark.parametrize("word", ["junit", "junit=-"])
def test_the_format_without_a_file_goes_to_stdout(word: str, tmp_path: Path) -> None:
    outputs = parse_format_outputs([word, f"text={tmp_path}/t"])
    assert (outputs.stdout_format, outputs.has_stdout) == ("junit", True)
    assert show(outputs).startswith("<?xml")
    assert (tmp_path / "t").exists()


def test_a_verdict_goes_into_files_too(tmp_path: Path) -> None:
    case = header_fix()
    outputs = parse_format_outputs([f"junit={tmp_path}/v.xml", f"mail={tmp_path}/mail"])
    with redirect_stdout(StringIO()) as out:
        outputs.show_verdict(case.verdict, [case.before, case.after])
    assert "fixes F1" in out.getvalue()
    assert (tmp_path / "v.xml").read_text().startswith("<?xml")
    assert (tmp_path / "mail").read_text() == FORMATS["mail"].render_verdict(*case.given, NO_OPTIONS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["junti"], r"no report format 'junti' (nearest: 'junit')"),
        (["junti=out.xml"], "no report format 'junti'"),
        ([""], "no report format ''"),
        (["=out.xml"], "no report format ''"),
        (["junit,html"], "no report format 'junit,html'"),
        (["junit="], "--format junit= names no file"),
        (["junit", "html"], "--format junit and --format html would both go to stdout"),
        (["junit", "junit"], "would both go to stdout"),
        (["terminal", "junit=-"], "--format terminal and --format junit would both go to stdout"),
        (["junit=nosuch/out.xml"], "there is no directory"),
        (["junit=file/out.xml"], "there is no directory"),
        (["junit=."], "is a directory"),
        (["junit=a.xml", "markdown=a.xml"], "junit goes into this file"),
        (["junit=a.xml", "markdown=./../{here}/a.xml"], "junit goes into this file"),
        (["junit=link", "markdown=file"], "junit goes into this file"),
        (["junit=/dev/null"], "/dev/null is no file"),
        (["junit=pipe"], "pipe is no file"),
        (["junit=a\0b"], "has a NUL in it"),
        (["junit=" + "n" * 300], "File name too long"),
        (["junit=loop"], "cannot be read"),
        (["junit=~nosuchuser/x"], "there is no such user"),
        (["junit=run/run.json"], "a file of the run's record"),
        (["junit=run/findings.json"], "a file of the run's record"),
        (["junit=verdict/request.json"], "a file of the run's record"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_before_any_work(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run", "verdict"):
        (tmp_path / name).mkdir()
    (tmp_path / "run/run.json").touch()
    (tmp_path / "verdict/request.json").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    error = refuse(*(word.format(here=tmp_path.name) for word in words))
    assert says in str(error)
    assert error.hint


def test_a_file_in_the_directory_that_the_run_will_make_is_taken(tmp_path: Path) -> None:
    out = str(tmp_path / "new")
    outputs = parse_format_outputs([f"junit={out}/junit.xml"])
    outputs.check_files(out)
    assert "a file of the run's record" in str(refuse(f"junit={out}/run.json", out=out))
    assert "there is no directory" in str(refuse(f"junit={out}/deeper/j.xml", out=out))


@pytest.mark.parametrize("name", ["", "cells", "configs", "objects", "sources"])
def test_a_directory_that_the_run_will_make_is_no_file(tmp_path: Path, name: str) -> None:
    out = str(tmp_path / "new")
    assert "this is a directory of the run's" in str(refuse(f"junit={Path(out, name)}", out=out))


@pytest.mark.parametrize(
    ("name", "owner"), [("report.html", "html"), ("report.md", "markdown"), ("report.txt", "text")]
)
def test_no_report_that_a_run_always_has_is_replaced_by_another(
    tmp_path: Path, name: str, owner: str
) -> None:
    out = str(tmp_path / "new")
    assert f"the run's {owner} goes into this file" in str(refuse(f"junit={out}/{name}", out=out))
    parse_format_outputs([f"{owner}={out}/{name}"]).check_files(out)
    parse_format_outputs([f"junit={tmp_path}/{name}"]).check_files(out)


def test_a_directory_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, who may write anywhere, only if the system says so."""
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    assert "may not be written" in str(refuse(f"junit={tmp_path}/out.xml"))


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link.xml").symlink_to(tmp_path / "real.xml")
    show(parse_format_outputs([f"junit={tmp_path}/link.xml"]))
    assert (tmp_path / "link.xml").is_symlink()
    assert (tmp_path / "real.xml").read_text().startswith("<?xml")


def test_what_cannot_be_written_leaves_the_old_file_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk full in the middle of the first: it is as it was, the second is there, and the failure is told."""
    (tmp_path / "out.xml").write_text("before")
    write, calls = fs.replace_file, []

    def fail_first(path: Path, content: str | bytes, *, sync: bool = False) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(28, "No space left on device", str(path))
        write(path, content, sync=sync)

    monkeypatch.setattr(fs, "replace_file", fail_first)
    take_side_failures()
    outputs = parse_format_outputs([f"junit={tmp_path}/out.xml", f"text={tmp_path}/out.txt"])
    assert "2 of 98" in show(outputs)
    assert (tmp_path / "out.xml").read_text() == "before"
    assert (tmp_path / "out.txt").exists()
    (failure,) = take_side_failures()
    assert "no space left to write" in str(failure)
