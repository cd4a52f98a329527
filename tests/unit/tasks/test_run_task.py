"""The task run: its exit code, whatever its cells came to and whatever ended it."""

import signal
import socket
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from matrix.catalog.load import load_profile
from matrix.commands.resume import Resumption
from matrix.errors import DiskFullError, EngineError, MachineError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.tasks import main_job, run_reporting
from tests.fakes.runs import a_cell, a_run
from tests.unit.tasks.command_line import Said, finish_runs, kmatrix, raising, refused, started


@pytest.mark.parametrize(
    ("words", "held_against"),
    [((), ("/runs/base", "/known.toml")), (("--baseline", "new", "--known", "own"), ("new", "own"))],
)
def test_a_resumed_run_keeps_what_it_was_held_against_unless_it_is_said_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], held_against: tuple[str, str]
) -> None:
    finish_runs(monkeypatch, tmp_path, State.PASS)
    done = StoredRun(
        a_run([a_cell()]).model_copy(update={"baseline": "/runs/base", "known": "/known.toml"}), tmp_path
    )
    resumption = Resumption(done, load_profile("kvm-vfio"), names_origin=False)
    heard: list[object] = []
    monkeypatch.setattr(main_job, "find_resumption", lambda *_: resumption)

    def go_on(given: Resumption, _: object) -> StoredRun:
        heard.append(given)
        return done

    monkeypatch.setattr(main_job, "resume_run", go_on)
    monkeypatch.setattr(main_job, "parse_baseline_options", lambda *given: heard.append(given[:2]))
    assert kmatrix("run", "--resume", "latest", *words) == 0
    assert heard == [held_against, resumption]


@pytest.mark.parametrize(
    ("states", "options", "code"),
    [
        ((State.PASS,), (), 0),
        ((State.PASS, State.WARN), (), 0),
        ((State.PASS, State.WARN), ("--werror",), 101),
        ((State.PASS, State.FAIL), (), 100),
        ((State.FAIL, State.INFRA), (), 100),
        ((State.PASS, State.INFRA), (), 2),
        ((State.PASS, State.OOM), (), 2),
        ((State.PASS, State.TIMEOUT), (), 2),
        ((State.PASS, State.NOT_RUN), (), 2),
        ((State.WARN, State.INFRA), ("--werror",), 2),
        ((State.UNREACHABLE, State.EMPTY), (), 1),
        ((State.PASS, State.UNREACHABLE), (), 0),
    ],
)
def test_a_run_exits_with_what_its_cells_came_to(
    states: tuple[State, ...],
    options: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    finish_runs(monkeypatch, tmp_path, *states)
    assert kmatrix("run", *options) == code


def test_an_interrupted_run_exits_130_whatever_it_saw(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finish_runs(monkeypatch, tmp_path, State.FAIL, interrupted=True)
    assert kmatrix("run") == 130


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            MachineError("nothing can be verified: since the run the base own changed"),
            2,
            "the base own changed",
        ),
        (EngineError("the engine is gone"), 2, "the engine is gone"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 70, "this is a bug"),
    ],
)
@pytest.mark.parametrize("state", [State.PASS, State.FAIL])
def test_what_ends_a_verification_leaves_the_summary_and_the_runs_own_code(
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    code: int,
    told: str,
    state: State,
) -> None:
    finish_runs(monkeypatch, tmp_path, state)
    monkeypatch.setattr(run_reporting, "verify_run", raising(error))
    # A failure is worse than a fault of the machine.
    assert kmatrix("run", "--verify", "1.0") == (100 if code == 2 and state is State.FAIL else code)
    out, err = capsys.readouterr()
    assert "next     ./inv report" in out
    assert told in err


def test_a_difference_that_a_verification_finds_is_70_whatever_the_run_came_to(
    capsys: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finish_runs(monkeypatch, tmp_path, State.FAIL)
    monkeypatch.setattr(run_reporting, "verify_run", lambda *_: ExitCode.BUG)
    assert kmatrix("run", "--verify", "1.0") == 70
    assert "next     ./inv report" in capsys.readouterr().out


def test_a_bug_is_a_sentence_and_70(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", raising(ZeroDivisionError("division by zero")))
    assert kmatrix("run") == 70
    err = capsys.readouterr().err
    assert err.startswith("kmatrix: this is a bug: ZeroDivisionError: division by zero\n")
    assert "KMATRIX_TRACEBACK=1" in err
    assert "Traceback" not in err


def test_a_bug_shows_where_it_is_when_asked(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", raising(ZeroDivisionError("division by zero")))
    monkeypatch.setenv("KMATRIX_TRACEBACK", "1")
    assert kmatrix("run") == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_the_machine_is_2_with_its_advice(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", raising(EngineError("it died", "raise it")))
    assert refused(capsys, 2, "run") == "kmatrix: it died\n  raise it\n"
    monkeypatch.setattr(main_job, "run_matrix", raising(DiskFullError("no space left", "./inv sweep")))
    assert refused(capsys, 2, "run") == "kmatrix: no space left\n  ./inv sweep\n"


def test_ctrl_c_is_130(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", raising(KeyboardInterrupt()))
    assert "interrupted" in refused(capsys, 130, "run")


def test_a_hangup_that_nohup_ignores_stays_ignored(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(*_: object) -> NoReturn:
        signal.raise_signal(signal.SIGHUP)
        raise EngineError("reached", "")

    monkeypatch.setattr(main_job, "run_matrix", hang_up)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert "reached" in refused(capsys, 2, "run")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert "interrupted" in refused(capsys, 130, "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_130_without_a_traceback(number: signal.Signals, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "nobody.sock"))
    listener.listen()
    # An engine that takes every call and never answers: the signal comes while kmatrix waits for it.
    taken: list[socket.socket] = []
    asked = threading.Event()

    def take() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            taken.append(caller)
            if caller.recv(16):
                asked.set()

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    with started("run", "--out", "out") as process:
        assert asked.wait(30)
        time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    # Only closed, it would be awaited on: by its number, which is some other test's socket next.
    listener.shutdown(socket.SHUT_RDWR)
    taker.join(10)
    for each in (listener, *taken):
        each.close()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err
    assert not (tmp_path / "out").exists()
