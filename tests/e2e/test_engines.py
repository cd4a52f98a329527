"""One matrix of the miniature tree on two engines: the same cells end the same way, for the same reasons."""

import pytest

from matrix.record.run_model import Run
from tests.e2e.conftest import Kmatrix, by_state
from tests.minitree import REGRESSION

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("each_engine")]
RUNS: dict[str, Run] = {}
"""The run of each engine that was tried."""


def test_a_run_tells_its_engine_and_finds_what_any_other_finds(kmatrix: Kmatrix, each_engine: str) -> None:
    select = ["MODULES=n,KVM=y", "MODULES=y,KVM=m,VFIO=m"]
    run = RUNS[each_engine] = kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)], select=select)
    assert run.host.engine.split()[0] == each_engine
    states = by_state(run)
    assert states.keys() >= {"pass", "fail"}
    for other in RUNS.values():
        assert by_state(other) == states
        assert set(other.diagnostics) == set(run.diagnostics)
        configs = [cell.config_sha256 for cell in other.cells]
        assert configs == [cell.config_sha256 for cell in run.cells]


def test_memory_that_runs_out_is_told_on_each(kmatrix: Kmatrix) -> None:
    tree = kmatrix.place / "tree"
    rules = tree / "arch/powerpc/kvm/Makefile"
    hog = "HOOK := $(if $(shell python3 -c 'bytearray(2**30)' && echo y),,$(error no))"
    rules.write_text(f"{hog}\n{rules.read_text()}")
    run = kmatrix.run(
        source=[kmatrix.tree],
        toolchain=["gcc-14"],
        select=["MODULES=n,KVM=y,VFIO=n"],
        memory=["128M"],
        retries=["0"],
    )
    assert list(by_state(run)) == ["oom"]
