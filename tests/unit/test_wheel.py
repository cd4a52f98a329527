"""A wheel of the tree, installed where there is no tree: it has its data, and works from any directory."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORED_RUN = ROOT / "tests/old_run/after"
PACKAGED = ("matrix", "reports", "dockerfiles")
_LEFT_BY_TOOLS = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True)
class Installed:
    """A wheel, and a virtual environment in which it is installed."""

    wheel: Path
    environment: Path

    def run(self, directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        """The program that the wheel installs, in a directory with no engine and no cache."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "KMATRIX_CACHE": str(directory / "cache"),
            "DOCKER_HOST": f"unix://{directory}/nobody.sock",
        }
        return subprocess.run(
            [self.environment / "bin/kmatrix", *words],
            cwd=directory,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    place = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(copy_sources(place / "tree"), place / "dist")
    environment = place / "environment"
    venv.create(environment)
    run_pip("--python", str(environment), "install", "--no-deps", str(wheel))
    # The dependencies are this environment's. Only now: pip would find kmatrix itself there.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield Installed(wheel, environment)
    shutil.rmtree(place)


def copy_sources(to: Path) -> Path:
    """The tree without what tools leave in it, as setuptools writes into the tree that it builds."""
    to.mkdir()
    for name in PACKAGED:
        shutil.copytree(ROOT / name, to / name, ignore=_LEFT_BY_TOOLS)
    for name in ("tasks.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, to)
    return to


def build_wheel(tree: Path, to: Path) -> Path:
    run_pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(to), str(tree))
    (wheel,) = to.iterdir()
    return wheel


def run_pip(*words: str) -> None:
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], env=offline, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_of_the_packages_is_in_the_wheel(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    paths = (path for name in PACKAGED for path in (ROOT / name).rglob("*"))
    files = {str(path.relative_to(ROOT)) for path in paths if path.is_file() and path.suffix != ".pyc"}
    assert packed == files | {"tasks.py"}
    assert {Path(name).suffix for name in packed} >= {".py", ".toml", ".json", ".j2"}


def test_help_is_there_without_a_tree(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "--list" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_plan_needs_nothing_but_an_engine(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "plan", "--profile", "quick")
    assert done.returncode == 2, done.stderr
    assert "nobody.sock" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_catalog_is_read_before_any_engine_is_asked(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "plan", "--arch", "pdp11")
    assert done.returncode == 1
    assert "powerpc" in done.stderr, "the arches that there are"


_READS_ITS_FILES = """
from matrix.commands.session import build_tool_record
from matrix.engine.images import ImageRecipe, list_image_templates

assert list_image_templates() == ("clang", "gcc")
assert "gcc-14" in ImageRecipe("gcc-14", "gcc", 14).dockerfiles[1]
assert build_tool_record().commit is None
"""


def test_what_the_code_reads_is_found_where_it_is_installed(installed: Installed, tmp_path: Path) -> None:
    python = installed.environment / "bin/python"
    subprocess.run([python, "-I", "-c", _READS_ITS_FILES], cwd=tmp_path, check=True)


@pytest.mark.parametrize("shape", ["terminal", "html"])
def test_runs_lie_in_the_current_directory_and_are_reported(
    installed: Installed, tmp_path: Path, shape: str
) -> None:
    shutil.copytree(STORED_RUN, tmp_path / "runs/a-run")
    done = installed.run(tmp_path, "report", "--run", "a-run", "--format", shape)
    assert done.returncode == 0, done.stderr
    assert "weak declaration of" in done.stdout


def test_what_needs_a_checkout_is_refused_with_that_reason(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(tmp_path, "lint")
    assert done.returncode == 1
    assert "in a checkout" in done.stderr
