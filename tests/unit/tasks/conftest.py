"""For each test of this folder: no engine and no run but its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.catalog.load import load_profile
from matrix.commands import session
from tests.fakes.runs import the_story


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
