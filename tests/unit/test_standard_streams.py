"""Whole processes with streams, users and directories as they should not be: the work goes on, or ends in a
sentence."""

import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.standard_streams import guard_standard_streams
from tests.fakes.small_tree import SMALL_PROFILE, small_tree

ROOT = Path(__file__).parents[2]
KEPT = {"run.json", "cells.jsonl", "findings.json", "report.html", "report.md", "report.txt"}
ERROR = "/src/drivers/vfio/vfio.c:1:1: error: 'x' undeclared"
FULL = r"kmatrix: stdout could not be written: No space left on device"
CLOSED = r"kmatrix: stdout could not be written: Bad file descriptor"
RUN = "run --profile ok.toml --out out"


class Place:
    """A directory with a tree and a profile, and a kmatrix process in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        small_tree(
            root / "tree", **{"drivers/vfio/vfio.c": "int a;\n", "Kconfig": "config VFIO\n\ttristate 'v'\n"}
        )
        (root / "ok.toml").write_text(SMALL_PROFILE)

    def shell(self, line: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a line of shell in which ``$K`` is kmatrix."""
        command = f"{sys.executable} -m tests.fakes.program"
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "K": command, "HOME": str(self.root)}
        known |= {"KMATRIX_CACHE": str(self.root / "cache"), **environment}
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line}"],
            cwd=self.root,
            env={name: value for name, value in known.items() if value},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def kept(self) -> set[str]:
        return {path.name for path in (self.root / "out").iterdir()} & KEPT


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("line", "played", "code", "says"),
    [
        (f"$K {RUN} >/dev/full", "", 2, FULL),
        (f"$K {RUN} >/dev/full", ERROR, 100, FULL),
        (f"$K {RUN} >&-", "", 2, CLOSED),
        (f"$K {RUN} | head -n 1", "", 2, "kmatrix: stdout could not be written: Broken pipe"),
        (f"$K {RUN} 2>&- >/dev/null", "", 0, "^$"),
        (f"$K {RUN} 2>/dev/full", "", 0, "^$"),
        (f"$K {RUN} 2>/dev/full >/dev/full", ERROR, 100, "^$"),
        (f"$K {RUN} <&- >&- 2>&-", "", 2, "^$"),
        (f"PYTHONIOENCODING=ascii $K {RUN}", ERROR, 100, "^$"),
    ],
)
def test_a_run_is_built_and_kept_whole_wherever_its_output_goes(
    line: str, played: str, code: int, says: str, place: Place
) -> None:
    done = place.shell(line, PLAYED_ERROR=played)
    assert re.search(says, done.stderr), done.stderr
    assert done.returncode == code, done.stderr
    assert place.kept == KEPT
    assert not re.search("Traceback|this is a bug|Exception ignored", done.stderr)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("$K plan --profile ok.toml --json >/dev/full", 2, FULL),
        ("$K --help >/dev/full", 2, FULL),
        ("$K --version >&-", 2, CLOSED),
        ("$K patch - --profile ok.toml <&-", 1, "kmatrix: - holds no diff|standard input holds no diff"),
        ("$K plan --profile ok.toml <&- >/dev/null", 0, "^(Taking a snapshot.*\n)?run .*lane\n$"),
        ("$K plan --profile nosuch 2>/dev/full", 1, "^$"),
        ("$K plan --profile nosuch 2>&-", 1, "^$"),
        ("TMPDIR=/nosuch $K plan --profile ok.toml", 0, "lane\n$"),
        (
            'D=$PWD; mkdir gone; cd gone; rmdir ../gone; $K plan --profile "$D/ok.toml" --source "$D/tree"',
            0,
            "lane\n$",
        ),
        ("mkdir gone; cd gone; rmdir ../gone; $K run --out out", 2, "kmatrix: the working directory is gone"),
        ("KMATRIX_CACHE= HOME=nosuch $K plan --profile ok.toml", 2, "no home directory"),
        ("KMATRIX_CACHE=relative $K plan --profile ok.toml && ls -d relative/lanes", 0, "lane\n$"),
    ],
)
def test_a_task_without_its_streams_or_directories_ends_in_a_sentence(
    line: str, code: int, says: str, place: Place
) -> None:
    done = place.shell(line)
    assert re.search(says, done.stderr), done.stderr
    assert done.returncode == code, done.stderr
    assert not re.search("Traceback|this is a bug|Exception ignored", done.stderr)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            "reports.progress:_PlainDisplay._format_event",
            "the progress could not be shown: ZeroDivisionError: played",
        ),
        ("matrix.findings.stored_run:write_atomically", "this is a bug: ZeroDivisionError"),
    ],
)
def test_a_display_that_fails_costs_nothing_of_a_run_and_any_other_bug_is_one(
    broken: str, says: str, place: Place
) -> None:
    done = place.shell(f"$K {RUN}", PLAYED_BREAK=broken)
    assert says in done.stderr
    if "bug" in says:
        assert done.returncode == 70
    else:
        assert done.returncode == 2
        assert place.kept == KEPT
        assert "2 cells" in done.stdout


def test_reports_that_cannot_be_written_hide_no_result(place: Place) -> None:
    # A directory of that name appears while the run is at work: a test of reports, and not of --out.
    until_started = "until [ -e out/run.json ]; do sleep 0.02; done"
    line = f"$K {RUN} & P=$!; {until_started}; mkdir out/report.md; wait $P"
    done = place.shell(line, PLAYED_ERROR=ERROR)
    assert done.returncode == 100
    assert "the run's findings and reports could not be written: " in done.stderr
    assert "1 of 2 cells failed" in done.stdout


def test_a_terminal_that_goes_away_costs_nothing_of_a_run(place: Place) -> None:
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        # As under nohup, which would take its output away from the terminal: else the hangup is an interrupt.
        [
            "sh",
            "-c",
            'trap "" HUP; exec "$@"',
            "sh",
            sys.executable,
            "-m",
            "tests.fakes.program",
            *RUN.split(),
        ],
        cwd=place.root,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "KMATRIX_CACHE": str(place.root / "cache")},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        os.close(controller)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert place.kept == KEPT
    assert "this is a bug" not in err


@pytest.mark.parametrize("after", [0.15, 0.3, 0.5, 0.8])
def test_an_interrupt_while_it_starts_is_one_line_and_130(after: float, place: Place) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "KMATRIX_CACHE": str(place.root)}
    program = (
        "import sys, matrix.__main__ as start\n"
        "print('on the way', flush=True)\n"
        "sys.meta_path.insert(0, type('Slow', (), {'find_spec': staticmethod("
        "lambda *_: __import__('time').sleep(0.005))}))\n"
        "start.main()"
    )
    command = [sys.executable, "-c", program, "report", "--run", "nosuch"]
    with subprocess.Popen(
        command, cwd=place.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "kmatrix: interrupted\n")


# --- users who may not


@pytest.fixture
def foreign_place() -> Iterator[Place]:
    """A place that root owns and everybody can reach."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        made = Place(Path(directory))
        (made.root / "closed" / "tree").mkdir(parents=True)
        (made.root / "closed").chmod(0o700)
        for name, mode in (("secret.toml", 0o600), ("open", 0o777), ("cache", 0o755)):
            path = made.root / name
            path.write_text(SMALL_PROFILE) if name.endswith("toml") else path.mkdir()
            path.chmod(mode)
        yield made


# One process for all of them: the imports take most of the time. What nobody may read has no python to start.
_AS_NOBODY = """
import os, sys
import tasks
from matrix.commands import doctor, session, setup, sweep
from tests.fakes.program import _build_engine
engine = _build_engine()
for module in (session, setup, doctor, sweep):
    module.connect_engine = lambda: engine
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for line in sys.stdin.read().splitlines():
    environment, _, words = line.partition("|")
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in environment.split())
    try:
        tasks.program.run(["kmatrix", *words.split()])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print(code, flush=True, file=sys.stderr)
"""
_PERMISSIONS = [
    (
        "KMATRIX_CACHE=open/c",
        "plan --profile secret.toml",
        1,
        "secret.toml: cannot be read: Permission denied",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "plan --profile closed/x.toml",
        1,
        "closed/x.toml: cannot be read: Permission denied",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "plan --profile ok.toml --source closed/tree",
        1,
        "the source closed/tree cannot be read",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "plan --profile ok.toml --source closed/tree@v1",
        1,
        "cannot be read: Permission denied",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "plan --profile ok.toml --patch closed/x",
        1,
        "the patch closed/x cannot be read",
    ),
    ("KMATRIX_CACHE=open/c", "patch closed/x --profile ok.toml", 1, "the patch closed/x cannot be read"),
    (
        "KMATRIX_CACHE=open/c",
        "run --profile ok.toml --out closed/x",
        1,
        "closed/x cannot be written: Permission denied",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "run --profile ok.toml --out new",
        1,
        "new cannot be written: Permission denied",
    ),
    ("KMATRIX_CACHE=open/c", "run --known closed/x --profile ok.toml", 1, "closed/x: cannot be read"),
    (
        "KMATRIX_CACHE=open/c",
        "run --baseline closed/x --profile ok.toml",
        1,
        "the run closed/x cannot be read",
    ),
    (
        "KMATRIX_CACHE=open/c",
        "report --run closed/x",
        1,
        "the run closed/x cannot be read: Permission denied",
    ),
    ("KMATRIX_CACHE=open/c", "compare closed/x closed/x", 1, "the run closed/x cannot be read"),
    (
        "KMATRIX_CACHE=cache",
        "plan --profile ok.toml",
        2,
        "the cache .*/cache cannot be used: Permission denied",
    ),
    ("KMATRIX_CACHE=cache", "sweep", 2, "the cache .*/cache cannot be used: Permission denied"),
    ("KMATRIX_CACHE=closed/c", "plan --profile ok.toml", 2, "the cache .*/closed/c cannot be used"),
    (
        "KMATRIX_CACHE=new/c",
        "plan --profile ok.toml",
        2,
        "the cache .*/new/c cannot be used: Permission denied",
    ),
    ("HOME=/nosuch", "plan --profile ok.toml", 2, "the cache /nosuch/.cache/kmatrix cannot be used"),
    ("KMATRIX_CACHE=open/c", "plan --profile ok.toml", 0, "1 lane"),
]


def test_who_may_not_read_or_write_is_told_so(foreign_place: Place) -> None:
    asked = "\n".join(f"{environment}|{words}" for environment, words, _, _ in _PERMISSIONS)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY],
        input=asked,
        cwd=foreign_place.root,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    answers = re.findall(r"((?:.*\n)*?)(\d+)\n", done.stderr)
    assert len(answers) == len(_PERMISSIONS), done.stderr
    for (_, words, code, says), (said, ended) in zip(_PERMISSIONS, answers, strict=True):
        assert re.search(says, said), (words, said)
        assert int(ended) == code, (words, said)


def test_a_user_without_a_home_and_an_account_is_told_what_to_set(foreign_place: Place) -> None:
    program = _AS_NOBODY.replace("65534", "54321")
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="|plan --profile ok.toml\n|sweep\n|plan --profile ok.toml --source ~/x",
        cwd=foreign_place.root,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr.count("kmatrix: this user has no home directory") == 2, done.stderr
    assert done.stderr.count("set KMATRIX_CACHE to a directory of yours, or HOME") == 2
    assert "kmatrix: ~/x: there is no such user here" in done.stderr
    assert "this is a bug" not in done.stderr


# --- in this process


def test_streams_that_are_not_the_process_own_stay(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with guard_standard_streams():
        assert (sys.stdout, sys.stderr) == before
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "")


# `shell_words` and the container's own shell aside, these alone may write to a stream.
_MAY_WRITE = {
    "matrix/error_report.py",
    "matrix/task_program.py",
    "matrix/tasks/main_job.py",
    "matrix/tasks/what_a_run_found.py",
    "reports/__init__.py",
    "reports/format_outputs.py",
    "reports/log_formats.py",
    "reports/terminal.py",
    "reports/workflow_commands.py",
}


def test_nothing_else_writes_to_a_stream() -> None:
    pattern = re.compile(
        r"sys\.(__)?std(out|err)(__)?\.write|(?<!\.)\bprint\(|traceback\.print|console\.file\.write"
    )
    files = [*ROOT.glob("matrix/**/*.py"), *ROOT.glob("reports/**/*.py"), ROOT / "tasks.py"]
    found = {str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text())}
    assert found <= _MAY_WRITE
