"""The containers of a worker that was killed go, and no others."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from matrix.commands import worker_guard
from matrix.commands.worker_guard import remove_containers
from matrix.engine.protocol import LABEL
from tests.e2e.places import ROOT
from tests.fakes.engine import FakeEngine


class OwnedContainers(FakeEngine):
    """An engine with containers that are there: name → owner. A ``late`` one comes when it is asked twice."""

    def __init__(self, owners: dict[str, str], late: dict[str, str] | None = None) -> None:
        super().__init__()
        self.owners = owners
        self.late = late or {}

    def list_containers(self, label: str = LABEL) -> dict[str, str]:
        assert label == LABEL
        shown = dict(self.owners)
        self.owners |= self.late
        self.late = {}
        return shown

    def remove_container(self, name: str) -> None:
        del self.owners[name]


def test_those_go_whose_owner_ends_with_the_token() -> None:
    engine = OwnedContainers(
        {"a": "run-0123abcd", "b": "run-99999999", "c": "other-0123abcd", "d": "0123abcd-run"}
    )
    remove_containers(engine, "0123abcd")
    assert sorted(engine.owners) == ["b", "d"]


def test_one_that_the_engine_was_still_starting_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OwnedContainers({"a": "run-token"}, late={"b": "run-token"})
    monkeypatch.setattr(worker_guard, "connect_engine", lambda: engine)
    monkeypatch.setattr(worker_guard, "_LATE_SECONDS", 0.0)
    monkeypatch.setattr(worker_guard, "wait_for_end", lambda: None)
    worker_guard.wait_and_remove("token")
    assert engine.owners == {}


GUARDED = """\
    import os, signal, sys
    from matrix.commands import worker_guard

    sys.executable = sys.argv[1]
    with worker_guard.guard_containers(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
"""
GUARD = """\
    #!/bin/sh
    cat > "$3.told"
    touch "$3"
"""


def test_the_guard_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    program, ended = tmp_path / "guard", tmp_path / "ended"
    program.write_text(textwrap.dedent(GUARD))
    program.chmod(0o755)
    words = [sys.executable, "-c", textwrap.dedent(GUARDED), str(program), str(ended)]
    # Its output ends with the guard, and not with what it guards.
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=120)
    assert done.returncode == -9
    assert ended.exists()
