"""What a build leaves, and a lane's own file: read, or refused in a sentence, whatever they hold."""

from pathlib import Path

import pytest

from matrix.builder.kbuild_deps import CommandFileReader
from matrix.builder.kbuild_objects import list_module_files, read_listed_objects
from matrix.builder.lane_dir import LaneDirectory, open_lane
from matrix.cache_layout import CacheLayout
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from tests.fakes.mutated import check_reader, json_mutations, read_at

ARCHIVE = b"!<thin>\n" + b"//".ljust(48) + b"19        `\na.o/\nsub/b.o/\nc.o/\n"
COMMAND = b"""savedcmd_d/x.o := gcc -c -o d/x.o /src/d/x.c

source_d/x.o := /src/d/x.c

deps_d/x.o := \\
  /src/include/a.h \\
  include/generated/autoconf.h \\
    $(wildcard include/config/A) \\

d/x.o: $(deps_d/x.o)
"""
TREE = SourceTree(spec="test", path=Path("/nowhere"), version="6.12", digest="0" * 64)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("d/built-in.a", ARCHIVE),
        ("vmlinux.a", ARCHIVE),
        ("d/modules.order", b"d/x.o\nd/y.ko\n"),
        ("modules.order", b"d/x.o\nd/y.ko\n"),
        ("d/x.mod", b"d/x.o d/y.o\n"),
    ],
)
def test_any_list_of_objects(tmp_path: Path, name: str, valid: bytes) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/modules.order").write_text("d/x.o\n")

    def read() -> None:
        for target in ("d/", "d/x.o", "vmlinux", "modules"):
            for path in read_listed_objects(tmp_path, [target]):
                assert not path.startswith(("/", "../"))
            list_module_files(tmp_path, [target])

    check_reader(read_at(tmp_path / name, read), valid, examples=100)


@pytest.mark.parametrize(
    ("name", "valid"), [("d/.x.o.cmd", COMMAND), ("d/.x.o.d", COMMAND), ("d/lib.a", ARCHIVE)]
)
def test_any_command_file(tmp_path: Path, name: str, valid: bytes) -> None:
    lane = LaneDirectory(tmp_path, "0:0", TREE)

    def read() -> None:
        for path in CommandFileReader(lane).find_cell_sources(frozenset({"d/x.o"})).all:
            assert not path.startswith(("/", "../"))

    check_reader(read_at(lane.build / name, read), valid, examples=100)


def test_any_state_of_a_lane(tmp_path: Path) -> None:
    cache = SourceCache(CacheLayout(tmp_path))
    tree = SourceTree(spec="test", path=tmp_path, version="6.12", digest="0" * 64)

    def read() -> None:
        with open_lane("x86-gcc-14-0", tree, cache, "0:0"):
            pass

    read()
    file = cache.layout.lanes / "x86-gcc-14-0/lane.json"
    valid = file.read_bytes()
    check_reader(read_at(file, read), valid, more=[json_mutations([valid])] * 2, examples=150)
