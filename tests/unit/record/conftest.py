"""A directory for each test's run."""

from pathlib import Path

import pytest

from matrix.record.journal import claim_run_directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "runs" / "20261122-093015-story"
    claim_run_directory(place)
    return place
