"""Words as a user types them: what the tests of tasks share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

import tasks
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.tasks import main_job
from tests.fakes.runs import a_cell, a_run

ROOT = Path(__file__).parents[3]
TASKS = ("setup", "run", "plan", "report", "shell", "images", "source", "doctor", "sweep", "test", "lint")
Said = pytest.CaptureFixture[str]


def kmatrix(*words: str) -> int:
    """Run these words as a user would type them; the exit code."""
    try:
        tasks.program.run(["kmatrix", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def refused(said: Said, code: int, *words: str) -> str:
    """What stderr says of words that must end with this code, and must not end in a traceback."""
    assert kmatrix(*words) == code
    out, err = said.readouterr()
    assert "Traceback" not in out + err
    assert "this is a bug" not in err
    assert out == ""
    return str(err)


def started(*words: str) -> "subprocess.Popen[str]":
    """The same in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "import tasks; tasks.program.run()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def finish_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *states: State, interrupted: bool = False
) -> None:
    """Let a run end with cells in these states, and build nothing."""
    values = ("y", "m", "n")
    cells = [a_cell(symbols={"KVM": value}, state=s) for value, s in zip(values, states, strict=False)]
    done = a_run(cells, interrupted=interrupted)
    monkeypatch.setattr(main_job, "run_matrix", lambda *_: StoredRun(done, tmp_path))


def raising(error: BaseException) -> Callable[..., NoReturn]:
    """A function of any arguments that ends with this error."""

    def job(*_: object) -> NoReturn:
        raise error

    return job
