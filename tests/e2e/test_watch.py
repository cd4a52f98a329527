"""A branch of a real repository, watched by processes with a real engine: killed, begun again, ended."""

import mailbox
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from matrix.engine.connect import connect_engine
from matrix.engine.step import list_containers_of
from matrix.record.run_directory import load_run
from tests.e2e.places import ONE_LANE
from tests.fakes.host_git import git
from tests.minitree import REGRESSION, patched

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
PARTS = ("matrix", "reports", "dockerfiles", "tasks.py", "pyproject.toml")


class Watched:
    """A copy of kmatrix, whose runs lie in it, and a repository with the miniature tree."""

    def __init__(self, place: Path) -> None:
        self.place, self.checkout, self.mails = place, place / "kmatrix", place / "mails"
        self.checkout.mkdir()
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, self.checkout / part)
        self.tree = patched(place / "tree")
        (place / "story.toml").write_text(ONE_LANE)
        git(self.tree, "init", "--quiet", "--initial-branch=master")
        self.commit()

    def commit(self) -> str:
        git(self.tree, "add", "--all")
        git(self.tree, "commit", "--quiet", "--message=x")
        return git(self.tree, "rev-parse", "HEAD")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        asked = ("--profile", str(self.place / "story.toml"), "--select", "KVM=y,MODULES=n")
        named = ("--source", f"{self.tree}@master", "--mail-to", str(self.mails))
        return subprocess.Popen(
            [sys.executable, "-m", "matrix", "watch", *asked, *named, *words],
            cwd=self.place,
            env=os.environ | {"PYTHONPATH": str(self.checkout), "KMATRIX_CACHE": str(self.place / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def look(self) -> tuple[int, str]:
        """The exit code of one look, and what it printed."""
        process = self.start("--once")
        said = process.communicate(timeout=250)[0]
        return process.returncode, said

    def runs(self) -> list[Path]:
        return sorted((self.checkout / "runs").glob("2*"))

    def subjects(self) -> list[str]:
        if not self.mails.exists():
            return []
        with closing(mailbox.mbox(self.mails)) as box:
            return [str(mail["Subject"]) for mail in box]


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)


def test_a_branch_is_watched(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    # Killed in its first build: the next look goes on with that.
    process = watched.start("--once")
    wait_until(lambda: any((run / "run.json").exists() for run in watched.runs()), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert load_run(watched.runs()[0]).finished is None
    code, said = watched.look()
    assert (code, len(watched.runs())) == (0, 1), said
    code, said = watched.look()
    assert (code, len(watched.runs())) == (0, 1), said
    assert "was built" in said
    assert watched.subjects() == []
    # Something is new, and told once.
    git(watched.tree, "apply", str(REGRESSION))
    watched.commit()
    assert watched.look()[0] == 100
    assert watched.look()[0] == 0
    assert len(watched.subjects()) == 1
    assert "1 new" in watched.subjects()[0]
    # A loop sees that it is fixed, keeps another out, and ends with Ctrl-C.
    git(watched.tree, "revert", "--no-edit", "HEAD")
    loop = watched.start("--every", "1s")
    wait_until(lambda: len(watched.subjects()) == 2, loop)
    assert "1 fixed" in watched.subjects()[1]
    code, said = watched.look()
    assert code == 1
    assert "is watched already" in said
    loop.send_signal(signal.SIGINT)
    said = loop.communicate(timeout=60)[0]
    assert loop.returncode == 130, said
    assert "The next look is at" in said
    assert len(watched.runs()) == 3
    assert not list_containers_of(connect_engine(), watched.place / "cache")
