"""Who enters a container of any engine: the same cases on the fake and on real ones."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.engine.connect import choose_container_user
from matrix.engine.protocol import ContainerLimits, Mount
from matrix.errors import EngineError
from tests.contract.engine_bench import Bench


def test_who_enters_gets_the_output_as_it_is_and_the_exit_code(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.engine.run_interactively(bench.container("echo one; exit 3")) == 3
    assert capfd.readouterr().out == "one\n"
    assert bench.engine.run_interactively(bench.container("exit 0")) == 0


def test_what_is_entered_is_as_hardened_as_what_is_run(
    bench: Bench, writable: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.engine.run_interactively(bench.container("touch /usr/x")) == 1
    assert bench.engine.run_interactively(bench.container("touch /in/x", Mount(writable, "/in"))) == 1
    capfd.readouterr()
    assert bench.engine.run_interactively(bench.container("id -u; ls /sys/class/net")) == 0
    assert capfd.readouterr().out.split() == [choose_container_user().split(":")[0], "lo"]


def test_who_has_entered_may_stay(bench: Bench) -> None:
    assert (
        bench.engine.run_interactively(
            bench.container("sleep 1; exit 4", limits=ContainerLimits(seconds=0.2))
        )
        == 4
    )


def test_who_is_interrupted_inside_leaves_nothing(bench: Bench) -> None:
    container = bench.container("sleep 30")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_interrupt_when, lambda: container.name in bench.ours())
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            bench.engine.run_interactively(container)
    assert bench.ours() == []
    assert time.monotonic() - started < 15


def _interrupt_when(ready: Callable[[], bool]) -> None:
    while not ready():
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def test_entering_an_unknown_image_is_the_engines_error(bench: Bench) -> None:
    container = replace(bench.container("exit 0"), image="kmatrix/nowhere:none")
    with pytest.raises(EngineError, match="kmatrix/nowhere:none") as caught:
        bench.engine.run_interactively(container)
    assert "./inv images" in caught.value.hint
