"""The consumers' own checks of files that kmatrix writes for them, as npm has them: see package.json."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
PACKAGES = _HERE / "node_modules"


@cache
def install_packages() -> Path:
    """The folder of the pinned packages, installed where it is missing. Skips the test where npm is not."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on this machine: on Debian, apt-get install npm")
    installed = PACKAGES / ".package-lock.json"
    pins = _HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < pins.stat().st_mtime:
        subprocess.run(["npm", "ci"], cwd=_HERE, check=True, capture_output=True, timeout=280)
    return PACKAGES
