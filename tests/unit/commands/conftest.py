"""A desk for each test of this folder: the modules that need another have their own."""

from pathlib import Path

import pytest

from tests.unit.commands.resume_desk import ResumedDesk


@pytest.fixture
def desk(tmp_path: Path) -> ResumedDesk:
    """One whose runs can be stopped, and go on."""
    return ResumedDesk(tmp_path)
