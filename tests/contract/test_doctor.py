"""Doctor on the real engine: what cells rely on is applied here."""

import pytest

from matrix.catalog.load import load_profile
from matrix.commands.doctor import diagnose_machine
from matrix.engine import images
from matrix.engine.connect import connect_engine

pytestmark = pytest.mark.engine


def test_the_isolation_of_this_machine_is_applied_and_leaves_nothing() -> None:
    engine = connect_engine()
    images.ensure_base_image(engine, lambda _: None, install=True)
    found = {each.subject: each for each in diagnose_machine(load_profile("quick"))}
    assert found["engine"].ok, found["engine"].message
    assert found["isolation"].ok, found["isolation"].message
    assert [name for name in engine.list_containers() if name.startswith("kmatrix-doctor-")] == []
