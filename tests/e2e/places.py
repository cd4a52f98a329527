"""A cache and a run of its own, with kmatrix as processes that are stopped there and go on."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Run
from tests.e2e.conftest import MINIATURE
from tests.fakes.described_runs import describe_run, describe_verdict

ROOT = Path(__file__).parents[2]
ONE_LANE = MINIATURE.replace('"gcc-14", "clang-19"', '"gcc-14"')
Kmatrix = subprocess.Popen[str]
_BEGUN = {"run": "run.json", "patch": "request.json"}
"""What is there as soon as what a task makes can go on."""


@dataclass
class Place:
    """``words`` are what a run, or with the ``task`` `patch` a verdict, is begun with; ``code`` is what it
    exits with when nobody disturbs it.

    ``patience``: seconds that it may take. ``seed``: a cache that it begins with, as a copy. ``host``: the
    engine's address, if it is another.
    """

    root: Path
    words: tuple[str, ...]
    profile: str = ONE_LANE
    code: int = 100
    seed: Path | None = None
    host: str = ""
    task: str = "run"
    patience: float = 280

    def __post_init__(self) -> None:
        self.root.mkdir()
        (self.root / "story.toml").write_text(self.profile)
        if self.seed is not None:
            subprocess.run(["cp", "-a", "--", self.seed, self.cache], check=True)

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def out(self) -> Path:
        return self.root / "run"

    @property
    def environment(self) -> dict[str, str]:
        host = {"DOCKER_HOST": self.host} if self.host else {}
        return os.environ | {"PYTHONPATH": str(ROOT), "KMATRIX_CACHE": str(self.cache)} | host

    def start(self, *words: str) -> Kmatrix:
        return subprocess.Popen(
            [sys.executable, "-m", "matrix", self.task, *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begin(self) -> Kmatrix:
        return self.start("--profile", str(self.root / "story.toml"), *self.words, "--out", str(self.out))

    def finish(self) -> str:
        """Resume what there is, or begin where there is nothing; what was printed."""
        if (self.out / _BEGUN[self.task]).exists():
            process = self.start("--resume", str(self.out))
        else:
            shutil.rmtree(self.out, ignore_errors=True)
            process = self.begin()
        said, _ = process.communicate(timeout=self.patience)
        assert process.returncode == self.code, said
        return said

    def load(self) -> Run:
        return RunDirectory.load(self.out).run

    def describe(self) -> dict[str, Any]:
        if self.task == "patch":
            return describe_verdict(self.out, self.root)
        return describe_run(RunDirectory.load(self.out), self.root)

    def docker(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["docker", *words], env=self.environment, capture_output=True, text=True, check=False
        )

    def containers(self, *filters: str) -> list[str]:
        """The names of those that mount something of this cache."""
        shown = ("--format", "{{.Names}} {{.Mounts}}", "--no-trunc", *(f"--filter={one}" for one in filters))
        lines = self.docker("ps", "--all", *shown).stdout.splitlines()
        return [line.split()[0] for line in lines if f"{self.cache}" in line]

    def count_finished(self) -> int:
        """Cells that have their results on disk, of a verdict in all of its runs."""
        runs = [path.parent for path in (*self.out.glob("run.json"), *self.out.glob("*/run.json"))]
        return sum(cell.is_finished for run in runs for cell in RunDirectory.load(run).run.cells)


def wait_until(is_so: Callable[[], object], process: Kmatrix, seconds: float = 200) -> None:
    """Wait for something that happens while kmatrix works."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def round_seconds(seconds: Iterable[float]) -> list[float]:
    return [round(one, 1) for one in seconds]
