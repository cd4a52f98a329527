"""What holds for every test without an engine: nobody waits for a fault of the machine to pass, and nobody
is told of the failures of another test's run."""

import pytest

from matrix.builder import run_context
from matrix.side_failures import take_side_failures


@pytest.fixture(autouse=True)
def _own_side_failures() -> None:
    take_side_failures()


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "RETRY_DELAY", 0.0)
