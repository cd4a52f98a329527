"""Tasks that read a run: which is meant, and what is said where it is none, damaged, or a verdict."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from matrix.commands.patch_request import VerdictRequest
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import load_run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import turned
from tests.unit.tasks.command_line import ROOT, Said, kmatrix, refused


@pytest.mark.parametrize("words", [("--run", "nosuch"), ("--run", ""), ("--run", "/"), ()])
def test_a_run_that_is_not_there_is_named(words: tuple[str, ...], capsys: Said) -> None:
    said = refused(capsys, 1, "report", *words)
    assert "there is no run" in said
    assert "./inv run" in said


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '{"schema": 1}', '{"schema": 1, "id": 3}', "\x00"]
)
def test_a_damaged_record_is_told_by_its_file(stored: Path, text: str, capsys: Said) -> None:
    (stored / "run.json").write_text(text)
    assert f"{stored}/run.json is damaged" in refused(capsys, 1, "report", "--run", "a-run")


def test_a_record_of_another_schema_is_told_by_its_number(stored: Path, capsys: Said) -> None:
    (stored / "run.json").write_text(json.dumps({"schema": 99}))
    assert "schema 99" in refused(capsys, 1, "report", "--run", "a-run")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--config", "nosuch"), "--config nosuch cannot be read: No such file or directory"),
        (("--config", "empty"), "--config empty sets no symbol"),
        (("--config", "mine", "--finding", "F7"), "has no finding 'F7' (it has F1)"),
        (("--config", "mine", "--toolchain", "gcc-41"), "F1 was not seen with gcc-41 (nearest: 'gcc-14')"),
        (("--config", "mine", "--out", "mine"), "--out mine is there already"),
        (("--toolchain", "gcc-14"), "--toolchain needs a .config"),
        (("--out", "mine"), "--out needs a .config"),
    ],
)
def test_a_wrong_question_about_a_config_is_refused(
    words: tuple[str, ...], told: str, capsys: Said, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "mine").write_text("CONFIG_PPC=y\nCONFIG_MODULES=y\n")
    assert told in refused(capsys, 1, "explain", "--run", "a-run", *words)


@pytest.mark.usefixtures("stored")
def test_a_config_of_another_arch_is_an_answer(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("CONFIG_X86=y\n")
    assert kmatrix("explain", "--run", "a-run", "--config", "mine") == 0
    assert capsys.readouterr().out.startswith("your .config is for x86; F1 was seen on powerpc only\n")


@pytest.mark.usefixtures("stored")
def test_a_config_without_an_engine_says_what_to_type(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("CONFIG_PPC=y\n")
    assert "no container engine" in refused(capsys, 2, "explain", "--run", "a-run", "--config", "mine")


@pytest.fixture
def compared(stored: Path) -> Path:
    """A directory as `patch` leaves it: two runs, and no run of its own."""
    place = stored.parent / "a fix-patch"
    for name in ("before", "after"):
        shutil.copytree(stored, place / name)
    return place


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "--run", "{}"),
        ("explain", "--run={}", "--finding", "F1"),
        ("repro", "--finding", "F1", "--run", "{}"),
        ("shell", "x86/gcc-14", "--run", "{}"),
        ("compare", "{}", "a-run"),
        ("compare", "a-run", "{}"),
        ("run", "--baseline", "{}"),
        ("report", "--run", "a-run", "--format", "mail", "--baseline", "{}"),
        ("report", "--run", "{}"),
    ],
)
def test_a_verdict_where_a_run_is_expected_is_told_with_the_commands_to_type(
    words: tuple[str, ...], compared: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [word.format(compared.name) for word in words]
    monkeypatch.setattr(sys, "argv", ["kmatrix", *typed])
    said = refused(capsys, 1, *typed)
    assert "a fix-patch is no run, but holds 2: before, after" in said
    commands = [line.strip() for line in said.splitlines() if line.strip().startswith("./inv ")]
    expected = [[word.format(f"{compared.name}/{name}") for word in words] for name in ("before", "after")]
    assert [shlex.split(command)[1:] for command in commands] == expected


def test_a_directory_of_many_runs_is_told_with_the_first_of_them(stored: Path, capsys: Said) -> None:
    for number in range(8):
        shutil.copytree(stored, stored.parent / "kept" / f"run-{number}")
    said = refused(capsys, 1, "explain", "--run", "kept")
    assert "kept is no run, but holds 8: run-0, run-1, run-2, run-3, run-4, run-5 and 2 more" in said
    assert "kept/run-0" in map(str.strip, said.splitlines())


def test_a_verdict_takes_no_other_baseline(capsys: Said) -> None:
    said = refused(capsys, 1, "report", "--run", str(ROOT / "tests/old_run"), "--baseline", "latest")
    assert "is a verdict, which has its own run before" in said


def test_whole_logs_are_for_the_page_of_a_run(capsys: Said) -> None:
    said = refused(capsys, 1, "report", "--run", str(ROOT / "tests/old_run"), "--single-file")
    assert "is a verdict, whose page has no whole logs" in said
    assert "old_run/after" in said


def test_a_cell_and_another_toolchain_do_not_go_together(stored: Path, capsys: Said) -> None:
    cell = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
    words = ("repro", "--run", stored.name, "--cell", cell, "--toolchain", "clang-19")
    assert f"{cell} was not built with clang-19" in refused(capsys, 1, *words)


@pytest.mark.parametrize("allow_lost", [True, False])
def test_a_verdict_is_told_with_the_allow_lost_that_it_was_asked_for_with(
    tmp_path: Path, capsys: Said, *, allow_lost: bool
) -> None:
    before = a_run([a_cell(), a_cell("x86")])
    after = turned(before, a_cell("x86", state=State.UNREACHABLE, reason="gone"))
    place = tmp_path / "runs" / "fix"
    for name, run in {"before": before, "after": after}.items():
        (place / name).mkdir(parents=True)
        (place / name / "run.json").write_text(run.model_dump_json(by_alias=True))
    verdict = compare_runs(*(StoredRun.load(place / name) for name in ("before", "after")))
    (place / "after" / "verdict.json").write_text(verdict.model_dump_json(by_alias=True))
    request = VerdictRequest(
        tool=before.tool,
        profile={},
        source=before.source,
        images={},
        files=(),
        patches=(),
        allow_lost=allow_lost,
    )
    (place / "request.json").write_text(request.model_dump_json(by_alias=True))
    assert kmatrix("report", "--run", "fix", "--format", "junit") == 0
    assert ("failure" in capsys.readouterr().out.replace("failures=", "")) is not allow_lost


@pytest.fixture
def held(tmp_path: Path, stored: Path) -> Path:
    """A run with a baseline that lacks its finding, and a file of known findings that has it."""
    run = load_run(stored)
    passing = [
        cell.model_copy(update={"state": State.PASS, "diagnostics": ()}) if cell.diagnostics else cell
        for cell in run.cells
    ]
    before = run.model_copy(update={"id": "good", "cells": tuple(passing), "diagnostics": {}})
    (stored.parent / "good").mkdir()
    (stored.parent / "good" / "run.json").write_text(before.model_dump_json(by_alias=True))
    keys = list(StoredRun.load(stored).findings.findings[0].own_keys)
    known = tmp_path / "known.toml"
    known.write_text(
        f"[stub]\nkeys = {json.dumps(keys)}\nreason = 'r'\nlink = 'https://x.example'\nexpires = 2999-01-01\n"
    )
    record = run.model_copy(update={"baseline": str(stored.parent / "good"), "known": str(known)})
    (stored / "run.json").write_text(record.model_dump_json(by_alias=True))
    return stored


def test_a_report_has_the_baseline_and_the_known_findings_of_its_run(held: Path, capsys: Said) -> None:
    assert kmatrix("report", "--run", held.name) == 0
    said = capsys.readouterr().out
    assert "against the baseline good: nothing is new or lost" in said
    assert "F1 is known: stub" in said
    assert kmatrix("report", "--run", held.name, "--format", "junit") == 0
    assert "known: stub; F1" in capsys.readouterr().out
    assert kmatrix("report", "--run", held.name, "--format", "mail") == 0
    assert "Since good:" in " ".join(capsys.readouterr().out.split())


def test_a_report_says_which_of_these_it_cannot_have(held: Path, tmp_path: Path, capsys: Said) -> None:
    shutil.rmtree(held.parent / "good")
    (tmp_path / "known.toml").unlink()
    assert kmatrix("report", "--run", held.name) == 0
    told = capsys.readouterr()
    assert "against the baseline" not in told.out
    assert f"kmatrix: without its baseline {held.parent}/good: there is no run" in told.err
    assert f"kmatrix: without its known findings in {tmp_path}/known.toml: " in told.err


def test_another_baseline_takes_the_place_of_a_runs_own(held: Path, capsys: Said) -> None:
    assert kmatrix("report", "--run", held.name, "--baseline", held.name) == 0
    assert "against the baseline" in capsys.readouterr().out
    (held.parent.parent / "known.toml").unlink()
    assert kmatrix("report", "--run", held.name, "--format", "junit") == 0
    assert 'type="broken"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["terminal", "html", "mail"])
def test_a_baseline_that_is_none_is_refused_in_every_format(name: str, stored: Path, capsys: Said) -> None:
    words = ("report", "--run", stored.name, "--format", name, "--baseline", "nosuch")
    assert "there is no run 'nosuch'" in refused(capsys, 1, *words)
