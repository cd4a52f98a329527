"""Test and check kmatrix itself, with the tools of its own virtual environment."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from matrix.commands.session import IS_CHECKOUT, PROJECT_ROOT
from matrix.errors import RequestError

_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
_CHECKS = {
    "ruff": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "mypy": ("-m", "mypy"),
    "import-linter": ("-c", _LINT_IMPORTS),
    "figures": ("-m", "tests.figures"),
}


# Several processes at a time, as no engine is shared. One that is free takes tests from another.
_UNIT_TESTS = ("tests/unit", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal")
# Two at a time: while one waits for an engine, or plans on one core, the other builds. A file's tests share
# what they built.
_CONTAINER_TESTS = ("tests", "--ignore=tests/unit", "--ignore=tests/browser", "-n", "2", "--dist", "loadfile")
# They measure what a reader waits for, and share one browser.
_BROWSER_TESTS = ("tests/browser",)
# The older of pytest's families names the file of each test.
_RESULT_OPTIONS = ("-o", "junit_family=xunit1", "--junit-xml")


@dataclass(frozen=True)
class CheckStep:
    """One program that a task ran to its end: its exit code, and its wall-clock time in seconds."""

    name: str
    exit_code: int
    seconds: float
    failures: tuple[str, ...] = ()
    """Of tests: each that failed, by its name, with its reason."""


def run_checks() -> list[CheckStep]:
    """Run every check, also after one that failed."""
    return [_run_step(name, words) for name, words in _CHECKS.items()]


def run_tests(*, unit: bool = False, only: str = "") -> list[CheckStep]:
    """Run the tests, those that take longest first, also a part after one that failed."""
    if only:
        return [_run_pytest("tests", "tests/unit" if unit else "tests", "-k", only)]
    others = {"tests in containers": _CONTAINER_TESTS, "browser tests": _BROWSER_TESTS}
    parts: dict[str, tuple[str, ...]] = ({} if unit else others) | {"unit tests": _UNIT_TESTS}
    return [_run_pytest(name, *words) for name, words in parts.items()]


def find_first_failure(steps: Sequence[CheckStep]) -> int:
    """The first exit code that is not 0, or else 0."""
    return next((step.exit_code for step in steps if step.exit_code), 0)


def _run_pytest(name: str, *words: str) -> CheckStep:
    with TemporaryDirectory(prefix="kmatrix-tests-") as directory:
        results = Path(directory, "results.xml")
        return _run_step(name, ("-m", "pytest", *words, *_RESULT_OPTIONS, str(results)), results)


def _run_step(name: str, words: Sequence[str], results: Path | None = None) -> CheckStep:
    """Run this Python in kmatrix's own tree; RequestError where only a wheel is installed."""
    if not IS_CHECKOUT:
        raise RequestError(
            "an installed kmatrix has no tests and nothing to check", "run ./inv test in a checkout of it"
        )
    started = time.monotonic()
    code = subprocess.run([sys.executable, *words], cwd=PROJECT_ROOT, check=False).returncode
    failures = tuple(_list_failures(results)) if results else ()
    return CheckStep(name, code, time.monotonic() - started, failures)


def _list_failures(results: Path) -> Iterator[str]:
    """The failed tests of pytest's results. A pytest that was killed has written none."""
    if not results.exists():
        return
    for case in ElementTree.parse(results).iter("testcase"):  # noqa: S314 - pytest's own
        for problem in (*case.iter("failure"), *case.iter("error")):
            yield f"{_format_test_name(case)}: {_find_reason(problem)}"


def _format_test_name(case: ElementTree.Element) -> str:
    """As pytest takes it: ``tests/unit/test_plan.py::test_name``; the file alone where it cannot be read."""
    file = case.get("file", "")
    module = file.removesuffix(".py").replace("/", ".")
    if not case.get("classname"):
        return file or case.get("name", "")
    classes = case.get("classname", "").removeprefix(module).split(".")[1:]
    return "::".join([file, *classes, case.get("name", "")])


def _find_reason(problem: ElementTree.Element) -> str:
    """One line. Of a file that cannot be read, pytest has the reason only where it marks errors with E."""
    marked = [line for line in (problem.text or "").splitlines() if line.startswith("E  ")]
    message = problem.get("message", "")
    return (
        marked[-1][1:].strip() if message == "collection failure" and marked else message.partition("\n")[0]
    )
