"""What docs/scheduled.md shows is what inv takes, and systemd accepts the sample unit and timer."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_readme import commands, names, parsed

DOCS = Path(__file__).parents[2] / "docs"
UNIT = (DOCS / "kmatrix-watch.service").read_text()


def test_every_command_is_one_that_inv_takes() -> None:
    found = list(commands((DOCS / "scheduled.md").read_text()))
    assert {name for words in found for name in names(words)} >= {"watch"}


def test_the_unit_starts_what_inv_takes() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(UNIT.replace("\\\n", " "))
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/inv")
    assert [context.name for context in parsed(words)] == ["watch"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_accepts_the_unit_and_the_timer(tmp_path: Path) -> None:
    # It looks for the program and the user.
    text = UNIT.replace("/srv/kmatrix/inv", "/bin/true").replace("User=kmatrix", "User=root")
    (tmp_path / "kmatrix-watch.service").write_text(text.replace("/usr/sbin/sendmail", "/bin/true"))
    shutil.copy(DOCS / "kmatrix-watch.timer", tmp_path)
    files = [str(tmp_path / f"kmatrix-watch.{kind}") for kind in ("service", "timer")]
    command = ["systemd-analyze", "verify", "--man=no", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    said = [line for line in done.stderr.splitlines() if "kmatrix" in line]
    assert (done.returncode, said) == (0, [])
