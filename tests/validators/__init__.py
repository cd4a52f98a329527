"""The consumers' own checks of files that kmatrix writes for them, as npm has them: see package.json."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from jsonschema import FormatChecker
from jsonschema.validators import validator_for

_HERE = Path(__file__).parent
PACKAGES = _HERE / "node_modules"


@cache
def install_packages() -> Path:
    """The folder of the pinned packages, installed where it is missing. Skips the test where npm is not."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine: on Debian, apt-get install npm")
    installed = PACKAGES / ".package-lock.json"
    pins = _HERE / "package-lock.json"
    # Tests run in several processes: the first installs, and the others wait for it.
    with pins.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < pins.stat().st_mtime:
            subprocess.run(["npm", "ci"], cwd=_HERE, check=True, capture_output=True, timeout=280)
    return PACKAGES


def validate_sarif(texts: Mapping[str, str], directory: Path) -> dict[str, list[str]]:
    """What is wrong with each SARIF file, by its name: by the published schema, and by Microsoft's tool.

    The tool takes seconds to start. What it prints is all files' where it finds an error in one.
    """
    package = install_packages() / "@microsoft/sarif-multitool-linux"
    schema = json.loads((package / "sarif-2.1.0.json").read_text("utf-8-sig"))
    validator = validator_for(schema)(schema, format_checker=FormatChecker())
    files, tool = (
        {name: directory / f"{number}.sarif" for number, name in enumerate(texts)},
        package / "Sarif.Multitool",
    )
    for name, file in files.items():
        file.write_text(texts[name])
    tool = package / "Sarif.Multitool"
    tool.chmod(0o755)  # what npm installs without its scripts is no program yet
    command = [str(tool), "validate", *map(str, files.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    output = [] if done.returncode == 0 else [done.stdout + done.stderr]
    return {
        name: [error.message for error in validator.iter_errors(json.loads(texts[name]))]
        + [line for line in done.stdout.splitlines() if line.startswith(str(file))]
        + output
        for name, file in files.items()
    }
