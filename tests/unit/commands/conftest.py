"""A desk for each test of this folder: the modules that need another have their own."""

from pathlib import Path

import pytest

from tests.unit.commands.run_desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
