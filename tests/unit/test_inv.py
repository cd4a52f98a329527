"""The wrapper ``./inv`` in a small checkout of its own, with a python that only plays one: no network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Plays python: its venv is a directory with itself and a kmatrix in it; its pip notes what it was asked.
_PYTHON = """#!/bin/sh
case "$1 $2" in
"-V ") echo "Python ${PLAYED_VERSION:-3.11.2}" ;;
"-c import sys"*)
    [ -z "${PLAYED_VERSION-}" ] ;;
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
