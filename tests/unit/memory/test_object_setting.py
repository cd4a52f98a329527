"""What an object is compiled in: which change of it is another one."""

from dataclasses import replace
from pathlib import Path

import pytest

from matrix.kconfig.config import Config
from matrix.memory.command_file import parse_command_file
from matrix.memory.object_setting import InputReader, ObjectSetting
from matrix.memory.tree_contents import TreeContents
from matrix.source.manifest import Manifest, ManifestEntry

COMMAND_FILE = """\
cmd_a.o := gcc -c -o a.o /src/a.c

source_a.o := /src/a.c

deps_a.o := \\
    $(wildcard include/config/m5206e.h) \\
  include/generated/bounds.h \\
  /usr/lib/gcc/include/stdarg.h \\

"""


@pytest.fixture
def reader(tmp_path: Path) -> InputReader:
    (tmp_path / "a.c").write_text("int a;\n")
    return InputReader(TreeContents(Manifest({"a.c": ManifestEntry("file", "1")}), tmp_path))


@pytest.mark.parametrize("name", ["lib/stdarg.h", "arch/x86/include/generated/bounds.h"])
def test_a_header_of_the_tree_may_be_found_in_place_of_another(reader: InputReader, name: str) -> None:
    command_file = parse_command_file(COMMAND_FILE)
    assert command_file is not None
    before = reader.list_inputs(command_file)
    entries = {**reader.tree.manifest.entries, name: ManifestEntry("file", "2")}
    other = InputReader(replace(reader.tree, manifest=Manifest(entries)))
    after = other.list_inputs(command_file)
    assert before is not None
    assert after is not None
    assert reader.digest_inputs(before) != other.digest_inputs(after)


def test_a_symbol_of_an_old_kernel_has_its_value_in_whatever_case(reader: InputReader) -> None:
    command_file = parse_command_file(COMMAND_FILE)
    assert command_file is not None
    settings = [
        ObjectSetting(reader, Config({name: "y", "OTHER": "y"}), lambda _: "", "")
        for name in ("M5206e", "M5206E", "M52")
    ]
    assert len({setting.digest_values(command_file.symbols) for setting in settings}) == 3


def test_what_was_asked_of_other_symbols_before_changes_no_values(reader: InputReader) -> None:
    config = Config({"A": "y", "B": "m", "b": "7"})
    asked, fresh = (ObjectSetting(reader, config, lambda _: "", "") for _ in range(2))
    asked.digest_values(("A", "C"))
    asked.digest_values(("B",))
    assert asked.digest_values(("A", "B")) == fresh.digest_values(("A", "B"))
    assert asked.digest_values(("A", "B")) != asked.digest_values(("B", "A"))
