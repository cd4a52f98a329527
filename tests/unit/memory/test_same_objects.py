"""A cell's objects on a tree with changed sources are known where each was compiled for another cell."""

from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.kconfig.config import Config
from matrix.memory.same_objects import CellParts, ModuleLink, build_cell_parts, find_same_objects
from tests.fakes.object_tree import HEADER, SOURCE, VFIO, ObjectTree

OTHER, MODULE = "drivers/vfio/group.o", "drivers/vfio/core.o"
PREPARED = "kernel/bounds.c"
Change = Callable[[ObjectTree], object]


class Base:
    """A cell of two objects that was built, and the same tree changed."""

    def __init__(self, place: Path, links: dict[str, ModuleLink]) -> None:
        self.tree = ObjectTree(place)
        self.tree.files |= {"drivers/vfio/group.c": "int group;\n", PREPARED: "int bounds;\n"}
        self.links = links
        self.parts = self.build()

    def build(self, *, flags: str = "") -> CellParts | None:
        """Compile both objects on the tree as it is, for the cell with this command line."""
        objects = self.tree.open()
        for name in (VFIO, OTHER):
            self.tree.compile(name, flags=flags)
        self.tree.keep(objects, VFIO, OTHER)
        keys = objects.find_keys([VFIO, OTHER])
        for module, link in self.links.items():
            objects.memory.keep_link(module, link.command, [keys[name] for name in link.parts])
        tree = objects.reader.tree
        return build_cell_parts([*keys, *self.links], keys, self.links, [PREPARED], tree)

    def find(self) -> set[str] | None:
        objects = self.tree.open()
        assert self.parts is not None
        config = Config(self.tree.config)
        same = find_same_objects(self.parts, objects.memory, objects.reader, config)
        return None if same is None else {*same}


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path, {})


@pytest.fixture
def linked(tmp_path: Path) -> Base:
    return Base(tmp_path, {MODULE: ModuleLink(command="ld -r", parts=(OTHER, VFIO))})


def test_on_the_same_tree_all_are_known(base: Base) -> None:
    assert base.find() == {VFIO, OTHER}


@pytest.mark.parametrize("path", [SOURCE, HEADER])
def test_a_changed_source_asks_for_an_object_that_no_cell_compiled(base: Base, path: str) -> None:
    base.tree.files[path] = "int changed;\n"
    assert base.find() is None
    base.build()
    assert base.find() == {VFIO, OTHER}


@pytest.mark.parametrize("symbols", [{"PCI": "n"}, {"PCI": "m"}])
def test_what_another_configuration_compiled_is_another_object(base: Base, symbols: dict[str, str]) -> None:
    own = dict(base.tree.config)
    base.tree.files[SOURCE] = "int changed;\n"
    base.tree.config.update(symbols)
    base.build()
    base.tree.config = own
    assert base.find() is None


def test_so_is_what_another_command_line_compiled(base: Base) -> None:
    base.tree.files[SOURCE] = "int changed;\n"
    base.build(flags="-DMODULE")
    assert base.find() is None


def test_where_what_is_prepared_changed_nothing_is_known(base: Base) -> None:
    base.tree.files[PREPARED] = "int changed;\n"
    assert base.find() is None


def test_a_changed_part_asks_for_a_link_of_just_these_parts(linked: Base) -> None:
    assert linked.find() == {VFIO, OTHER}
    linked.tree.files[SOURCE] = "int changed;\n"
    links, linked.links = linked.links, {}
    linked.build()
    assert linked.find() is None
    linked.links = {MODULE: links[MODULE].model_copy(update={"command": "ld -r --another"})}
    linked.build()
    assert linked.find() is None
    linked.links = links
    linked.build()
    assert linked.find() == {VFIO, OTHER}


def test_a_cell_of_which_an_object_is_not_on_record_has_no_parts(base: Base) -> None:
    objects = base.tree.open()
    tree = objects.reader.tree
    one, both = ({MODULE: ModuleLink(command="", parts=parts)} for parts in ((VFIO,), (OTHER, VFIO)))
    assert build_cell_parts([VFIO, OTHER], {VFIO: "key"}, {}, [], tree) is None
    assert build_cell_parts([VFIO], {VFIO: "key"}, both, [], tree) is None
    assert build_cell_parts([VFIO, MODULE], {VFIO: "key"}, one, [], tree) is not None


@pytest.mark.parametrize("objects", [[VFIO, "drivers/vfio/single.o"]])
def test_a_module_of_one_object_is_that_object(base: Base, objects: list[str]) -> None:
    tree = base.tree.open().reader.tree
    keys = dict.fromkeys(objects, "key")
    link = ModuleLink(command="", parts=("drivers/vfio/single.o",))
    parts = build_cell_parts(objects, keys, {"drivers/vfio/single.o": link}, [], tree)
    assert parts is not None
    assert parts.links == {}
