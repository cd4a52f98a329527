"""Objects on record are put back where all that went into them is the same, and nowhere else."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.builder.lane_objects import LaneObjects
from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.kconfig.config import Config
from tests.fakes.object_tree import GENERATED, HEADER, SOURCE, VFIO, WARNING, ObjectTree

Change = Callable[[ObjectTree], object]


@pytest.fixture
def tree(tmp_path: Path) -> ObjectTree:
    return ObjectTree(tmp_path)


@pytest.fixture
def kept(tree: ObjectTree) -> ObjectTree:
    """A tree of which one object was compiled, kept, and is gone from the directory."""
    objects = tree.open()
    tree.compile()
    tree.keep(objects)
    tree.clear()
    return tree


def is_there(tree: ObjectTree) -> bool:
    return (tree.build / VFIO).exists()


def test_an_object_is_put_back_with_its_command_file_and_a_fresh_time(kept: ObjectTree) -> None:
    kept.compile()
    content, command_file = (
        (kept.build / VFIO).read_text(),
        (kept.build / "drivers/vfio/.vfio.o.cmd").read_text(),
    )
    kept.clear()
    os.utime(kept.build / GENERATED, (time.time() - 5, time.time() - 5))
    kept.put_back()
    assert (kept.build / VFIO).read_text() == content
    assert (kept.build / "drivers/vfio/.vfio.o.cmd").read_text() == command_file
    assert (kept.build / VFIO).stat().st_mtime_ns > (kept.build / GENERATED).stat().st_mtime_ns


CHANGES: dict[str, Change] = {
    "its source": lambda tree: tree.files.update({SOURCE: "int edited;\n"}),
    "a header": lambda tree: tree.files.update({HEADER: "int edited;\n"}),
    "a header that is gone": lambda tree: tree.files.pop(HEADER),
    "a header that may shadow its own": lambda tree: tree.files.update({"arch/x86/include/linux/vfio.h": ""}),
    "a header that another shadowed": lambda tree: tree.files.update({"drivers/vfio/vfio.h": ""}),
    "a symbol's value": lambda tree: tree.config.update({"PCI": "n"}),
    "a symbol that became a module": lambda tree: tree.config.update({"PCI": "m"}),
    "a generated header": lambda tree: tree.write(GENERATED, "#define OFFSET 2\n"),
    "a generated header that is gone": lambda tree: (tree.build / GENERATED).rename(tree.build / "x"),
    "a generated header more": lambda tree: tree.write("arch/x86/include/generated/asm/vfio.h", ""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_not_put_back_when_something_differs(kept: ObjectTree, change: Change) -> None:
    kept.open()
    change(kept)
    if change is not CHANGES["a generated header that is gone"]:
        kept.put_back()
    else:
        objects = kept.open()
        (kept.build / GENERATED).unlink()
        objects.put_back(Config(kept.config))
    assert not is_there(kept)


@pytest.mark.parametrize("offset", [1, 2])
def test_of_two_command_lines_the_one_by_the_header_that_makefiles_read_is_taken(
    tree: ObjectTree, offset: int
) -> None:
    """-mstack-protector-guard-offset: no symbol decides on it, and the object reads no such header."""
    for known in (1, 2):
        tree.write("include/generated/asm-offsets.h", f"#define CANARY {known}\n")
        objects = tree.open()
        tree.compile(flags=f"-mguard={known}")
        tree.keep(objects)
        tree.clear()
    tree.write("include/generated/asm-offsets.h", f"#define CANARY {offset}\n")
    tree.put_back()
    assert f"-mguard={offset} " in (tree.build / "drivers/vfio/.vfio.o.cmd").read_text()


HARMLESS: dict[str, Change] = {
    "another source": lambda tree: tree.files.update({"drivers/vfio/other.c": ""}),
    "a symbol that it does not name": lambda tree: tree.config.update({"NET": "n"}),
    "a makefile": lambda tree: tree.files.update({"drivers/vfio/Makefile": "obj-y += vfio.o\n"}),
    "Kconfig": lambda tree: tree.files.update({"drivers/vfio/Kconfig": "config NEW\n"}),
    "another header of another name": lambda tree: tree.files.update({"include/linux/new.h": ""}),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_it_is_not_made_of_may_change(kept: ObjectTree, change: Change) -> None:
    change(kept)
    kept.put_back()
    assert is_there(kept)


def test_an_object_that_stands_and_does_not_fit_is_removed(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.compile()
    tree.keep(objects)
    tree.files[HEADER] = "int edited;\n"
    tree.put_back()
    assert not is_there(tree)


def test_so_is_one_that_is_not_on_record(tree: ObjectTree) -> None:
    tree.open()
    tree.compile()
    tree.put_back()
    assert not is_there(tree)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("scripts/mod/empty.o", ""),
        ("tools/objtool/check.o", ""),
        ("arch/x86/boot/main.o", ""),
        ("arch/x86/purgatory/sha256.o", ""),
        ("arch/powerpc/kernel/vdso/note.o", ""),
        ("drivers/vfio/made.o", "drivers/vfio/made.c"),
    ],
)
def test_what_is_made_in_another_way_is_neither_kept_nor_removed(
    tree: ObjectTree, name: str, source: str
) -> None:
    tree.files[f"{name.removesuffix('.o')}.c"] = "int a;\n"
    objects = tree.open()
    tree.compile(name, source=source)
    tree.keep(objects, name)
    tree.put_back()
    assert (tree.build / name).exists()
    (tree.build / name).unlink()
    tree.put_back()
    assert not (tree.build / name).exists()


@pytest.mark.parametrize("place", [SOURCE, HEADER])
def test_so_is_what_takes_in_a_binary(tree: ObjectTree, place: str) -> None:
    tree.files[place] = '.incbin "made.bin"\n'
    objects = tree.open()
    tree.compile()
    tree.keep(objects)
    tree.put_back()
    assert is_there(tree)
    tree.clear()
    tree.put_back()
    assert not is_there(tree)


@pytest.mark.parametrize("edit", ["asm/insn.h", "asm/deeper.h"])
def test_what_the_assembler_includes_is_an_input(tree: ObjectTree, edit: str) -> None:
    tree.files[HEADER] = 'asm(".include \\"asm/insn.h\\"");\n'
    tree.files["arch/s390/include/asm/insn.h"] = '.include "asm/deeper.h"\n'
    tree.files["arch/s390/include/asm/deeper.h"] = ".macro a\n"
    objects = tree.open()
    tree.compile()
    tree.keep(objects)
    tree.clear()
    tree.put_back()
    assert is_there(tree)
    tree.files[f"arch/s390/include/{edit}"] += ".macro b\n"
    tree.put_back()
    assert not is_there(tree)


def test_a_file_that_the_command_names_is_an_input(tree: ObjectTree) -> None:
    tree.files["lib/list.txt"] = "one\n"
    objects = tree.open()
    tree.compile(flags="-fsanitize-ignorelist=/src/lib/list.txt")
    tree.keep(objects)
    tree.clear()
    tree.put_back()
    assert is_there(tree)
    tree.files["lib/list.txt"] = "two\n"
    tree.put_back()
    assert not is_there(tree)


def test_of_two_command_lines_the_one_is_taken_whose_makefile_saw_the_same(tree: ObjectTree) -> None:
    objects = tree.open()
    for debug in ("n", "y"):
        tree.config["DEBUG"] = debug
        tree.compile(flags=f"-DDEBUG={debug}")
        tree.keep(objects)
    for debug in ("y", "n"):
        tree.config["DEBUG"] = debug
        tree.put_back()
        assert f"-DDEBUG={debug} " in (tree.build / "drivers/vfio/.vfio.o.cmd").read_text()


def test_what_the_compiler_said_comes_with_the_object(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.compile()
    tree.keep(objects, warns=True)
    tree.clear()
    put = tree.put_back()
    assert put.list_warnings({VFIO}) == [Occurrence(WARNING, VFIO)]
    assert put.list_warnings(set()) == []


def test_not_where_make_compiled_it_again(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.compile()
    tree.keep(objects, warns=True)
    put = tree.put_back()
    (tree.build / VFIO).unlink()
    tree.compile()
    assert put.list_warnings({VFIO}) == []


def test_one_that_warned_and_is_on_no_list_is_not_kept(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.compile()
    tree.keep(objects, warns=True, listed=frozenset())
    objects.remove_unkept([VFIO])
    assert not is_there(tree)
    tree.put_back()
    assert not is_there(tree)


def test_both_files_that_bison_makes_are_removed_by_the_one_name_that_kbuild_prints(tree: ObjectTree) -> None:
    for name in ("parse.tab.c", "parse.tab.h", "parse.tab.o"):
        tree.write(f"scripts/genksyms/{name}", "")
    tree.open().remove_unkept(["scripts/genksyms/parse.tab.[ch]"])
    assert [path.name for path in (tree.build / "scripts/genksyms").iterdir()] == ["parse.tab.o"]


def keep(objects: LaneObjects, tree: ObjectTree, said: list[Occurrence]) -> None:
    config, entries = Config(tree.config), objects.list_entries()
    objects.keep_compiled(config, "a/cell", [VFIO], said, {VFIO}, entries)


def test_a_warning_of_no_object_keeps_all_from_being_kept(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.compile()
    keep(objects, tree, [Occurrence(WARNING, None)])
    tree.put_back()
    assert not is_there(tree)


def test_an_object_of_which_an_error_was_said_is_not_kept(tree: ObjectTree) -> None:
    error = Diagnostic(severity="error", tool="objtool", file=None, line=None, message="broken")
    objects = tree.open()
    tree.compile()
    keep(objects, tree, [Occurrence(error, VFIO)])
    tree.put_back()
    assert not is_there(tree)


@pytest.mark.parametrize(
    ("tool", "carried"), [("kernel-doc", True), ("objtool", True), ("modpost", False), ("ld", None)]
)
def test_only_the_words_of_what_works_in_its_rule_come_with_an_object(
    tree: ObjectTree, tool: str, carried: bool | None
) -> None:
    """None: where it is not known whether they would be printed again, the object is made again."""
    warning = Diagnostic(severity="warning", tool=tool, file=None, line=None, message="odd")
    objects = tree.open()
    tree.compile()
    keep(objects, tree, [Occurrence(warning, VFIO)])
    put = tree.put_back()
    assert is_there(tree) == (carried is not None)
    assert put.list_warnings({VFIO}) == ([Occurrence(warning, VFIO)] if carried else [])


@pytest.mark.parametrize("damage", ["content", "command_file", "inputs", "symbols"])
def test_a_damaged_entry_is_a_miss(kept: ObjectTree, damage: str) -> None:
    (known,) = kept.open().memory.list_known(VFIO)
    digest = getattr(known.value, damage)
    (path,) = (kept.place / "memory").rglob(digest)
    path.write_bytes(b"half of it")
    kept.put_back()
    assert not is_there(kept)


def test_libraries_are_made_anew(tree: ObjectTree) -> None:
    objects = tree.open()
    tree.write("lib/lib.a", "!<thin>\n")
    objects.put_back(Config(tree.config))
    assert not (tree.build / "lib/lib.a").exists()


def test_what_lies_behind_a_link_is_not_written(kept: ObjectTree, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (kept.build / "drivers/vfio").rename(tmp_path / "old")
    (kept.build / "drivers/vfio").symlink_to(tmp_path / "elsewhere")
    kept.put_back()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_symbol_counts_as_many_objects_as_look_at_it_each_once(tree: ObjectTree) -> None:
    group, second = "drivers/vfio/group.o", "drivers/vfio/second.o"
    tree.files |= {"drivers/vfio/group.c": "", "drivers/vfio/second.c": ""}
    for number in ("y", "m"):
        objects = tree.open()
        tree.config["NET"] = number
        tree.compile(symbols=("PCI", "NET"))
        tree.compile(group, symbols=("NET",))
        tree.compile(second, symbols=("PCI", "NET"))
        tree.keep(objects, VFIO, group, second)
    assert len(tree.open().memory.list_known(VFIO)) == 2
    assert tree.open().memory.count_objects_by_symbol() == {"PCI": 2, "NET": 3}


def test_without_a_record_no_symbol_counts_anything(tree: ObjectTree) -> None:
    assert tree.open().memory.count_objects_by_symbol() == {}
