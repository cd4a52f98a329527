"""Doctor on the real engine: what cells rely on is applied here."""

import threading

import pytest

from matrix.catalog.load import load_profile
from matrix.commands.doctor import diagnose_machine
from matrix.engine import images
from matrix.engine.connect import connect_engine
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.protocol import ContainerResult, ContainerSpec, LineCallback

# The first test of all with an engine: where nothing is set up, it bootstraps the base image.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@pytest.mark.usefixtures("each_engine")
def test_the_isolation_of_this_machine_is_applied_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # By name: another kmatrix on this engine may have its own containers, another doctor's among them.
    names: list[str] = []
    run_container = DockerEngine.run_container

    def run_recorded(
        engine: DockerEngine, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        names.append(container.name)
        return run_container(engine, container, on_line, cancel)

    monkeypatch.setattr(DockerEngine, "run_container", run_recorded)
    engine = connect_engine()
    images.ensure_base_image(engine, lambda _: None, install=True)
    found = {each.subject: each for each in diagnose_machine(load_profile("quick"))}
    assert found["engine"].ok, found["engine"].message
    assert found["isolation"].ok, found["isolation"].message
    assert any(name.startswith("kmatrix-doctor-") for name in names)
    assert engine.list_containers().keys().isdisjoint(names)
