"""Test and check kmatrix itself, with the tools of its own virtual environment."""

import subprocess
import sys
from collections.abc import Sequence

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


# Several processes at a time, as no engine is shared. One that is free takes tests from another.
_UNIT_TESTS = ("tests/unit", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal")
_OTHER_TESTS = ("tests", "--ignore", "tests/unit")


def run_checks() -> int:
    """Run every check, also after one that failed; the first exit code that is not 0."""
    return _run_all(_CHECKS)


def run_tests(*, unit: bool = False, only: str = "") -> int:
    """Run the tests, those in containers first; pytest's first exit code that is not 0."""
    if only:
        return _run_python("-m", "pytest", "tests/unit" if unit else "tests", "-k", only)
    parts = [_UNIT_TESTS] if unit else [_OTHER_TESTS, _UNIT_TESTS]
    return _run_all([("-m", "pytest", *part) for part in parts])


def _run_all(commands: Sequence[Sequence[str]]) -> int:
    codes = [_run_python(*words) for words in commands]
    return next((code for code in codes if code), 0)


def _run_python(*words: str) -> int:
    """The exit code of this Python in kmatrix's own tree; RequestError where only a wheel is installed."""
    if not IS_CHECKOUT:
        raise RequestError(
            "an installed kmatrix has no tests and nothing to check", "run ./inv test in a checkout of it"
        )
    return subprocess.run([sys.executable, *words], cwd=PROJECT_ROOT, check=False).returncode
