"""The command line as a user meets it: what is said, where, and with which exit code."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

import tasks
from matrix.catalog.load import load_profile
from matrix.commands import session
from matrix.commands.resume import Resumption
from matrix.commands.settings import OPTIONS
from matrix.errors import DiskFullError, EngineError, MachineError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import load_run
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.tasks import main_job, run_reporting, this_machine, what_a_run_found
from tests.fakes.runs import a_cell, a_run, the_story

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(autouse=True)
def _a_quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No engine, no variables, no runs, nothing of this machine; and the signals are given back."""
    for name in [name for name in os.environ if name.startswith("KMATRIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("KMATRIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "RUNS_DIRECTORY", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A run on disk: the story."""
    directory = tmp_path / "runs" / "a-run"
    directory.mkdir(parents=True)
    run = the_story(["powerpc"], profile=load_profile("kvm-vfio").model_dump(mode="json", by_alias=True))
    (directory / "run.json").write_text(run.model_dump_json(by_alias=True))
    return directory


# --- what is not known


@pytest.mark.parametrize("words", [("nosuch",), ("--nosuch",), ("run", "--nosuch"), ("run", "extra")])
def test_an_unknown_task_or_option_is_named(words: tuple[str, ...], capsys: Said) -> None:
    assert words[-1] in refused(capsys, 1, *words)


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [
        ("--arch", "arm46", "arm64"),
        ("--toolchain", "gcc-41", "gcc-14"),
        ("--stage", "vmlinuz", "'focus', 'vmlinux' or 'modules'"),
        ("--profile", "kvm-vifo", "kvm-vfio"),
    ],
)
@pytest.mark.parametrize("task", ["run", "plan", "setup"])
def test_an_unknown_value_is_named_with_the_nearest_valid(
    task: str, option: str, value: str, near: str, capsys: Said
) -> None:
    said = refused(capsys, 1, task, option, value)
    assert option in said or option == "--profile"
    assert value in said
    assert near in said


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--jobs", "abc", "a whole number"),
        ("--jobs", "0", "greater than or equal to 1"),
        ("--lanes", "-1", "greater than or equal to 1"),
        ("--memory", "lots", "a size such as 4G"),
        ("--timeout", "soon", "a duration such as 30m"),
        ("--deadline", "", "a duration such as 30m"),
        ("--make", "W", "VAR=VALUE"),
        ("--make", "=1", "VAR=VALUE"),
        ("--make", "ARCH=x", "ARCH is kmatrix's own"),
        ("--make", "O=/tmp", "O is kmatrix's own"),
        ("--make", "A B=1", "the name of a make variable"),
        ("--select", "nosuch/*", "matches no request"),
        ("--select", "NOSUCH=y", "no axis NOSUCH"),
        ("--select", "!*", "leaves no request"),
        ("--arch", ",", "empty axis"),
        ("--arch", "x86,x86", "twice"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_expected(
    option: str, value: str, expected: str, capsys: Said, tmp_path: Path
) -> None:
    said = refused(capsys, 1, "run", f"{option}={value}", "--out", str(tmp_path / "out"))
    assert option in said
    assert expected in said
    assert not (tmp_path / "out").exists()


def test_a_wrong_variable_is_called_by_its_name(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_JOBS", "many")
    assert "KMATRIX_JOBS: expected a whole number" in refused(capsys, 1, "run")


def test_an_option_wins_over_a_variable(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_STAGE", "nonsense")
    assert "no container engine" in refused(capsys, 2, "run", "--stage", "vmlinux")


def test_an_option_without_its_value_is_named(capsys: Said) -> None:
    assert "out" in refused(capsys, 1, "run", "--out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "there is no task 'rnu' (nearest: 'run')\n  ./inv --list shows the tasks"),
        (("run", "rport"), "there is no task 'rport' (nearest: 'report')\n  ./inv --list shows the tasks"),
        (("--help", "rnu"), "there is no task 'rnu' (nearest: 'run')\n  ./inv --list shows the tasks"),
        (
            ("run", "--arhc", "x86"),
            "run has no option '--arhc' (nearest: '--arch')\n  ./inv run --help shows its options",
        ),
        (
            ("--arch", "x86", "run"),
            "there is no option '--arch' before a task\n  an option stands after its task: ./inv TASK --help",
        ),
    ],
)
def test_an_unknown_word_is_told_with_the_nearest_and_where_to_look(
    words: tuple[str, ...], message: str, capsys: Said
) -> None:
    assert refused(capsys, 1, *words) == f"kmatrix: {message}\n"


# --- profiles


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"arch = [", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"", "arch"),
        (b"arch = ['x86']\ntoolchain = ['gcc-14']\nfocus = ['a/']\nshiny = 1", "shiny"),
        (b"arch = 'x86'\ntoolchain = ['gcc-14']\nfocus = ['a/']", "arch: expected a list"),
        (b"arch = [1]\ntoolchain = ['gcc-14']\nfocus = ['a/']", "arch"),
    ],
    ids=["broken", "no-text", "empty", "unknown-key", "no-list", "no-word"],
)
def test_a_broken_profile_is_refused_by_its_file(
    text: bytes, told: str, capsys: Said, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_bytes(text)
    said = refused(capsys, 1, "run", "--profile", "mine.toml", "--out", "out")
    assert "mine.toml" in said
    assert told in said
    assert not (tmp_path / "out").exists()


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _nothing(path: Path) -> None:
    """Leave it missing."""


@pytest.mark.parametrize("make", [_directory, _loop, _nothing])
def test_a_profile_that_cannot_be_read_is_refused(
    make: Callable[[Path], None], capsys: Said, tmp_path: Path
) -> None:
    make(tmp_path / "mine.toml")
    assert "mine.toml: cannot be read: " in refused(capsys, 1, "plan", "--profile", "./mine.toml")


# --- where the run goes


def test_an_out_in_use_is_refused_and_left_as_it_was(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert "in use" in refused(capsys, 1, "run", "--out", "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_out_that_is_a_file_is_refused_and_left_as_it_was(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "--out" in refused(capsys, 1, "run", "--out", "out")
    assert (tmp_path / "out").read_text() == "mine"


# --- the engine


@pytest.mark.parametrize("task", ["run", "plan", "images", "source"])
def test_without_an_engine_it_says_what_to_type_and_writes_nothing(
    task: str, capsys: Said, tmp_path: Path
) -> None:
    options = ["--out", "out"] if task in {"run", "plan"} else []
    said = refused(capsys, 2, task, *options)
    assert "no container engine answers" in said
    assert "./inv setup" in said
    assert list(tmp_path.iterdir()) == []


def test_setup_does_not_install_what_docker_host_contradicts(capsys: Said) -> None:
    assert "unset DOCKER_HOST" in refused(capsys, 2, "setup")


def test_doctor_without_an_engine_tells_its_findings_on_stdout(capsys: Said) -> None:
    assert kmatrix("doctor") == 2
    out, err = capsys.readouterr()
    assert "BAD engine" in out
    assert "./inv setup" in out
    assert err == ""


def test_sweep_without_an_engine_still_shows_what_lies_in_the_cache(capsys: Said, tmp_path: Path) -> None:
    (tmp_path / "cache" / "lanes" / "old").mkdir(parents=True)
    (tmp_path / "cache" / "lanes" / "old" / "build").mkdir()
    assert kmatrix("sweep") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^lanes +4\.0 KiB  1 of them\n(.*\n)*lane .* old\n", shown)
    assert (tmp_path / "cache" / "lanes" / "old").is_dir()


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ((), "10G"),
        (("--profile", "own.toml"), "50G"),
        (("--profile", "own.toml", "--cache-size", "1G"), "1G"),
    ],
)
def test_sweep_hears_the_size_of_a_profile(
    capsys: Said, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], size: str
) -> None:
    axes = 'focus = ["virt/kvm/"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\n[symbols]\nKVM = ["y"]\n'
    Path("own.toml").write_text(f'cache-size = "50G"\n{axes}')
    heard: list[object] = []

    def look(**options: object) -> list[object]:
        heard.append(options["cache_size"])
        return []

    monkeypatch.setattr(this_machine, "sweep_leftovers", look)
    assert kmatrix("sweep", *words) == 0
    assert heard == [size]
    assert "Nothing to sweep" in capsys.readouterr().out


@pytest.mark.parametrize(
    "nonsense",
    [
        "nonsense",
        "ssh://there",
        "unix://",
        "tcp://[::1",
        "tcp://localhost:port",
        "tcp://localhost:99999",
        "tcp://",
    ],
)
@pytest.mark.parametrize("task", ["run", "images"])
def test_a_docker_host_of_nonsense_is_told(
    task: str, nonsense: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", nonsense)
    assert "DOCKER_HOST" in refused(capsys, 2, task)


# --- reports


@pytest.mark.parametrize("words", [("--run", "nosuch"), ("--run", ""), ("--run", "/"), ()])
def test_a_run_that_is_not_there_is_named(words: tuple[str, ...], capsys: Said) -> None:
    said = refused(capsys, 1, "report", *words)
    assert "there is no run" in said
    assert "./inv run" in said


@pytest.mark.usefixtures("stored")
def test_an_unknown_format_is_told_with_those_there_are(capsys: Said) -> None:
    said = refused(capsys, 1, "report", "--run", "a-run", "--format", "htm")
    assert "'htm'" in said
    assert "nearest: 'html'" in said
    assert "markdown" in said


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


# --- explain --config


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


# --- a shell


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
    _room(monkeypatch, _raising(EngineError("it died", "raise it")))
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


# --- a run that goes on


@pytest.mark.parametrize(
    ("words", "held_against"),
    [((), ("/runs/base", "/known.toml")), (("--baseline", "new", "--known", "own"), ("new", "own"))],
)
def test_a_resumed_run_keeps_what_it_was_held_against_unless_it_is_said_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], held_against: tuple[str, str]
) -> None:
    _built(monkeypatch, tmp_path, State.PASS)
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


# --- exit codes


def _built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *states: State, interrupted: bool = False
) -> None:
    values = ("y", "m", "n")
    cells = [a_cell(symbols={"KVM": value}, state=s) for value, s in zip(values, states, strict=False)]
    done = a_run(cells, interrupted=interrupted)
    monkeypatch.setattr(main_job, "run_matrix", lambda *_: StoredRun(done, tmp_path))


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
    _built(monkeypatch, tmp_path, *states)
    assert kmatrix("run", *options) == code


def test_an_interrupted_run_exits_130_whatever_it_saw(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _built(monkeypatch, tmp_path, State.FAIL, interrupted=True)
    assert kmatrix("run") == 130


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def job(*_: object) -> NoReturn:
        raise error

    return job


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
    _built(monkeypatch, tmp_path, state)
    monkeypatch.setattr(run_reporting, "verify_run", _raising(error))
    # A failure is worse than a fault of the machine.
    assert kmatrix("run", "--verify", "1.0") == (100 if code == 2 and state is State.FAIL else code)
    out, err = capsys.readouterr()
    assert "next     ./inv report" in out
    assert told in err


def test_a_difference_that_a_verification_finds_is_70_whatever_the_run_came_to(
    capsys: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _built(monkeypatch, tmp_path, State.FAIL)
    monkeypatch.setattr(run_reporting, "verify_run", lambda *_: ExitCode.BUG)
    assert kmatrix("run", "--verify", "1.0") == 70
    assert "next     ./inv report" in capsys.readouterr().out


def test_a_bug_is_a_sentence_and_70(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", _raising(ZeroDivisionError("division by zero")))
    assert kmatrix("run") == 70
    err = capsys.readouterr().err
    assert err.startswith("kmatrix: this is a bug: ZeroDivisionError: division by zero\n")
    assert "KMATRIX_TRACEBACK=1" in err
    assert "Traceback" not in err


def test_a_bug_shows_where_it_is_when_asked(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", _raising(ZeroDivisionError("division by zero")))
    monkeypatch.setenv("KMATRIX_TRACEBACK", "1")
    assert kmatrix("run") == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_the_machine_is_2_with_its_advice(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", _raising(EngineError("it died", "raise it")))
    assert refused(capsys, 2, "run") == "kmatrix: it died\n  raise it\n"
    monkeypatch.setattr(main_job, "run_matrix", _raising(DiskFullError("no space left", "./inv sweep")))
    assert refused(capsys, 2, "run") == "kmatrix: no space left\n  ./inv sweep\n"


def test_ctrl_c_is_130(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "run_matrix", _raising(KeyboardInterrupt()))
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


# --- a whole process


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


def test_the_script_of_the_virtual_environment_is_the_same_program() -> None:
    script = Path(sys.executable).parent / "kmatrix"
    if not script.exists():
        pytest.skip("kmatrix is not installed in this environment")
    done = subprocess.run([script, "report", "--run", "nosuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "kmatrix: there is no run 'nosuch'" in done.stderr
    assert done.stdout == ""


# --- help


def test_the_tasks_are_those_of_this_table() -> None:
    assert set(tasks.namespace.tasks) >= set(TASKS)


# Invoke takes the help out of a task when it reads the options: only a fresh process has it whole.
_WITHOUT_HELP = """
import tasks
for name, task in tasks.namespace.tasks.items():
    lacking = [argument.name for argument in task.get_arguments() if not argument.help]
    if lacking or not task.__doc__:
        print(name, *lacking)
"""


def test_every_task_and_every_option_of_it_has_help() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        [sys.executable, "-c", _WITHOUT_HELP], capture_output=True, text=True, check=True, env=environment
    )
    assert shown.stdout == ""


@pytest.mark.parametrize("task", tasks.namespace.tasks)
def test_help_of_a_task_comes_before_it(task: str, capsys: Said) -> None:
    assert kmatrix("--help", task) == 0
    out, err = capsys.readouterr()
    assert "Docstring:\n  none" not in out
    assert err == ""


@pytest.mark.parametrize("task", TASKS)
def test_help_comes_after_a_task_too(task: str, capsys: Said) -> None:
    assert kmatrix(task, "--help") == 0
    assert "Docstring:" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["setup", "run", "plan"])
def test_the_main_tasks_take_every_shared_option(task: str, capsys: Said) -> None:
    kmatrix("--help", task)
    out = capsys.readouterr().out
    assert [option.name for option in OPTIONS if f"--{option.name}" not in out] == []
    assert "--profile" in out


@pytest.mark.parametrize("task", tasks.namespace.tasks)
def test_no_option_has_a_short_flag_that_help_would_have_to_explain(task: str) -> None:
    one = tasks.namespace.tasks[task]
    assert [name for argument in one.get_arguments() for name in argument.names if len(name) == 1] == []


def test_help_shows_usage_what_it_is_for_the_tasks_and_how_to_learn_more(capsys: Said) -> None:
    assert kmatrix("--help") == 0
    out, err = capsys.readouterr()
    paragraphs = out.split("\n\n")
    assert paragraphs[0].startswith("Usage: ./inv TASK")
    assert paragraphs[1].startswith("kmatrix builds a Linux tree")
    assert paragraphs[2] == "The main job:"
    assert paragraphs[-4] == "The options of a task: ./inv TASK --help"
    assert paragraphs[-3] == "Other options:"
    assert err == ""


def _tasks_shown(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines() if line[:2] == "  " and line[2] not in " -"]


@pytest.mark.parametrize("words", [("--help",), ("-h",), (), ("--list",), ("-l",)])
def test_every_task_is_shown_once_in_the_order_of_the_namespace_with_its_first_line(
    words: tuple[str, ...], capsys: Said
) -> None:
    assert kmatrix(*words) == 0
    out = capsys.readouterr().out
    assert _tasks_shown(out) == list(tasks.namespace.tasks)
    assert [name for name in TASKS if name not in _tasks_shown(out)] == []
    joined = " ".join(out.split())
    docstrings = [str(task.__doc__) for task in tasks.namespace.tasks.values()]
    assert [text for text in docstrings if text.splitlines()[0] not in joined] == []


@pytest.mark.parametrize("words", [("--help",), ()])
def test_of_invokes_own_options_only_what_serves_a_user_is_shown_and_last(
    words: tuple[str, ...], capsys: Said
) -> None:
    kmatrix(*words)
    tasks_part, options_part = capsys.readouterr().out.split("Other options:")
    assert not re.search(r"^ +-", tasks_part, re.MULTILINE)
    shown = re.findall(r"^ +--([\w-]+)", options_part, re.MULTILINE)
    assert shown == ["help", "list", "version", "print-completion-script"]
    assert set(shown) <= {name for argument in tasks.program.core_args() for name in argument.names}


def test_it_tells_its_version(capsys: Said) -> None:
    assert kmatrix("--version") == 0
    assert capsys.readouterr().out.startswith("kmatrix ")


# --- a verdict's directory where a run is expected, and what is refused before any work


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


@pytest.mark.parametrize(
    "words",
    [("report", "--run", "nosuch"), ("compare", "nosuch", "nosuch"), ("patch", "nosuch.patch")],
)
def test_a_format_is_checked_before_all_else(words: tuple[str, ...], capsys: Said) -> None:
    assert "there is no report format 'xml'" in refused(capsys, 1, *words, "--format", "xml")


def test_a_verdict_takes_no_other_baseline(capsys: Said) -> None:
    said = refused(capsys, 1, "report", "--run", str(ROOT / "tests/old_run"), "--baseline", "latest")
    assert "is a verdict, which has its own run before" in said


def test_a_cell_and_another_toolchain_do_not_go_together(stored: Path, capsys: Said) -> None:
    cell = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
    words = ("repro", "--run", stored.name, "--cell", cell, "--toolchain", "clang-19")
    assert f"{cell} was not built with clang-19" in refused(capsys, 1, *words)


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
