"""The task shell: which cell, what stands before its prompt, and whose exit code it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from matrix.errors import EngineError
from matrix.findings.stored_run import StoredRun
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.tasks import what_a_run_found
from tests.fakes.runs import a_cell
from tests.unit.tasks.command_line import Said, kmatrix, raising, refused


def test_a_shell_needs_a_cell(capsys: Said) -> None:
    assert "'cell'" in refused(capsys, 1, "shell")


@pytest.mark.usefixtures("stored")
def test_a_shell_names_the_nearest_cell(capsys: Said) -> None:
    said = refused(capsys, 1, "shell", "powerpc/gcc14/defconfig/KVM=y,MODULES=n,VFIO=n", "--run", "a-run")
    assert "nearest: 'powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n'" in said


def test_a_shell_in_an_unreachable_cell_is_refused_with_the_one_to_take(stored: Path, capsys: Said) -> None:
    cell = "powerpc/clang-19/defconfig/KVM=m,MODULES=n,VFIO=n"
    said = refused(capsys, 1, "shell", cell, "--run", "a-run")
    assert "KVM=m: MODULES=n makes it y" in said
    other = "powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n"
    assert f"./inv shell {other} --run {stored}" in said


def _room(monkeypatch: pytest.MonkeyPatch, enter: Callable[[str], int]) -> Cell:
    cell = a_cell(state=State.FAIL)

    @contextmanager
    def opened(_stored: StoredRun, name: str, emit: EventSink) -> Iterator[SimpleNamespace]:
        emit(ProgressNote(f"opening {name}"))
        yield SimpleNamespace(
            cell=cell, make_command="make -C /src ARCH=powerpc drivers/vfio/", run_shell=enter
        )

    monkeypatch.setattr(what_a_run_found, "open_cell_shell", opened)
    return cell


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("code", [0, 1, 100, 137])
def test_a_shells_exit_code_is_its_own(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _room(monkeypatch, lambda command: code if command == "make -k; exit" else 70)
    assert kmatrix("shell", "x", "--run", "a-run", "--command", "make -k; exit") == code


@pytest.mark.usefixtures("stored")
def test_a_fault_of_the_machine_stays_2_in_a_shell(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    _room(monkeypatch, raising(EngineError("it died", "raise it")))
    assert kmatrix("shell", "x", "--run", "a-run") == 2
    assert capsys.readouterr().err.endswith("kmatrix: it died\n  raise it\n")


@pytest.mark.usefixtures("stored")
def test_before_a_prompt_stand_cell_state_command_and_the_way_out_and_stdout_is_the_shells(
    capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = _room(monkeypatch, lambda _: 0)
    assert kmatrix("shell", "x", "--run", "a-run") == 0
    out, err = capsys.readouterr()
    assert out == ""
    first, *lines = err.splitlines()
    assert first == "opening x"
    assert len(lines) == 4
    assert lines[0] == f"{cell.id}  fail"
    assert 'eval "$make_again"' in lines[1]
    assert lines[2] == "  make -C /src ARCH=powerpc drivers/vfio/"
    assert lines[3].endswith("exit")


@pytest.mark.usefixtures("stored")
def test_a_command_in_a_shell_is_not_told_how_to_leave(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    _room(monkeypatch, lambda _: 0)
    assert kmatrix("shell", "x", "--run", "a-run", "--command", "true") == 0
    assert capsys.readouterr() == ("", "opening x\n")
