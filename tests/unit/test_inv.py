"""The wrapper ``./inv`` in a small checkout of its own, with a python that only plays one: no network."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NOBODY = 65534

# Plays python: its venv is a directory with itself and a kmatrix in it; its pip notes what it was asked.
_PYTHON = """#!/bin/sh
case "$1 $2" in
"-V ") echo "Python ${PLAYED_VERSION:-3.11.2}" ;;
"-c import sys"*)
    [ -z "${PLAYED_VERSION-}" ] ;;
"-c from importlib"*) ;;
"-m venv")
    echo venv >>"$PLAYED_LOG"
    [ -z "${VENV_FAILS-}" ] || { echo "ensurepip is not available"; mkdir -p "$3/bin"; exit 1; }
    sleep "${VENV_TAKES:-0}"
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    cp "$PLAYED_KMATRIX" "$3/bin/kmatrix" ;;
"-m pip")
    echo "pip $*" >>"$PLAYED_LOG"
    [ -z "${PIP_FAILS-}" ] || { echo "no matching distribution"; exit 1; } ;;
*) exec "$REAL_PYTHON" "$@" ;;
esac
"""
_KMATRIX = """#!/bin/sh
for word; do printf '<%s>' "$word"; done
exit "${KMATRIX_EXITS:-0}"
"""


class Checkout:
    """A checkout with nothing but what the wrapper reads, in a directory whose name has spaces."""

    def __init__(self, place: Path) -> None:
        self.root = place / "a check  out"
        self.root.mkdir()
        for name in ("inv", "requirements.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        self.python = self._script(place / "my bin" / "python3", _PYTHON)
        self.kmatrix = self._script(place / "kmatrix", _KMATRIX)
        self.log = place / "log"
        self.elsewhere = place
        self.user: int | None = None

    @staticmethod
    def _script(path: Path, text: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        known: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "PYTHON": str(self.python),
            "PLAYED_LOG": str(self.log),
            "PLAYED_KMATRIX": str(self.kmatrix),
            "REAL_PYTHON": sys.executable,
        }
        return subprocess.Popen(
            [self.root / "inv", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.elsewhere,
            env={**known, **environment},
            user=self.user,
        )

    def inv(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        with self.start(*words, **environment) as process:
            out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @property
    def made(self) -> int:
        """How often the virtual environment was made."""
        return self.log.read_text().split("\n").count("venv") if self.log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def open_checkout() -> Iterator[Checkout]:
    """One that every user can reach, as the tests' own directory is not."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Checkout(Path(place))


def test_it_passes_words_and_exit_code_through_from_any_directory(checkout: Checkout) -> None:
    done = checkout.inv("run", "--select", "KVM=y and *", "", KMATRIX_EXITS="101")
    assert (done.returncode, done.stdout) == (101, "<run><--select><KVM=y and *><>")


def test_it_makes_the_environment_once_and_then_is_silent(checkout: Checkout) -> None:
    first, second = checkout.inv("a"), checkout.inv("b")
    assert checkout.made == 1
    assert "making the virtual environment" in first.stderr
    assert first.stdout == "<a>"
    assert (second.stdout, second.stderr) == ("<b>", "")


def test_it_installs_exactly_what_is_pinned(checkout: Checkout) -> None:
    checkout.inv()
    pins, ours = [line for line in checkout.log.read_text().splitlines() if line.startswith("pip")]
    assert "--require-hashes" in pins
    assert f"-r {checkout.root}/requirements.txt" in pins
    assert "--no-deps" in ours
    assert "--no-build-isolation" in ours


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_it_makes_the_environment_again_when_the_pins_changed(checkout: Checkout, name: str) -> None:
    checkout.inv()
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    assert checkout.inv("a").stdout == "<a>"
    assert checkout.made == 2
    checkout.inv()
    assert checkout.made == 2


def test_it_makes_the_environment_again_where_the_checkout_was_moved(checkout: Checkout) -> None:
    checkout.inv()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.inv("a").stdout == "<a>"
    assert checkout.made == 2


def test_it_says_what_to_install_where_no_environment_can_be_made(checkout: Checkout) -> None:
    done = checkout.inv(VENV_FAILS="1")
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stderr
    assert "ensurepip is not available" in done.stderr
    assert not (checkout.root / ".venv").exists()
    assert checkout.inv("a").stdout == "<a>"


def test_it_refuses_an_old_python_before_it_makes_anything(checkout: Checkout) -> None:
    done = checkout.inv(PLAYED_VERSION="3.9.2")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "PYTHON=python3.11" in done.stderr
    assert checkout.made == 0
    assert not (checkout.root / ".venv").exists()


def test_the_version_that_it_asks_for_is_the_one_of_the_project(checkout: Checkout) -> None:
    assert 'requires-python = ">=3.11"' in (checkout.root / "pyproject.toml").read_text()
    assert "version_info < (3, 11)" in (checkout.root / "inv").read_text()


def test_it_says_what_to_install_where_there_is_no_python(checkout: Checkout) -> None:
    done = checkout.inv(PYTHON="python-that-is-not-there")
    assert done.returncode == 2
    assert "python-that-is-not-there" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_a_failed_installation_is_told_and_tried_again_next_time(checkout: Checkout) -> None:
    done = checkout.inv(PIP_FAILS="1")
    assert done.returncode == 2
    assert "no matching distribution" in done.stderr
    assert f"{checkout.root}/.venv.log" in done.stderr
    assert done.stdout == ""
    assert not (checkout.root / ".venv" / "stamp").exists()
    assert checkout.inv("a").stdout == "<a>"
    assert checkout.made == 2


def test_an_environment_that_was_half_made_is_made_anew(checkout: Checkout) -> None:
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / "left").touch()
    assert checkout.inv("a").stdout == "<a>"
    assert not (checkout.root / ".venv" / "left").exists()


def test_two_at_once_make_the_environment_once(checkout: Checkout) -> None:
    with checkout.start("a", VENV_TAKES="0.5") as one, checkout.start("b", VENV_TAKES="0.5") as other:
        said = {one.communicate(timeout=30)[0], other.communicate(timeout=30)[0]}
    assert said == {"<a>", "<b>"}
    assert checkout.made == 1


def test_another_python_on_the_path_does_not_matter_to_an_environment_that_works(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.inv()
    other = tmp_path / "cron" / "python3"
    checkout._script(other, '#!/bin/sh\necho "Python 3.12.1"\n')
    done = checkout.inv("a", PYTHON="", PATH=f"{other.parent}:{os.environ['PATH']}")
    assert (done.stdout, done.stderr) == ("<a>", "")
    assert checkout.made == 1


def test_no_python_on_the_path_does_not_matter_either(checkout: Checkout, tmp_path: Path) -> None:
    checkout.inv()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "dirname", "readlink"):
        (tools / name).symlink_to(str(shutil.which(name)))
    assert checkout.inv("a", PYTHON="", PATH=str(tools)).stdout == "<a>"


def test_a_python_that_is_asked_for_by_name_is_taken(checkout: Checkout, tmp_path: Path) -> None:
    checkout.inv()
    newer = checkout._script(
        tmp_path / "newer" / "python3", checkout.python.read_text().replace("3.11.2", "3.12.1")
    )
    assert checkout.inv("a", PYTHON=str(newer)).stdout == "<a>"
    assert checkout.made == 2
    assert checkout.inv("a", PYTHON="").stdout == "<a>"
    assert checkout.made == 2


@pytest.mark.parametrize("broken", ["bin/python", "bin"])
def test_an_environment_whose_own_python_is_gone_is_made_again(checkout: Checkout, broken: str) -> None:
    checkout.inv()
    path = checkout.root / ".venv" / broken
    path.rename(path.with_name("gone"))
    assert checkout.inv("a").stdout == "<a>"
    assert checkout.made == 2


def test_an_environment_that_root_made_serves_every_user(open_checkout: Checkout) -> None:
    open_checkout.inv()
    (open_checkout.root / ".venv.lock").chmod(0o600)
    open_checkout.user = _NOBODY
    done = open_checkout.inv("a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "<a>", "")


def test_a_checkout_that_may_not_be_written_says_so_where_the_environment_has_to_be_made(
    open_checkout: Checkout,
) -> None:
    open_checkout.user = _NOBODY
    done = open_checkout.inv("a")
    assert done.returncode == 2
    assert f"you may not write {open_checkout.root}" in done.stderr
    assert "Let its owner run" in done.stderr
    assert done.stdout == ""


def test_an_old_environment_of_somebody_else_is_named(open_checkout: Checkout) -> None:
    open_checkout.inv()
    (open_checkout.root / "requirements.txt").write_text("# changed\n")
    open_checkout.root.chmod(0o777)
    open_checkout.user = _NOBODY
    done = open_checkout.inv("a")
    assert done.returncode == 2
    assert f"{open_checkout.root}/.venv has to be made again, and belongs to somebody else" in done.stderr
    assert open_checkout.made == 1


def test_it_is_found_through_a_link_whatever_cdpath_says_and_without_a_home(
    checkout: Checkout, tmp_path: Path
) -> None:
    link = tmp_path / "elsewhere" / "kmatrix-inv"
    link.parent.mkdir()
    link.symlink_to(checkout.root / "inv")
    (tmp_path / "a check  out again").symlink_to(checkout.root)
    known = {"PYTHON": str(checkout.python), "PLAYED_LOG": str(checkout.log)}
    known |= {"PLAYED_KMATRIX": str(checkout.kmatrix), "REAL_PYTHON": sys.executable}
    known |= {"PATH": os.environ["PATH"], "CDPATH": str(tmp_path)}
    for command in (
        [str(link), "a"],
        ["sh", "kmatrix-inv", "a"],
        [str(tmp_path / "a check  out again" / "inv"), "a"],
    ):
        done = subprocess.run(
            command, cwd=link.parent, env=known, capture_output=True, text=True, check=False
        )
        assert done.stdout == "<a>", done.stderr
    assert checkout.made == 1


def test_a_working_directory_that_is_gone_does_not_matter(checkout: Checkout, tmp_path: Path) -> None:
    checkout.inv()
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd '{gone}' && rmdir '{gone}' && exec '{checkout.root}/inv' a"
    environment = {"PATH": os.environ["PATH"], "PLAYED_LOG": str(checkout.log), "REAL_PYTHON": sys.executable}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "<a>", done.stderr
