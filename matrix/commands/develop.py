"""Test and check kmatrix itself, with the tools of its own virtual environment."""

import subprocess
import sys

from matrix.commands.session import PROJECT_ROOT

_CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)


def _run_module(*command: str) -> int:
    return subprocess.run([sys.executable, "-m", *command], cwd=PROJECT_ROOT, check=False).returncode


def run_checks() -> int:
    """Run every check, also after one that failed; the first exit code that is not 0."""
    codes = [_run_module(*check) for check in _CHECKS]
    imports = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    codes.append(subprocess.run([sys.executable, "-c", imports], cwd=PROJECT_ROOT, check=False).returncode)
    return next((code for code in codes if code), 0)


def run_tests(*, unit: bool = False, only: str = "") -> int:
    """Run the tests; pytest's exit code."""
    where = ["tests/unit"] if unit else ["tests"]
    return _run_module("pytest", *where, *(["-k", only] if only else []))
