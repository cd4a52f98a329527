"""The figures of the code's style: how they are counted, and those that hold."""

from pathlib import Path

import pytest

from tests import figures
from tests.figures import Module

CODE = '''\
"""Says what it is."""

import re  # noqa: F401
# Why it is so.

Alias = dict[str, int]
_Private = list[int]
CONSTANT = 1


class Thing:
    """A thing."""

    def run(self) -> None: ...
    def __str__(self) -> str: ...


def find_thing(place: str) -> str:
    """The thing."""
    found = place  # why
    return found
'''
SMALL = Module(Path("matrix/source/mbox/small.py"), CODE)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return figures.read_modules()


def other(path: str, text: str = CODE) -> list[Module]:
    return [SMALL, Module(Path(path), text)]


def test_names_are_counted_in_the_packages_right_below() -> None:
    assert SMALL.package == "matrix/source"
    assert Module(Path("reports/templates.py"), "").package == "reports"
    assert Module(Path("tasks.py"), "").package == "tasks"
    assert SMALL.public_names == {"Alias", "Thing", "find_thing"}


def test_a_type_that_is_defined_twice_is_found_in_one_package_too() -> None:
    assert figures.find_repeated_types(other("matrix/source/b.py", "class Thing: ...")) == {
        "Thing": ["matrix/source/mbox/small.py", "matrix/source/b.py"]
    }
    assert figures.find_repeated_types([SMALL]) == {}


def test_a_public_name_of_two_packages_is_found() -> None:
    assert figures.find_shared_names(other("reports/b.py", "def find_thing(): ...")) == {
        "find_thing": ["matrix/source", "reports"]
    }
    assert figures.find_shared_names(other("matrix/source/b.py")) == {}
    assert figures.find_shared_names(other("reports/b.py", "class _Private: ...")) == {}


def test_a_module_s_name_is_found_twice_but_for_the_packages_own() -> None:
    assert list(figures.find_repeated_basenames(other("reports/small.py"))) == ["small.py"]
    packages = [Module(Path(name, "__init__.py"), "") for name in ("matrix", "reports")]
    assert figures.find_repeated_basenames(packages) == {}


def test_shares_are_of_what_is_meant() -> None:
    assert figures.compute_one_word_share([SMALL]) == 50
    assert figures.compute_personified_share([SMALL]) == pytest.approx(100 / 3)
    assert figures.compute_comment_share([SMALL]) == pytest.approx(100 * 2 / SMALL.lines)


def test_all_of_it_is_shown() -> None:
    lines = dict(
        line.rsplit("  ", 1) for line in figures.format_figures(other("reports/small.py")).splitlines()
    )
    shown = {name.strip(): value.strip() for name, value in lines.items()}
    assert shown["modules"] == "2"
    assert shown["class or alias names defined twice"] == "3: Alias, Thing, _Private"
    assert shown["function lines, median / p90 / max"] == "1 / 4 / 4"
    assert shown["private idiom among local names"] == "4 of 14"


def test_no_public_name_is_defined_in_two_packages(modules: list[Module]) -> None:
    assert figures.find_shared_names(modules) == {}


def test_no_class_and_no_alias_is_defined_twice(modules: list[Module]) -> None:
    assert figures.find_repeated_types(modules) == {}


def test_no_two_modules_have_one_name(modules: list[Module]) -> None:
    assert figures.find_repeated_basenames(modules) == {}


def test_functions_are_called_by_more_than_a_word(modules: list[Module]) -> None:
    assert figures.compute_one_word_share(modules) < 35
