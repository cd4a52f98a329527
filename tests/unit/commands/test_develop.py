"""Testing and checking kmatrix itself: all parts run, and what failed in each is known at the end."""

from pathlib import Path

import pytest

from matrix.commands import develop
from matrix.commands.develop import CheckStep
from matrix.errors import RequestError

EACH_PART = {
    "test_contained.py": "def test_starts() -> None:\n    assert 'up' == 'down'\n",
    "browser/test_page.py": "def test_opens() -> None: ...\n",
    "unit/test_sums.py": "def test_adds() -> None:\n    assert 1 + 1 == 2\n",
}
SHAPES_OF_FAILURE = """
import pytest

class TestInside:
    def test_method(self) -> None:
        raise ValueError("first line\\nsecond line")

@pytest.mark.parametrize("word", ["a.b"])
def test_each(word: str) -> None:
    raise OSError(word)

@pytest.fixture
def broken() -> None:
    raise KeyError("gone")

def test_asks(broken: None) -> None: ...
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with no tests yet, tested in one process without plugins; its folder of tests."""
    monkeypatch.setattr(develop, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(develop, "_UNIT_TESTS", ("tests/unit",))
    monkeypatch.setattr(
        develop, "_CONTAINER_TESTS", ("tests", "--ignore=tests/unit", "--ignore=tests/browser")
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/browser").mkdir()
    return tmp_path / "tests"


def write_tests(tests: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tests / name).write_text(text)


def find_failures(step: CheckStep) -> dict[str, str]:
    return dict(failure.split(": ", 1) for failure in step.failures)


def test_each_part_runs_after_a_failure_which_is_remembered(project: Path) -> None:
    write_tests(project, EACH_PART)
    contained, browser, unit = develop.run_tests()
    assert find_failures(contained) == {
        "tests/test_contained.py::test_starts": "AssertionError: assert 'up' == 'down'"
    }
    assert [(step.exit_code, step.failures) for step in (browser, unit)] == [(0, ())] * 2
    assert min(contained.seconds, browser.seconds, unit.seconds) > 0.05
    assert develop.find_first_failure([contained, browser, unit]) == contained.exit_code == 1


def test_only_what_matches_is_one_part_of_all_tests(project: Path) -> None:
    write_tests(project, EACH_PART)
    (step,) = develop.run_tests(only="adds or starts")
    assert list(find_failures(step)) == ["tests/test_contained.py::test_starts"]


def test_only_units_are_one_part(project: Path) -> None:
    write_tests(project, EACH_PART)
    (unit,) = develop.run_tests(unit=True)
    assert (unit.name, unit.exit_code) == ("unit tests", 0)


def test_a_failure_has_the_name_that_pytest_takes_and_one_line_of_reason(project: Path) -> None:
    write_tests(project, {"unit/test_shapes.py": SHAPES_OF_FAILURE})
    (step,) = develop.run_tests(unit=True, only="shapes")
    assert find_failures(step) == {
        "tests/unit/test_shapes.py::TestInside::test_method": "ValueError: first line",
        "tests/unit/test_shapes.py::test_each[a.b]": "OSError: a.b",
        "tests/unit/test_shapes.py::test_asks": """failed on setup with "KeyError: 'gone'\"""",
    }


def test_a_file_that_cannot_be_imported_is_a_failure_with_its_error(project: Path) -> None:
    write_tests(project, {"unit/test_broken.py": "import no_such_module\n"})
    (step,) = develop.run_tests(unit=True, only="broken")
    assert find_failures(step) == {
        "tests/unit/test_broken.py": "ModuleNotFoundError: No module named 'no_such_module'"
    }


def test_a_pytest_that_dies_is_a_failed_part_without_failed_tests(project: Path) -> None:
    write_tests(project, {"conftest.py": "import os\nos._exit(3)\n"})
    (step,) = develop.run_tests(unit=True, only="any")
    assert (step.exit_code, step.failures) == (3, ())


def test_every_check_runs_also_after_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {
        "good": ("-c", ""),
        "bad": ("-c", "raise SystemExit(4)"),
        "worse": ("-c", "raise SystemExit(5)"),
    }
    monkeypatch.setattr(develop, "_CHECKS", checks)
    steps = develop.run_checks()
    assert [(step.name, step.exit_code) for step in steps] == [("good", 0), ("bad", 4), ("worse", 5)]
    assert develop.find_first_failure(steps) == 4
    assert develop.find_first_failure(steps[:1]) == 0


def test_an_installed_kmatrix_has_nothing_to_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(develop, "IS_CHECKOUT", False)
    with pytest.raises(RequestError, match="no tests"):
        develop.run_tests()
