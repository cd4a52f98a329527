"""Two checkouts have the same digest exactly where all that decides of a cell is the same."""

import shutil
from pathlib import Path

import pytest

from matrix.code_digest import compute_program_digest


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A package with a package in it, a table, and what Python keeps of it."""
    root = tmp_path / "program"
    for name in ("__init__.py", "inner/part.py", "inner/table.toml", "inner/__pycache__/part.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def compute_changed(program: Path, name: str) -> str:
    """The digest of a copy of which one file has another content."""
    changed = program.with_name(name.replace("/", "-"))
    shutil.copytree(program, changed)
    (changed / name).write_text("changed")
    return compute_program_digest(changed)


@pytest.mark.parametrize("name", ["__init__.py", "inner/part.py", "inner/table.toml", "inner/new.c"])
def test_every_module_and_table_counts(program: Path, name: str) -> None:
    assert compute_changed(program, name) != compute_program_digest(program)


def test_what_python_keeps_of_modules_does_not_count(program: Path) -> None:
    assert compute_changed(program, "inner/__pycache__/part.pyc") == compute_program_digest(program)
