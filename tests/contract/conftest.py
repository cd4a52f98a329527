"""The fake engine and each real one of the table, for the cases that all must pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.engine_bench import Bench, open_bench, toy_shell
from tests.engines import REAL_ENGINES
from tests.fakes.engine import FakeEngine


@pytest.fixture(params=REAL_ENGINES)
def real(request: pytest.FixtureRequest) -> Bench:
    return open_bench(request.param)


@pytest.fixture(params=["fake", *REAL_ENGINES])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        bench = Bench(FakeEngine(toy_shell, images=["kmatrix/base:fake"]), "kmatrix/base:fake")
    else:
        bench = open_bench(request.param)
    yield bench
    assert bench.ours() == [], "a container was left behind"


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A directory of the host that a container's user may write to."""
    directory = tmp_path / "a directory: with a colon"
    directory.mkdir()
    directory.chmod(0o777)
    return directory
