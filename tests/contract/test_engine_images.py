"""Images of every engine: the same cases on the fake and on real ones."""

from pathlib import Path

import pytest

from matrix.engine.image_archive import load_images, save_images
from matrix.errors import EngineError, RegistryError
from tests.contract.engine_bench import RUN, Bench
from tests.fakes.engine import FakeEngine


def test_an_image_is_tagged_listed_and_removed(bench: Bench) -> None:
    name = f"kmatrix/{RUN}:copy"
    bench.engine.tag_image(bench.image, name)
    assert bench.engine.find_image_id(name) == bench.engine.find_image_id(bench.image)
    assert bench.engine.list_images()[name] > 0
    bench.engine.remove_image(name)
    assert bench.engine.find_image_id(name) is None
    assert bench.engine.find_image_id(bench.image)


def test_an_image_is_built_and_its_output_given(bench: Bench) -> None:
    name = f"kmatrix/{RUN}:built"
    lines: list[str] = []
    made = bench.engine.build_image(name, {"Dockerfile": f"FROM {bench.image}\nENV A=b\n"}, lines.append)
    try:
        assert made == bench.engine.find_image_id(name)
        # Podman shouts.
        assert any(line.capitalize().startswith("Step 1") and bench.image in line for line in lines)
        assert name in bench.engine.list_images()
    finally:
        bench.engine.remove_image(name)


def test_images_that_were_saved_and_removed_are_loaded_as_they_were(bench: Bench, tmp_path: Path) -> None:
    names = [f"kmatrix/{RUN}:saved-{letter}" for letter in "ab"]
    built = {
        name: bench.engine.build_image(
            name, {"Dockerfile": f"FROM {bench.image}\nENV NAME={name}\n"}, lambda _: None
        )
        for name in names
    }
    try:
        assert save_images(bench.engine, names, tmp_path / "images.tar") == built
        for name in names:
            bench.engine.remove_image(name)
            assert bench.engine.find_image_id(name) is None
        assert load_images(bench.engine, names, tmp_path / "images.tar") == built
        assert built.items() <= {name: bench.engine.find_image_id(name) for name in names}.items()
    finally:
        for name in names:
            bench.engine.remove_image(name)


def test_an_image_that_is_not_there_is_not_saved(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        save_images(bench.engine, ["kmatrix/never:was"], tmp_path / "images.tar")
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_no_layers_is_the_engine_s_error(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(b"no tar")
    if not isinstance(bench.engine, FakeEngine):
        with (tmp_path / "images.tar").open("rb") as file, pytest.raises(EngineError):
            bench.engine.load_images(file)


def test_an_unreachable_registry_is_said(bench: Bench) -> None:
    if isinstance(bench.engine, FakeEngine):
        bench.engine.shared.fault = "dial tcp: connect: connection refused"
    with pytest.raises(RegistryError, match="localhost:1: it does not answer"):
        bench.engine.pull_image("localhost:1/kmatrix/nothing:none")
