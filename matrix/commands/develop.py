"""Test and check kmatrix itself, with the tools of its own virtual environment."""

import subprocess
import sys

from matrix.commands.session import IS_CHECKOUT, PROJECT_ROOT
from matrix.errors import RequestError

_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
_CHECKS = (
    ("-m", "ruff", "check", "."),
    ("-m", "ruff", "format", "--check", "."),
    ("-m", "mypy"),
    ("-c", _LINT_IMPORTS),
    ("-m", "tests.figures"),
)


def run_checks() -> int:
    """Run every check, also after one that failed; the first exit code that is not 0."""
    codes = [_run_python(*check) for check in _CHECKS]
    return next((code for code in codes if code), 0)


def run_tests(*, unit: bool = False, only: str = "") -> int:
    """Run the tests; pytest's exit code."""
    where = ["tests/unit"] if unit else ["tests"]
    return _run_python("-m", "pytest", *where, *(["-k", only] if only else []))


def _run_python(*words: str) -> int:
    """The exit code of this Python in kmatrix's own tree; RequestError where only a wheel is installed."""
    if not IS_CHECKOUT:
        raise RequestError(
            "an installed kmatrix has no tests and nothing to check", "run ./inv test in a checkout of it"
        )
    return subprocess.run([sys.executable, *words], cwd=PROJECT_ROOT, check=False).returncode
