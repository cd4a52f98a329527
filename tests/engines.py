"""The engines that tests run on: Docker, and Podman beside it with Docker's own images.

``KMATRIX_TEST_ENGINES=docker,podman`` says which must be there, as in CI: a missing Podman is then installed
and started. Otherwise a test on an engine that does not answer is skipped.
"""

import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import gettempdir

import pytest

from matrix.catalog.types import ROOT_IMAGE
from matrix.commands.setup import start_podman
from matrix.engine.bootstrap import HostSystem, apt_install
from matrix.engine.connect import ENGINES
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.docker_host import find_docker
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.podman_host import find_podman
from matrix.errors import EngineError
from matrix.fs import lock_path

REQUIRED_ENGINES = frozenset(re.findall(r"\w+", os.environ.get("KMATRIX_TEST_ENGINES", "")))
REAL_ENGINES = [pytest.param(name, marks=pytest.mark.engine) for name in ENGINES]
ON_DOCKER_ALONE = pytest.mark.parametrize("each_engine", ["docker"], indirect=True, scope="module")
"""For a test whose module runs on each engine, and which takes long and shows nothing of the engine."""
IMAGES = (
    ROOT_IMAGE.tag,
    compute_base_tag(),
    ImageRecipe("gcc-14", "gcc", 14).tag,
    ImageRecipe("clang-19", "clang", 19).tag,
)


_PODMAN_LOCK = Path(gettempdir(), f"kmatrix-tests-podman-{os.getuid()}.lock")


@cache
def find_engine_url(name: str) -> str:
    """The URL of an engine that is ready. Skips the test where it is not on this machine, and need not be."""
    try:
        return find_docker() if name == "docker" else _prepare_podman()
    except EngineError as error:
        if name in REQUIRED_ENGINES:
            raise
        pytest.skip(f"{name}: {error}")


def open_engine(name: str) -> DockerEngine:
    """A real engine by its name."""
    return DockerEngine(find_engine_url(name))


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """While the ``with`` block runs, this is the engine of kmatrix, of its processes, of Docker's client."""
    url = find_engine_url(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", url)
        yield


def link_programs(directory: Path, engine: str) -> str:
    """A PATH with all programs of this machine in ``directory``, but for those of other engines."""
    directory.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            if not program.name.startswith(("docker", "podman")) and not (directory / program.name).exists():
                (directory / program.name).symlink_to(program)
    (directory / engine).symlink_to(str(shutil.which(engine)))
    return str(directory)


def _prepare_podman() -> str:
    # Several processes run tests, and each needs it.
    with lock_path(_PODMAN_LOCK):
        if "podman" in REQUIRED_ENGINES:
            _start_podman()
        url = find_podman()
        _load_images(DockerEngine(url), url)
    return url


def _start_podman() -> None:
    if not HostSystem().has_program("podman"):
        apt_install(["podman", "uidmap"], print)
    try:
        find_podman()
    except EngineError:
        with warnings.catch_warnings():
            # It works on when these tests are over.
            warnings.simplefilter("ignore", ResourceWarning)
            start_podman(print)


def _load_images(podman: DockerEngine, url: str) -> None:
    """Give Podman the images that Docker has. Their ids stay the same, so nothing is built twice."""
    try:
        docker = open_engine("docker")
    except EngineError:
        return
    ids = {tag: docker.find_image_id(tag) for tag in IMAGES}
    missing = [tag for tag, found in ids.items() if found and podman.find_image_id(tag) != found]
    if not missing:
        return
    with subprocess.Popen(["docker", "save", *missing], stdout=subprocess.PIPE) as saved:
        loading = ["podman", "--url", url, "load", "--quiet"]
        subprocess.run(loading, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)
    assert {tag: podman.find_image_id(tag) for tag in missing} == {tag: ids[tag] for tag in missing}
