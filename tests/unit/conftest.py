"""What holds for every test without an engine: nobody waits for a fault of the machine to pass."""

import pytest

from matrix.builder import run_context


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "RETRY_DELAY", 0.0)
